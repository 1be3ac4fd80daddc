"""SIGTERM in the middle of things: what runs finishes within the grace, nothing new begins, the status is 0."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.fake_llm_server import FakeLLMServer
from tests.film_material import request
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

WORDS = tuple(f"word{number} " for number in range(20))
QUESTION = {"model": "ada", "stream": True, "messages": [{"role": "user", "content": "Everything, please."}]}
# What the chart adds to the grace before the kubelet kills: for closing stores and the last telemetry.
CLOSING_SECONDS = 5.0


@pytest.fixture
def settings(redis_url: str, llm_server: FakeLLMServer) -> dict[str, str]:
    return {
        "RECORDS__URL": redis_url,
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "VOCALIZR__URL": "http://127.0.0.1:9",
        "VISUALIZR__URL": "http://127.0.0.1:9",
        "ENABLE_UI": "false",
        "SHUTDOWN_GRACE": "20",
    }


def terminate(service: ServiceProcess) -> None:
    service.process.send_signal(signal.SIGTERM)


def refuses_connections(service: ServiceProcess) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", service.port)) != 0


def until_refusing(service: ServiceProcess) -> None:
    until = time.monotonic() + 5
    while not refuses_connections(service):
        assert time.monotonic() < until
        time.sleep(0.02)


def idle(service: ServiceProcess) -> socket.socket:
    """A connection that has been answered and is kept for the next request."""
    kept = socket.create_connection(("127.0.0.1", service.port), timeout=10)
    kept.sendall(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        answer += (more := kept.recv(4096))
        assert more
    return kept


def content(line: str) -> str:
    choices = json.loads(line)["choices"]
    return str(choices[0]["delta"].get("content") or "") if choices else ""


def close_code(live: ClientConnection) -> int | None:
    """Read to the end of a socket; return what it was closed with."""
    try:
        for _ in live:
            pass
    except ConnectionClosed:
        pass
    return live.close_code


def test_chattr_finishes_what_it_says_and_lets_everyone_else_go(
    settings: dict[str, str], llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    llm_server.play(*WORDS, delay=0.1)
    with running("chattr", tmp_path, settings) as chattr, closing(idle(chattr)) as kept:
        with (
            connect(f"ws://127.0.0.1:{chattr.port}/api/v1/ws/chat") as live,
            httpx.stream("POST", f"{chattr.url}/v1/chat/completions", json=QUESTION, timeout=60) as answer,
        ):
            live.send(json.dumps({"type": "message.create", "message": "Live", "session_id": "s"}))
            created = json.loads(live.recv(30))
            lines = (line.removeprefix("data: ") for line in answer.iter_lines() if line)
            assert content(first := next(line for line in lines if content(line))) == WORDS[0], first
            terminate(chattr)
            until_refusing(chattr)
            assert kept.recv(1) == b""
            assert close_code(live) == 1012  # service restart: come again
            assert chattr.process.poll() is None
            rest = list(lines)
            assert rest[-1] == "[DONE]"
            assert "".join(map(content, rest[:-1])) == "".join(WORDS[1:])
        assert chattr.process.wait(CLOSING_SECONDS) == 0
    assert "Traceback" not in chattr.written()
    with (
        running("chattr", tmp_path, settings) as other,
        httpx.stream("GET", f"{other.url}/api/v1/chat/replies/{created['reply_id']}/events", timeout=30) as events,
    ):
        assert "reply.completed" in events.read().decode(), "the live reply went on without its socket"


def test_what_takes_longer_than_the_grace_is_cut_and_told(
    settings: dict[str, str], llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    llm_server.play(*WORDS, delay=2)
    with running("chattr", tmp_path, {**settings, "SHUTDOWN_GRACE": "1"}) as chattr:
        say = {"message": "Live", "session_id": "s", "stream": True}
        with httpx.stream("POST", f"{chattr.url}/api/v1/chat/message", json=say, timeout=60) as answer:
            lines = answer.iter_lines()
            assert "reply.created" in next(lines) + next(lines)
            terminate(chattr)
            began = time.monotonic()
            assert chattr.process.wait(1 + CLOSING_SECONDS) == 0
            assert time.monotonic() - began < 1 + CLOSING_SECONDS
    with running("chattr", tmp_path, settings) as other:
        messages = httpx.get(f"{other.url}/api/v1/chat/history/s").json()
    assert messages["live_reply_id"] is None


def test_chattr_leases_no_job_once_it_is_to_end(
    settings: dict[str, str], llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    """Its own dispatcher stops with the listening, not when the last stream has ended."""
    llm_server.play(*WORDS, delay=0.1)
    film = {"model": "portrait", "prompt": "Hello.", "character": "ada"}
    with (
        running("chattr", tmp_path, {**settings, "RUN_DISPATCHER": "false"}) as other,
        running("chattr", tmp_path, settings) as chattr,
        httpx.stream("POST", f"{chattr.url}/v1/chat/completions", json=QUESTION, timeout=60) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        terminate(chattr)
        until_refusing(chattr)
        made = httpx.post(f"{other.url}/v1/videos", json=film, timeout=30).json()
        assert chattr.process.poll() is None, "it still streams"
        assert list(lines)[-2:] == ["data: [DONE]", ""]
        assert chattr.process.wait(CLOSING_SECONDS) == 0
        assert httpx.get(f"{other.url}/v1/videos/{made['id']}").json()["phase"] == "queued"


@pytest.fixture
def silent_collector() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_speech_is_said_to_its_end(tmp_path: Path, silent_collector: str) -> None:
    text = "A long story, told slowly and in many clauses. " * 80
    speech = {"model": "fake", "input": text, "voice": "high", "response_format": "pcm"}
    settings = {"VOCALIZR_MODEL": "fake", "SHUTDOWN_GRACE": "20", "OTEL_EXPORTER_OTLP_ENDPOINT": silent_collector}
    with running("vocalizr", tmp_path, settings) as vocalizr:
        whole = httpx.post(f"{vocalizr.url}/v1/audio/speech", json=speech, timeout=60).content
        with httpx.stream("POST", f"{vocalizr.url}/v1/audio/speech", json=speech, timeout=60) as answer:
            pieces = answer.iter_bytes()
            heard = [next(pieces)]
            terminate(vocalizr)
            until_refusing(vocalizr)
            assert vocalizr.process.poll() is None
            heard.extend(pieces)
        assert b"".join(heard) == whole
        assert vocalizr.process.wait(CLOSING_SECONDS) == 0


def test_a_listener_who_never_listens_holds_nobody_up(tmp_path: Path) -> None:
    text = "A long story, told slowly and in many clauses. " * 80
    speech = {"model": "fake", "input": text, "voice": "high", "response_format": "pcm"}
    with (
        running("vocalizr", tmp_path, {"VOCALIZR_MODEL": "fake", "SHUTDOWN_GRACE": "1"}) as vocalizr,
        httpx.stream("POST", f"{vocalizr.url}/v1/audio/speech", json=speech, timeout=60) as answer,
    ):
        next(answer.iter_bytes())
        terminate(vocalizr)
        assert vocalizr.process.wait(1 + CLOSING_SECONDS) == 0


def test_a_film_is_made_to_its_end(tmp_path: Path) -> None:
    shot = request(seconds=20)
    settings = {"VISUALIZR_MODEL": "fake", "SHUTDOWN_GRACE": "60"}
    with (
        running("visualizr", tmp_path, settings) as visualizr,
        httpx.stream("POST", f"{visualizr.url}/v1/video/generations", json=shot, timeout=60) as answer,
    ):
        lines = answer.iter_lines()
        assert answer.status_code == 200, answer.read()
        next(lines)
        terminate(visualizr)
        until_refusing(visualizr)
        assert visualizr.process.poll() is None
        assert "video.completed" in "\n".join(lines)
        assert visualizr.process.wait(CLOSING_SECONDS) == 0


def test_a_signal_before_anything_is_up_ends_it_too(settings: dict[str, str], tmp_path: Path) -> None:
    with running("chattr", tmp_path, settings, wait=False) as chattr:
        while "Started server process" not in chattr.written():
            assert chattr.process.poll() is None
        terminate(chattr)
        assert chattr.process.wait(40) == 0
