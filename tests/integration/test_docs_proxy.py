"""The NGINX server that docs/deployment.md tells people to write, under a real NGINX before a real Chattr with keys."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.sync.client import connect

from tests.architecture.repository import ROOT
from tests.fake_llm_server import FakeLLMServer
from tests.nginx_process import serving
from tests.redis_server import RedisServer, free_port
from tests.service_process import running

pytestmark = pytest.mark.integration

BLOCK: Final = re.compile(r"^```nginx\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN: Final = "0123456789abcdef"
AS_ASKED: Final = {"host": "chat.example.org", "authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    settings = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
        "REQUIRE_API_KEY": "true",
        "SERVICE_TOKEN": TOKEN,
    }
    with running("chattr", tmp_path_factory.mktemp("chattr"), settings) as service:
        yield service.port


@pytest.fixture
def proxy(tmp_path: Path, chattr: int) -> Iterator[str]:
    """The server as it stands on the page; only the two ports are others."""
    (server,) = BLOCK.findall((ROOT / "docs" / "deployment.md").read_text("utf-8"))
    port = free_port()
    for said, here in (("listen 80;", f"listen 127.0.0.1:{port};"), ("127.0.0.1:8000;", f"127.0.0.1:{chattr};")):
        assert server.count(said) == 1
        server = server.replace(said, here)
    with serving(tmp_path, server, f"http://127.0.0.1:{port}"):
        yield f"http://127.0.0.1:{port}"


def ask(text: str) -> dict[str, Any]:
    return {"model": "ada", "messages": [{"role": "user", "content": text}], "stream": True}


def test_a_stream_comes_as_it_is_made(proxy: str, llm_server: FakeLLMServer) -> None:
    llm_server.play("first ", *["and "] * 200, "last", delay=0.05)
    url = f"{proxy}/v1/chat/completions"
    with httpx.stream("POST", url, json=ask("Go on."), headers=AS_ASKED, timeout=30) as stream:
        assert any("first" in line for line in stream.iter_lines())
        assert llm_server.counts["finished"] == 0


def test_a_websocket_passes(proxy: str) -> None:
    address = f"{proxy.replace('http', 'ws', 1)}/api/v1/ws/chat"
    with connect(address, additional_headers={"authorization": AS_ASKED["authorization"]}) as socket:
        socket.send('{"type": "message", "text": "Hello"}')
        assert socket.recv(timeout=20)


@pytest.mark.parametrize("path", ["/metrics", "/api/v1/demand"])
def test_what_is_for_those_who_run_it_is_not_for_the_world(proxy: str, path: str) -> None:
    assert httpx.get(f"{proxy}{path}", headers=AS_ASKED).status_code == 403
    assert httpx.get(f"{proxy}/v1/models", headers=AS_ASKED).status_code == 200


def test_a_body_may_be_as_large_as_chattr_takes_it(proxy: str) -> None:
    """NGINX' own limit is 1 MB; what is refused here is refused by Chattr, with a sentence."""
    large = httpx.post(f"{proxy}/v1/chat/completions", content=b" " * (2 << 20), headers=AS_ASKED)
    assert large.headers["content-type"].startswith("application/json"), large.text
