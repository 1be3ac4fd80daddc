"""compose.yaml's proxy as a process: its configuration under a real NGINX, with addresses of this machine."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.nginx_process import serving
from tests.redis_server import free_port

TEMPLATE = Path(__file__).parents[1] / "compose" / "proxy.conf.template"
PORTS = (8000, 8001, 8002, 6333)


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
    ports = {port: free_port() for port in PORTS}
    text = filled_in({"REQUIRE_API_KEY": "false", "CORS_ORIGINS": "", **settings})
    text = re.sub(r"listen (\d+);", lambda found: f"listen 127.0.0.1:{ports[int(found[1])]};", text)
    text = re.sub(r"http://\$(\w+):\d+;", lambda found: f"http://${found[1]}:{upstreams[found[1]]};", text)
    with serving(folder, text, f"http://127.0.0.1:{ports[8000]}"):
        yield Proxy(ports)
