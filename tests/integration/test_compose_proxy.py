"""Compose's proxy: a real NGINX with its configuration, three real Chattrs, and a name server as the engine's."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chattr.ui.paths import PAGE_PATHS, of_page
from tests.compose_proxy import Proxy, proxying
from tests.fake_llm_server import FakeLLMServer
from tests.name_server import NameServer, answering
from tests.redis_server import RedisServer, free_port
from tests.service_process import ServiceProcess, running
from tests.waiting import until

pytestmark = pytest.mark.integration

REPLICAS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
OTHERS = ("ui", "vocalizr", "visualizr", "qdrant")


class Named(BaseHTTPRequestHandler):
    """Stands where another service would: says its name, at `/slow` in two halves with a pause that a test ends."""

    go_on = threading.Event()

    def do_GET(self) -> None:
        said = self.server.name.encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        if self.path == "/slow":
            self.wfile.write(said[:1])
            self.go_on.wait(30)
            said = said[1:]
        self.wfile.write(said)

    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def saying(name: str) -> Iterator[int]:
    """Run such a service; yields its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Named) as server:
        server.name = name  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def replica(folder: Path, address: str, port: int, settings: dict[str, str]) -> Iterator[ServiceProcess]:
    """A Chattr at an address of its own and the port that all replicas share."""
    given = {**settings, "HOST": address, "PORT": str(port)}
    with running("chattr", folder, given, wait=False) as service:
        wait_for(f"http://{address}:{port}/readyz", service)
        yield service


def wait_for(url: str, service: ServiceProcess) -> None:
    while service.process.poll() is None:
        try:
            if httpx.get(url, timeout=5, headers={"host": "localhost"}).status_code == 200:
                return
        except httpx.TransportError:
            continue
    raise RuntimeError(service.written())


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, int]]:
    """The ports of everything behind the proxy: Chattr's replicas share one."""
    with ExitStack() as stack:
        yield {"app": free_port(), **{name: stack.enter_context(saying(name)) for name in OTHERS}}


@pytest.fixture(scope="module")
def replicas(
    upstreams: dict[str, int],
    redis_server: RedisServer,
    llm_server_of_this_run: FakeLLMServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[dict[str, ServiceProcess]]:
    settings = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "VOCALIZR__URL": "http://127.0.0.1:9",
        "VISUALIZR__URL": "http://127.0.0.1:9",
        "RUN_DISPATCHER": "false",
        "ENABLE_UI": "false",
    }
    with ExitStack() as stack:
        yield {
            address: stack.enter_context(
                replica(tmp_path_factory.mktemp("replica"), address, upstreams["app"], settings)
            )
            for address in REPLICAS
        }


@pytest.fixture
def names() -> Iterator[NameServer]:
    with answering({"app": list(REPLICAS), **{name: ["127.0.0.1"] for name in OTHERS}}) as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path, names: NameServer, upstreams: dict[str, int]) -> Iterator[Proxy]:
    with proxying(tmp_path, {"RESOLVER": names.address}, upstreams) as running_proxy:
        yield running_proxy


def answered_by(url: str, times: int = 40) -> set[str]:
    """Which replicas answer these many requests, all of which succeed."""
    answers = [httpx.get(f"{url}/livez") for _ in range(times)]
    assert {answer.status_code for answer in answers} == {200}
    return {answer.headers["x-upstream"].split(", ")[-1].partition(":")[0] for answer in answers}


def ask(text: str) -> dict[str, object]:
    return {"model": "ada", "messages": [{"role": "user", "content": text}]}


def test_requests_go_to_every_replica(proxy: Proxy, replicas: dict[str, ServiceProcess]) -> None:
    assert answered_by(proxy.url()) == set(REPLICAS)


async def test_replicas_that_come_and_go_are_noticed(
    proxy: Proxy, names: NameServer, replicas: dict[str, ServiceProcess]
) -> None:
    names.names["app"] = [REPLICAS[0]]
    await until(lambda: answered_by(proxy.url(), 10) == {REPLICAS[0]}, seconds=20)
    names.names["app"] = list(REPLICAS)
    await until(lambda: answered_by(proxy.url()) == set(REPLICAS), seconds=20)


def test_a_replica_that_is_gone_is_passed_over(
    proxy: Proxy,
    names: NameServer,
    upstreams: dict[str, int],
    replicas: dict[str, ServiceProcess],
    llm_server: FakeLLMServer,
) -> None:
    """The name server still knows it, as an engine's does for a moment. A POST is answered once."""
    names.names["app"] = ["127.0.0.9", REPLICAS[0]]
    assert answered_by(proxy.url()) == {REPLICAS[0]}
    for _ in range(10):
        assert httpx.post(f"{proxy.url()}/v1/chat/completions", json=ask("Hello"), timeout=30).status_code == 200
    assert len(llm_server.requests) == 10


