"""Which addresses are the page's and which the API's, for whoever puts both behind one host."""

import re
from typing import Final

# Everything that the page in a browser asks for; what ends with a slash is a folder.
PAGE_PATHS: Final = (
    "/",
    "/config",
    "/theme.css",
    "/favicon.ico",
    "/manifest.json",
    "/robots.txt",
    "/assets/",
    "/static/",
    "/svelte/",
    "/gradio_api/info",
    "/gradio_api/app_id",
    "/gradio_api/user",
    "/gradio_api/startup-events",
    "/gradio_api/queue/join",
    "/gradio_api/queue/data",
    "/gradio_api/heartbeat/",
    "/gradio_api/cancel",
    "/gradio_api/reset",
)
HEARTBEAT: Final = "/gradio_api/heartbeat/"
# Where everything of the API lies that is for people outside.
API_PREFIXES: Final = ("/v1", "/v2", "/api")

FOLDERS: Final = tuple(path for path in PAGE_PATHS if path.endswith("/") and path != "/")
FILES: Final = frozenset(PAGE_PATHS) - set(FOLDERS)
SESSION: Final = re.compile(r"[a-z0-9]+")


def of_page(path: str) -> bool:
    """Say whether the page answers at an address.

    Whatever else Gradio would answer (uploads, files, its API, MCP, monitoring) does not exist here.
    """
    if path.startswith(HEARTBEAT):
        return SESSION.fullmatch(path.removeprefix(HEARTBEAT).removesuffix("/")) is not None
    if path.startswith(FOLDERS):
        return True
    called = path.removesuffix("/") if path.startswith("/gradio_api/") else path
    return called in FILES or not path
