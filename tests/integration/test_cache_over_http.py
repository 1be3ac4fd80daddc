"""The response cache over two replicas: told in a header, obeying one, shared by all and by nobody else."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, started
from tests.round_robin import balanced
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

MISS = "Chatacter; fwd=miss"
HELLO = {"model": "ada", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def replicas(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    given = settings(redis_server, llm_server_of_this_run, CACHE_TTL="60")
    folder = tmp_path_factory.mktemp("replicas")
    with running("chattr", folder, given) as one, running("chattr", folder, given) as two:
        yield [one, two]


@pytest.fixture
def client(replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer) -> Iterator[httpx.Client]:
    with balanced([replica.url for replica in replicas]) as url, httpx.Client(base_url=url, timeout=60) as made:
        yield made


def completed(client: httpx.Client, *, path: str = "/v1/chat/completions", **more: Any) -> httpx.Response:
    return client.post(path, json=more.pop("body", HELLO), **more).raise_for_status()


def said(answer: httpx.Response) -> str:
    if answer.headers["content-type"].startswith("application/json"):
        return str(answer.json()["choices"][0]["message"]["content"])
    data = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    choices = [choice for each in data for choice in json.loads(each)["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def is_hit(answer: httpx.Response) -> bool:
    status = answer.headers["cache-status"]
    return status.startswith("Chatacter; hit; ttl=") and 0 < int(status.rpartition("=")[2]) <= 60


def test_what_one_replica_heard_the_other_says_streamed_or_whole(
    client: httpx.Client, llm_server: FakeLLMServer
) -> None:
    first = completed(client)
    assert first.headers["cache-status"] == MISS
    llm_server.play("Something else.")
    whole = completed(client)
    stream = completed(client, body={**HELLO, "stream": True, "stream_options": {"include_usage": True}})
    assert {first.headers["x-replica"], whole.headers["x-replica"]} == {"0", "1"}
    assert is_hit(whole)
    assert is_hit(stream)
    assert said(first) == said(whole) == said(stream) == "Hello, Hello!"
    assert whole.json()["usage"] == first.json()["usage"]
    assert whole.json()["id"] != first.json()["id"]
    assert '"total_tokens"' in stream.text
    assert stream.text.endswith("data: [DONE]\n\n")
    assert llm_server.requests == []


def test_a_kept_stream_is_told_before_its_first_byte(client: httpx.Client) -> None:
    asked = {**HELLO, "stream": True}
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        assert answer.headers["cache-status"] == MISS
        answer.read()
    with client.stream("POST", "/v1/chat/completions", json=asked) as answer:
        assert is_hit(answer)
        answer.read()
    assert said(answer) == "Hello, Hello!"


@pytest.mark.parametrize(
    ("directive", "status", "kept"),
    [
        ("no-store", "Chatacter; fwd=bypass", False),
        ("No-Cache", "Chatacter; fwd=request", True),
        ("max-age=0", "Chatacter; fwd=request", True),
        ("no-cache, no-store", "Chatacter; fwd=bypass", False),
    ],
)
def test_cache_control_is_obeyed(
    client: httpx.Client, llm_server: FakeLLMServer, directive: str, status: str, kept: bool
) -> None:
    completed(client)
    llm_server.play("Anew.")
    anew = completed(client, headers={"cache-control": directive})
    assert (said(anew), anew.headers["cache-status"]) == ("Anew.", status)
    assert said(completed(client)) == ("Anew." if kept else "Hello, Hello!")


def test_people_share_nothing(client: httpx.Client) -> None:
    completed(client)
    assert is_hit(completed(client))
    assert completed(client, headers={"x-chatacter-person": "bob"}).headers["cache-status"] == MISS
    assert completed(client, body={**HELLO, "user": "ann"}).headers["cache-status"] == MISS


def test_what_is_kept_goes_with_what_is_deleted(client: httpx.Client) -> None:
    completed(client)
    asked = {"message": "Hello", "character": "ada"}
    session = completed(client, path="/api/v1/chat/message", body=asked).json()["session_id"]
    assert is_hit(completed(client))
    client.delete(f"/api/v1/conversations/{session}").raise_for_status()
    assert completed(client).headers["cache-status"] == MISS


def test_the_plain_door_tells_and_obeys_too(client: httpx.Client, llm_server: FakeLLMServer) -> None:
    asked = {"message": "Hello", "character": "ada"}
    first = completed(client, path="/api/v1/chat/message", body=asked)
    assert first.headers["cache-status"] == MISS
    again = completed(client, path="/api/v1/chat/message", body=asked)
    assert is_hit(again)
    assert again.json()["response"] == first.json()["response"]
    assert again.json()["session_id"] != first.json()["session_id"]
    history = client.get(f"/api/v1/chat/history/{again.json()['session_id']}").json()["messages"]
    assert [message["content"] for message in history] == ["Hello", "Hello, Hello!"]
    assert len(llm_server.requests) == 1
    stream = completed(client, path="/api/v1/chat/message", body={**asked, "stream": True})
    assert is_hit(stream)
    renewed = completed(client, path="/api/v1/chat/message", body=asked, headers={"cache-control": "no-cache"})
    assert renewed.headers["cache-status"] == "Chatacter; fwd=request"


def test_a_cache_that_goes_away_is_told_and_survived(
    redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Any
) -> None:
    with started() as cache:
        given = settings(redis_server, llm_server, CACHE_TTL="60", CACHE__URL=cache.url)
        with running("chattr", tmp_path, given) as process, httpx.Client(base_url=process.url, timeout=60) as client:
            assert completed(client).headers["cache-status"] == MISS
            cache.stop()
            away = completed(client)
            assert away.headers["cache-status"] == 'Chatacter; fwd=bypass; detail="away"'
            assert said(away) == "Hello, Hello!"