def test_a_stream_comes_as_it_is_made(
    proxy: Proxy, replicas: dict[str, ServiceProcess], llm_server: FakeLLMServer
) -> None:
    llm_server.play("first ", *["and "] * 200, "last", delay=0.05)
    with httpx.stream(
        "POST", f"{proxy.url()}/v1/chat/completions", json={**ask("Go on."), "stream": True}, timeout=30
    ) as stream:
        assert any("first" in line for line in stream.iter_lines())
        assert llm_server.counts["finished"] == 0


def test_what_does_not_forbid_it_is_not_held_back_either(proxy: Proxy) -> None:
    """Our own streams carry `x-accel-buffering: no`; the proxy needs no such word."""
    Named.go_on.clear()
    try:
        with httpx.stream("GET", f"{proxy.url(8001)}/slow", timeout=5) as stream:
            parts = stream.iter_raw()
            assert next(parts) == b"v"
            Named.go_on.set()
            assert b"".join(parts) == b"ocalizr"
    finally:
        Named.go_on.set()


def test_a_websocket_passes(proxy: Proxy, replicas: dict[str, ServiceProcess], llm_server: FakeLLMServer) -> None:
    address = f"{proxy.url().replace('http', 'ws', 1)}/api/v1/ws/chat"
    with connect(address, origin=proxy.url()) as socket:  # type: ignore[arg-type]
        socket.send('{"type": "message", "text": "Hello"}')
        assert socket.recv(timeout=20)
    with pytest.raises(InvalidStatus) as refused:
        connect(address, origin="https://elsewhere.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


@pytest.mark.parametrize("port", [8000, 8001, 8002, 6333])
@pytest.mark.parametrize("host", ["elsewhere.example", "192.168.1.20:8000", "localhost.elsewhere.example", "app", ""])
def test_without_keys_only_this_machine_s_names_are_answered(proxy: Proxy, port: int, host: str) -> None:
    assert httpx.get(proxy.url(port), headers={"host": host}).status_code in {400, 403}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST"])
def test_this_machine_has_several_names(proxy: Proxy, host: str) -> None:
    assert httpx.get(proxy.url(8001), headers={"host": host}).text == "vocalizr"
    assert httpx.get(proxy.url(6333), headers={"host": host}).text == "qdrant"


@pytest.mark.parametrize(("port", "allowed"), [(8000, 422), (8001, 501), (6333, 501)])
def test_without_keys_pages_of_other_sites_may_not_act(
    proxy: Proxy, replicas: dict[str, ServiceProcess], port: int, allowed: int
) -> None:
    """422 and 501 are answers of what stands behind: the request went through."""
    url = f"{proxy.url(port)}/v1/chat/completions"
    for origin in (
        "https://elsewhere.example",
        "null",
        "http://localhost.elsewhere.example",
        "http://localhost:1@x.example",
    ):
        assert httpx.post(url, json={}, headers={"origin": origin}).status_code == 403, origin
    for origin in ("http://localhost:3000", "https://127.0.0.1", "http://[::1]:8000"):
        assert httpx.post(url, json={}, headers={"origin": origin}).status_code == allowed, origin
    assert httpx.get(f"{proxy.url(8001)}/", headers={"origin": "https://elsewhere.example"}).text == "vocalizr"


def test_a_page_that_is_named_may_act(tmp_path: Path, names: NameServer, upstreams: dict[str, int]) -> None:
    named = {"RESOLVER": names.address, "CORS_ORIGINS": "https://one.example, https://two.example"}
    with proxying(tmp_path, named, upstreams) as proxy:
        for origin, status in (("https://one.example", 501), ("https://two.example", 501), ("https://two.exampl", 403)):
            assert httpx.post(proxy.url(8001), headers={"origin": origin}).status_code == status, origin
        assert httpx.post(proxy.url(6333), headers={"origin": "https://one.example"}).status_code == 403


@pytest.mark.parametrize("word", ["true", "1", "YES"])
def test_with_keys_every_name_is_answered_but_before_qdrant(
    tmp_path: Path, names: NameServer, upstreams: dict[str, int], word: str
) -> None:
    with proxying(tmp_path, {"RESOLVER": names.address, "REQUIRE_API_KEY": word}, upstreams) as proxy:
        strange = {"host": "chat.example.org", "origin": "https://elsewhere.example"}
        assert httpx.get(proxy.url(8001), headers=strange).text == "vocalizr"
        assert httpx.post(proxy.url(8001), headers=strange).status_code == 501
        assert httpx.get(proxy.url(6333), headers=strange).status_code == 403


@pytest.mark.parametrize("path", [*PAGE_PATHS, "/assets/a.js", "/gradio_api/heartbeat/a1"])
def test_the_page_s_addresses_are_the_page_s(proxy: Proxy, path: str) -> None:
    assert httpx.get(f"{proxy.url()}{path}").text == "ui"


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v2/health/live", "/api/v1/health", "/livez", "/configuration", "/own/door"]
)
def test_all_other_addresses_are_the_api_s(proxy: Proxy, replicas: dict[str, ServiceProcess], path: str) -> None:
    assert not of_page(path)
    answer = httpx.get(f"{proxy.url()}{path}")
    assert answer.headers["x-upstream"].partition(":")[0] in REPLICAS
