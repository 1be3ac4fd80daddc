"""compose.yaml's proxy as a process: its configuration under a real NGINX, with addresses of this machine."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.redis_server import free_port

TEMPLATE = Path(__file__).parents[1] / "compose" / "proxy.conf.template"
PORTS = (8000, 8001, 8002, 6333)
MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr info;
events {{ worker_connections 256; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    add_header x-upstream $upstream_addr always;
    include {folder}/default.conf;
}}
"""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: on which port of this machine each of its ports is."""

    ports: Mapping[int, int]

    def url(self, port: int = 8000) -> str:
        return f"http://localhost:{self.ports[port]}"


def filled_in(settings: Mapping[str, str]) -> str:
    """The template as the image's entrypoint makes it, with `envsubst` of just these names."""
    return re.sub(r"\$\{(\w+)\}", lambda found: settings[found[1]], TEMPLATE.read_text("utf-8"))


@contextmanager
def proxying(folder: Path, settings: Mapping[str, str], upstreams: Mapping[str, int]) -> Iterator[Proxy]:
    """Run NGINX. Only addresses are replaced: where it listens, and the port of each named upstream."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("nginx is not on PATH")
    ports = {port: free_port() for port in PORTS}
    text = filled_in({"REQUIRE_API_KEY": "false", "CORS_ORIGINS": "", **settings})
    text = re.sub(r"listen (\d+);", lambda found: f"listen 127.0.0.1:{ports[int(found[1])]};", text)
    text = re.sub(r"http://\$(\w+):\d+;", lambda found: f"http://${found[1]}:{upstreams[found[1]]};", text)
    (folder / "default.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    log = folder / "nginx.log"
    with log.open("wb") as out:
        process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf"], stdout=out, stderr=out)
    try:
        until_it_listens(process, f"http://127.0.0.1:{ports[8000]}", log)
        yield Proxy(ports)
    finally:
        process.terminate()
        process.wait(10)


def until_it_listens(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            httpx.head(url, headers={"host": "elsewhere.example"})
        except httpx.TransportError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(log.read_text()) from None
            time.sleep(0.02)
        else:
            return
