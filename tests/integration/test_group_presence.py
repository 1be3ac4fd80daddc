"""Three characters, one of them away for a while: neither its prompts nor its memory hold what it missed.

A real Chattr with long-term memory in process, a provider that records what it is asked.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import running
from tests.waiting import until

pytestmark = pytest.mark.integration

SECRET = "xylophone"


@pytest.fixture
def client(
    redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, models_home: Path, tmp_path: Path
) -> Iterator[httpx.Client]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(models_home, target_is_directory=True)
    # Lessons go to the same provider whenever there is time, and would stand among the prompts that are looked at.
    more = {"ENABLE_LONG_TERM_MEMORY": "true", "MEMORY__EXTRACTION": "off", "CHATACTER_HOME": str(home)}
    given = settings(redis_server, llm_server, **more)
    with (
        running("chattr", tmp_path, given) as chattr,
        httpx.Client(base_url=chattr.url, timeout=60) as made,
    ):
        yield made


def prompts_of(llm: FakeLLMServer, name: str) -> list[str]:
    """What was asked of one character: its persona names it."""
    return [
        seen.prompt for seen in llm.requests if f"You play {name}." in seen.prompt or f"You are {name}" in seen.prompt
    ]


def memories(client: httpx.Client, character: str) -> list[str]:
    found = client.get("/api/v1/memories", params={"character": character, "limit": 100}).raise_for_status()
    return [memory["text"] for memory in found.json()["data"]]


def test_what_it_missed_reaches_neither_its_prompt_nor_its_memory(
    client: httpx.Client, llm_server: FakeLLMServer
) -> None:
    for name in ("One", "Two", "Three"):
        made = {"id": name.lower(), "name": name, "system_prompt": f"You play {name}.", "personality": "Plain."}
        client.post("/api/v1/characters", json=made).raise_for_status()
    table = {"characters": ["one", "two", "three"], "persona": {"name": "Ann"}, "replies": 2}
    home = client.post("/api/v1/conversations", json=table).raise_for_status().headers["location"]

    def say(text: str) -> dict[str, Any]:
        return dict(client.post(f"{home}/messages", json={"message": text}).raise_for_status().json())

    llm_server.play("I hear you.")
    say("One and Two, we begin with a harmonica.")
    client.delete(f"{home}/members/three").raise_for_status()
    llm_server.play(f"The {SECRET} is under the bridge.")
    missed = say(f"One and Two, the {SECRET} is hidden.")
    assert [missed["character"], *(each["character"] for each in missed["more"])] == ["one", "two"]
    client.put(f"{home}/members/three").raise_for_status()
    llm_server.play("I do not know.")
    answer = say("Three, where is it hidden, and what did we begin with?")
    assert answer["character"] == "three"
    prompts = prompts_of(llm_server, "Three")
    assert len(prompts) == 1
    assert "harmonica" in prompts[0]
    assert SECRET not in prompts[0]
    assert SECRET in prompt_of_the_first(client, llm_server, home)

    def indexed() -> bool:
        return any("where is it hidden" in text for text in memories(client, "three"))

    asyncio.run(until(indexed, seconds=60))
    assert any(SECRET in text for text in memories(client, "one"))
    assert any(SECRET in text for text in memories(client, "two"))
    assert not any(SECRET in text for text in memories(client, "three"))
    elsewhere = {"character": "three", "message": "Tell me about the hidden thing under the bridge."}
    llm_server.play("What thing?")
    client.post("/api/v1/chat/message", json=elsewhere).raise_for_status()
    assert SECRET not in llm_server.requests[-1].prompt
    elsewhere["character"] = "one"
    client.post("/api/v1/chat/message", json=elsewhere).raise_for_status()
    assert SECRET in llm_server.requests[-1].prompt
    refused = client.post(
        "/v1/chat/completions",
        json={
            "model": "ada",
            "messages": [{"role": "user", "content": "Hello"}],
            "metadata": {"conversation_id": home.rpartition("/")[2]},
        },
    )
    assert refused.status_code == 409
    assert "one, two, three" in refused.json()["error"]["message"]


def prompt_of_the_first(client: httpx.Client, llm: FakeLLMServer, home: str) -> str:
    """What the first one is asked next: it was there all the time."""
    client.post(f"{home}/messages", json={"message": "One, and you?", "character": "one"}).raise_for_status()
    return llm.requests[-1].prompt
