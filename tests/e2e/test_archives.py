"""A character and all that was said with it go from one installation to another, which then remembers the same."""

import json
import time
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatacter.chassis.errors import InvalidInput
from chatacter.chat.moving import export, import_
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import started
from tests.service_process import ServiceProcess, running
from tests.small_talk import FACTS, small_talk

pytestmark = pytest.mark.e2e

ROBIN = {
    "id": "robin",
    "name": "Robin",
    "personality": "A gardener who loves words.",
    "voice": "af_heart",
    "speech_model": "kokoro",
}
QUESTIONS = [question for fact in FACTS[:6] for question in fact.questions]


@pytest.fixture
def houses(llm_server: FakeLLMServer, models_home: Path, tmp_path: Path) -> Iterator[list[ServiceProcess]]:
    """Two installations that share nothing."""
    with ExitStack() as stack:
        made = []
        for name in ("here", "there"):
            folder = tmp_path / name
            (folder / "home").mkdir(parents=True)
            (folder / "home" / "models").symlink_to(models_home)
            settings = {
                "RECORDS__URL": stack.enter_context(started()).url,
                "MODEL__URL": llm_server.url,
                "MODEL__NAME": "scripted",
                "MEMORY__EXTRACTION": "off",
                "ENABLE_VOICE_GENERATION": "false",
                "ENABLE_VIDEO_GENERATION": "false",
                "ENABLE_UI": "false",
            }
            made.append(stack.enter_context(running("chattr", folder, settings)))
        yield made


def ask(house: ServiceProcess, method: str, path: str, **named: Any) -> Any:
    answer = httpx.request(method, f"{house.url}/api/v1{path}", timeout=60, **named)
    assert answer.is_success, answer.text
    return answer.json()


def until_remembered(house: ServiceProcess, wanted: int) -> None:
    """Wait until so many memories are there."""
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if len(ask(house, "GET", "/memories", params={"character": "robin", "limit": 100})["data"]) == wanted:
            return
        time.sleep(0.2)
    raise AssertionError("what was said was never indexed")


def found(house: ServiceProcess, question: str) -> list[tuple[str, float]]:
    data = ask(house, "GET", "/memories", params={"q": question, "character": "robin", "limit": 5})["data"]
    return [(one["text"], round(one["score"]["total"], 3)) for one in data]


def test_the_same_questions_find_the_same_memories_elsewhere(houses: list[ServiceProcess], tmp_path: Path) -> None:
    here, there = houses
    ask(here, "POST", "/characters", json=ROBIN)
    session = ask(here, "POST", "/conversations", json={"character": "robin"})["id"]
    said = [fact.said for fact in FACTS[:6]] + [text for role, text in small_talk(20) if role == "user"]
    for text in said:
        ask(here, "POST", "/chat/message", json={"message": text, "session_id": session})
    until_remembered(here, 2 * len(said))
    (forgotten, *_), pinned = ask(here, "GET", "/memories", params={"q": "peanuts"})["data"], "Leipzig"
    ask(here, "DELETE", f"/memories/{forgotten['id']}")
    kept = ask(here, "GET", "/memories", params={"q": pinned})["data"][0]
    ask(here, "POST", f"/memories/{kept['id']}/pin")

    file = tmp_path / "robin.zip"
    export("robin", file, url=here.url)
    with pytest.raises(InvalidInput, match="already"):
        export("robin", file, url=here.url)
    import_(file, url=there.url)
    until_remembered(there, 2 * len(said) - 1)

    answers = {question: found(here, question) for question in QUESTIONS}
    assert {question: found(there, question) for question in QUESTIONS} == answers
    assert all(answers.values())
    character = ask(there, "GET", "/characters/robin")
    assert (character["name"], character["voice"], character["speech_model"]) == ("Robin", "af_heart", "kokoro")
    history = ask(there, "GET", f"/chat/history/{session}")["messages"]
    assert [one["content"] for one in history] == [
        one["content"] for one in ask(here, "GET", f"/chat/history/{session}")["messages"]
    ]
    (one,) = [one for one in ask(there, "GET", "/memories", params={"q": pinned})["data"] if one["pinned"]]
    assert one["text"] == kept["text"]
    texts = [one["text"] for one in ask(there, "GET", "/memories", params={"limit": 100})["data"]]
    assert forgotten["text"] not in texts
    import_(file, url=there.url)
    assert len(ask(there, "GET", "/conversations")["data"]) == 1


@pytest.mark.parametrize("wrong", ["text", "other", "version", "json", "empty"])
def test_other_files_are_refused_with_a_sentence(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "x.zip"
    mark = {"object": "chatacter.archive", "version": 2 if wrong == "version" else 1, "character": "robin"}
    if wrong == "text":
        file.write_text("no archive")
    else:
        with zipfile.ZipFile(file, "w") as archive:
            if wrong == "other":
                archive.writestr("../../etc/passwd", "x")
            elif wrong != "empty":
                archive.writestr("archive.json", json.dumps(mark) if wrong != "json" else "{")
                archive.writestr("card.charx", "x")
                archive.writestr("memories.json", "{}")
    with pytest.raises(InvalidInput, match="no archive"):
        import_(file, url="http://127.0.0.1:9")


def test_an_entry_that_unpacks_to_more_than_it_may_is_refused_before_it_does(tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive.json", b" " * 10_000_000)
    with pytest.raises(InvalidInput, match="more than an archive may"):
        import_(file, url="http://127.0.0.1:9")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        import_(tmp_path / "nothing.zip", url="http://127.0.0.1:9")
