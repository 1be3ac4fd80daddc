"""Over HTTP, with the real embedder and engine: a fact told, 200 other turns, a new conversation; the prompt has it."""

import time
from pathlib import Path

import httpx
import pytest

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running
from tests.small_talk import FACTS, small_talk

pytestmark = pytest.mark.e2e

FACT = FACTS[0]
TURNS = 200


def settings(redis: RedisServer, llm: FakeLLMServer, models_home: Path, folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    if not (home / "models").exists():
        (home / "models").symlink_to(models_home)
    return {
        "RECORDS__URL": redis.url,
        "MODEL__URL": llm.url,
        "MODEL__NAME": "scripted",
        "MEMORY__EXTRACTION": "off",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }


def say(chattr: ServiceProcess, person: str, text: str, session: str) -> dict[str, list[str]]:
    answer = httpx.post(
        f"{chattr.url}/api/v1/chat/message",
        json={"message": text, "session_id": session, "character": "mira"},
        headers={"x-chatacter-person": person},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    body: dict[str, list[str]] = answer.json()
    return body


def until_indexed(chattr: ServiceProcess, person: str, text: str) -> None:
    """Wait until the newest memory of a person is the answer to that text."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        newest = httpx.get(
            f"{chattr.url}/api/v1/memories?limit=2", headers={"x-chatacter-person": person}, timeout=30
        ).json()["data"]
        if any(memory["text"] == text for memory in newest):
            return
        time.sleep(0.2)
    raise AssertionError("the last turn was never indexed")


def test_a_fact_comes_back_in_a_new_conversation_and_to_its_person_only(
    redis_server: RedisServer, redis_url: str, llm_server: FakeLLMServer, models_home: Path, tmp_path: Path
) -> None:
    given = settings(redis_server, llm_server, models_home, tmp_path)
    llm_server.play("I see.")
    with running("chattr", tmp_path, given) as chattr:
        say(chattr, "ann", FACT.said, "first")
        said = [text for role, text in small_talk(TURNS) if role == "user"]
        for number in range(TURNS // 2):
            say(chattr, "ann", said[number % len(said)], f"talk-{number // 10}")
        last = "And that is all for today, good night."
        say(chattr, "ann", last, "last")
        until_indexed(chattr, "ann", last)

        for question in FACT.questions[:2]:
            assert say(chattr, "ann", question, f"new-{len(question)}")["told"] == []
            prompt = llm_server.requests[-1].prompt
            assert FACT.said in prompt
            assert sum(text in prompt for text in {*said, FACT.said}) <= 5
        say(chattr, "bob", FACT.questions[0], "bobs")
        assert FACT.said not in llm_server.requests[-1].prompt

    with running("chattr", tmp_path, {**given, "ENABLE_LONG_TERM_MEMORY": "false"}) as forgetful:
        say(forgetful, "ann", FACT.questions[0], "without-recall")
        assert FACT.said not in llm_server.requests[-1].prompt
