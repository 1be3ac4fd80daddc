"""A long conversation on two replicas: one sums it up, both have the summary in their prompts, none waits for it."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer, Seen
from tests.redis_server import RedisServer
from tests.replicas import pair
from tests.service_process import ServiceProcess

pytestmark = pytest.mark.integration

LAST = 30.0


@pytest.fixture(scope="module")
def replicas(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    folder = tmp_path_factory.mktemp("replicas")
    # Lessons would stand among the prompts that are looked at.
    settings = {"SHORT_TERM_MEMORY__MAX_SIZE": "8", "MEMORY__EXTRACTION": "off"}
    with pair(redis_server, llm_server_of_this_run, folder, **settings) as started:
        yield started


@pytest.fixture
def clients(replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer) -> Iterator[list[httpx.Client]]:
    llm_server.play("They talked of boats.")
    one, other = (httpx.Client(base_url=replica.url, timeout=60) for replica in replicas)
    with one, other:
        yield [one, other]


def say(client: httpx.Client, text: str) -> None:
    answer = client.post("/api/v1/chat/message", json={"message": text, "session_id": "long"})
    assert answer.status_code == 200, answer.text


def summaries(client: httpx.Client, number: int) -> list[dict[str, Any]]:
    """Wait until there are so many."""
    until = time.monotonic() + LAST
    while True:
        found: list[dict[str, Any]] = client.get("/api/v1/conversations/long/summaries").json()["data"]
        if len(found) >= number or time.monotonic() > until:
            assert len(found) == number
            return found
        time.sleep(0.05)


def asked_to_sum_up(llm: FakeLLMServer) -> list[Seen]:
    return [seen for seen in llm.requests if "SUMMARY SO FAR" in seen.prompt]


def test_one_replica_sums_up_and_both_have_it_in_their_prompts(
    clients: list[httpx.Client], llm_server: FakeLLMServer
) -> None:
    for number in range(4):
        say(clients[number % 2], f"This is message {number}.")
    (first,) = summaries(clients[0], 1)
    assert summaries(clients[1], 1) == [first]
    assert first["text"] == "They talked of boats."
    assert len(first["message_ids"]) == 4
    (seen,) = asked_to_sum_up(llm_server)
    assert "This is message 0." in seen.prompt
    assert "This is message 1." in seen.prompt
    assert "This is message 2." not in seen.prompt
    say(clients[0], "This fits beside all that was said.")
    assert "in short" not in llm_server.requests[-1].prompt
    for client in clients:
        say(client, "And what else?")
        prompt = next(seen.prompt for seen in llm_server.requests[::-1] if "SUMMARY SO FAR" not in seen.prompt)
        assert "[What was said before this, in short:\nThey talked of boats.]" in prompt
        assert "This is message 2." in prompt
        assert "This is message 0." not in prompt
    assert len(summaries(clients[1], 3)) == 3
    preview = {"message": "Hm?", "conversation_id": "long"}
    shown = clients[0].post("/api/v1/characters/ada/prompt:preview", json=preview).json()
    assert shown["summary"] == "They talked of boats."
    parts = {part["name"]: part for part in shown["parts"]}
    assert parts["summary"]["kept"] == 1
    assert shown["tokens"] == sum(part["tokens"] for part in shown["parts"])


def test_what_is_deleted_is_in_no_prompt_and_no_summary(clients: list[httpx.Client], llm_server: FakeLLMServer) -> None:
    for number in range(4):
        say(clients[0], f"This is message {number}.")
    (first,) = summaries(clients[1], 1)
    gone = first["message_ids"][2]
    assert clients[1].delete(f"/api/v1/conversations/long/messages/{gone}").status_code == 200
    assert summaries(clients[0], 0) == []
    say(clients[0], "And now?")
    assert "in short" not in llm_server.requests[-1].prompt
