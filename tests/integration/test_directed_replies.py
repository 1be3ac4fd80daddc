"""Replies with stage directions, from the page and from the terminal: acted in films, and never spoken."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from chattr.ui.door import Door
from chattr.ui.said import Said
from chattr.ui.seat import Seat
from chattr.ui.someone import Someone
from chattr.ui.turn import Line, Turn
from tests.served import served
from tests.stub_api import State, stub

pytestmark = pytest.mark.integration

REPLY = ("*smiles* Ahoy! Your *sm", "ile* is [nods. Twice] back. *Looks ", "away.* Shall we fly?")
SPOKEN = ["Ahoy!", "Your smile is back.", "Shall we fly?"]
FILMED = "[smiles] Ahoy! Your smile is [nods. Twice] back. [Looks away.] Shall we fly?"


@pytest.fixture
def state() -> State:
    return State(deltas=REPLY, film=b"film")


@asynccontextmanager
async def there(state: State) -> AsyncIterator[str]:
    async with served(stub(state)) as url:
        yield url


def sent(state: State, door: str, field: str) -> Iterator[Any]:
    return (body[field] for _, path, body in state.seen if path == door)


async def test_a_film_from_the_page_is_acted(state: State) -> None:
    async with there(state) as url:
        seat = Seat(Door(url), None, character=Someone("ada", "Ada", "", None))
        seat.said = [Said("user", "Well?"), Said("assistant", "".join(REPLY), character="ada")]
        assert seat.can_film
        assert [shoot.state async for shoot in seat.film()][-1] == "ready"
        seat.said[-1].content = "*smiles* [nods]"
        assert not seat.can_film  # nothing is said in it
    assert list(sent(state, "/v1/videos", "prompt")) == [FILMED]


async def test_the_pages_voice_speaks_no_direction(state: State) -> None:
    async with there(state) as url:
        turn = Turn(lambda: Door(url).api(None), Line(lambda api: api.say("Well?", "ada", None), "ada", "kokoro"))
        async for _ in turn.changes():
            pass
    assert turn.told == []
    assert list(sent(state, "/v1/audio/speech", "input")) == SPOKEN


async def test_the_terminals_voice_speaks_no_direction_and_its_film_is_acted(state: State, tmp_path: Path) -> None:
    words = ["chat", "-c", "ada", "--sound", str(tmp_path / "a.wav"), "--film", str(tmp_path / "a.webm"), "Well?"]
    start = [sys.executable, "-c", "from chatacter.cli import main; main()", *words]
    async with there(state) as url:
        env = {"CHATACTER_URL": url, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = await asyncio.to_thread(subprocess.run, start, env=env, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert list(sent(state, "/v1/audio/speech", "input")) == SPOKEN
    assert list(sent(state, "/v1/videos", "prompt")) == [FILMED]
