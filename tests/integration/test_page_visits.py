"""Visits of the page without a browser, before a real API: what the page keeps, and what the API does not take."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from chatacter.client.errors import Away
from chattr.ui.company import gathered
from chattr.ui.door import Door
from chattr.ui.page import kept_with, mark, remembered
from chattr.ui.seat import Seat
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

BAD = '{"name": "Ann\\u0007", "description": ""}'
JOINED = '{"name": "\\u0639\\u0644\\u06cc\\u200c\\u0631\\u0636\\u0627", "description": ""}'


@pytest.fixture(scope="module")
def chattr(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServiceProcess]:
    given = settings(redis_server, llm_server_of_this_run, ENABLE_VOICE_GENERATION="false")
    with running("chattr", tmp_path_factory.mktemp("visits"), given) as found:
        yield found


@pytest.fixture
def home(chattr: ServiceProcess, redis_url: str, llm_server: FakeLLMServer) -> str:
    return chattr.url


async def visit(home: str, kept: dict[str, Any] | None = None) -> Seat:
    """Come with what the browser kept."""
    kept = kept or {}
    seat = Seat(Door(home), None, sessions=dict(kept.get("sessions") or {}), kept=kept.get("draft"))
    seat.usual = kept.get("persona")
    await seat.open(kept.get("character") or "ada")
    return seat


async def deed(seat: Seat, what: str, value: str = "") -> str:
    """Do something in the sheet of who is here; return what is told."""
    return str((await gathered(seat, SimpleNamespace(what=what, value=value)))["told"])


async def said(seat: Seat, text: str) -> list[str]:
    """Say something and hear the answer out; return what stands in the conversation then."""
    async for _ in await seat.say(text, aloud=False):
        pass
    return [each.content for each in seat.said]


async def test_a_name_that_is_refused_is_not_kept_and_the_page_goes_on(home: str) -> None:
    seat = await visit(home)
    assert "name" in await deed(seat, "persona", BAD)
    assert seat.usual is None
    assert seat.draft is not None
    await seat.face("mira")
    assert (await said(await visit(home, remembered(seat)), "Ahoy"))[-1] == "Hello, Ahoy!"


async def test_a_name_that_was_kept_and_is_refused_is_let_go(home: str) -> None:
    seat = await visit(home, {"persona": {"name": "Ann\a", "description": ""}})
    assert (seat.usual, seat.persona) == (None, None)
    assert seat.character is not None
    assert seat.character.id == "ada"


async def test_a_name_is_spelt_with_joiners(home: str) -> None:
    seat = await visit(home)
    assert await deed(seat, "persona", JOINED) == ""
    assert seat.persona is not None
    assert "\u200c" in seat.persona["name"]
    assert seat.usual == seat.persona


async def test_somebody_who_cannot_be_faced_leaves_the_conversation_that_is_shown(home: str) -> None:
    seat = await visit(home)
    await deed(seat, "join", "mira")
    shown, opening = seat.draft, list(seat.said)
    seat.door = Door("http://127.0.0.1:9")
    with pytest.raises(Away):
        await seat.face("iris")
    assert await deed(seat, "join", "leonardo") != ""
    seat.door = Door(home)
    assert (seat.draft, seat.said, seat.here) == (shown, opening, ["ada", "mira"])
    assert "Are you here?" in await said(seat, "Are you here?")
    assert list(seat.sessions) == ["ada"]


async def test_a_kept_group_with_somebody_who_is_gone_is_one_with_who_is_there(home: str) -> None:
    gone = {"draft": {"characters": ["ada", "gone"], "id": "conv_gone", "greeting": 0}, "character": "ada"}
    seat = await visit(home, gone)
    assert seat.here == ["ada"]
    assert (await said(seat, "Alone?"))[-1] == "Hello, Alone?!"


async def test_a_gathered_group_stays_when_its_first_character_was_changed(home: str) -> None:
    seat = await visit(home)
    await deed(seat, "join", "mira")
    assert seat.draft is not None
    name = seat.draft.id
    await seat.recast("ada")
    assert seat.here == ["ada", "mira"]
    assert seat.draft.id == name
    await seat.face("ada", anew=True)
    assert seat.here == ["ada"]


async def test_two_tabs_that_kept_one_draft_begin_a_conversation_each(home: str) -> None:
    first = await visit(home)
    second = await visit(home, remembered(first))
    assert first.draft is not None
    assert second.draft is not None
    assert first.draft.id == second.draft.id
    await said(first, "From the first")
    there = await said(second, "From the second")
    assert there[-2:] == ["From the second", "Hello, From the second!"]
    assert "From the first" not in there
    assert first.session != second.session


async def test_who_stops_while_a_conversation_begins_can_say_it_again(home: str) -> None:
    seat = await visit(home)
    async with seat.api() as api:
        await api.begin(seat.draft.body if seat.draft else {})  # which the visitor did not stay to hear of
    assert (await said(seat, "Once more"))[-1] == "Hello, Once more!"


async def test_what_was_kept_with_one_key_is_not_shown_with_another(home: str) -> None:
    seat = await visit(home)
    assert await deed(seat, "persona", JOINED) == ""
    kept = remembered(seat)
    assert kept_with("", kept) == kept
    assert kept_with("chat-one", kept) == {}
    seat.key = "chat-one"
    kept = remembered(seat)
    assert kept["persona"] == seat.usual
    assert "chat-one" not in str(kept)
    assert kept_with("chat-one", kept) == kept
    assert kept_with("chat-two", kept) == kept_with("", kept) == {}


def test_a_mark_tells_keys_apart_and_is_no_key() -> None:
    assert mark("") == ""
    assert mark("chat-one") == mark("chat-one") != mark("chat-two")
    assert len(mark("chat-one")) == 8
