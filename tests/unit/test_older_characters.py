"""Characters from before schema 3 that came from cards: what is written anew of them says what their cards say."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.domain.character import Character, CharacterCreate
from chattr.domain.identity import Owner
from chattr.ports.casting import Picture
from chattr.usecases.cards import Cards
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Cast, Known
from chattr.usecases.editing import Editing
from chattr.usecases.kept_cards import KeptCards
from tests.card_material import in_json, v3

pytestmark = pytest.mark.unit

ANN: Final = Owner("acme", "ann")
FACE: Final = Picture(b"<svg/>", "image/svg+xml")
OWN: Final = {"appearance": "A man in a straw hat.", "memory": {"recall": 2}, "top_p": 0.5}
NEWER: Final = ("nickname", "group_greetings", "lorebook", "appearance", "memory", "top_p")
Change = Callable[[Editing, Character], Awaitable[object]]


async def anyway(_: Known | None) -> None:
    """Refuse nothing."""


class Shelf:
    """A character from a card, as a version before schema 3 stored it."""

    def __init__(self) -> None:
        self.own, assets = FakeCharacters(), FakeAssets()
        self.cast = Cast({}, {}, self.own, default="rowan")
        kept = KeptCards(assets)
        actors = Actors(self.cast, {}, assets, voice="", speech=False, video=False)
        self.cards = Cards(self.cast, actors, assets, kept)
        self.editing = Editing(self.cast, assets, kept)

    async def filled(self) -> "Shelf":
        card = in_json(v3(extensions={"chatacter": OWN, "depth": 4}))
        made = (await self.cards.take(ANN, card, "rowan")).known.character
        newer = {name: CharacterCreate.model_fields[name].default for name in NEWER}
        older = made.model_copy(update={**newer, "schema_version": 2})
        stored = await self.own.get(ANN, "rowan")
        assert stored is not None
        assert await self.own.write(ANN, older, stored.revision) == "done"
        return self

    async def exported(self) -> dict[str, Any]:
        """Return the character's card without its date, and what a portrait adds."""
        data = dict(json.loads((await self.cards.give(ANN, "rowan", "json")).data)["data"])
        return {name: value for name, value in data.items() if name not in {"modification_date", "assets"}}


async def show(editing: Editing, _: Character) -> None:
    await editing.set_portrait(ANN, "rowan", FACE, anyway)


async def patch(editing: Editing, _: Character) -> None:
    await editing.patch(ANN, "rowan", {"scenario": "A wood."}, anyway)


async def send_back(editing: Editing, read: Character) -> None:
    fields = read.model_dump(include=set(CharacterCreate.model_fields), mode="json")
    await editing.replace(ANN, CharacterCreate.model_validate({**fields, "scenario": "A wood."}), anyway)


@pytest.mark.parametrize(
    ("change", "changed"), [(show, {}), (patch, {"scenario": "A wood."}), (send_back, {"scenario": "A wood."})]
)
async def test_the_first_change_keeps_what_the_card_says(change: Change, changed: dict[str, str]) -> None:
    shelf = await Shelf().filled()
    before = await shelf.exported()
    await change(shelf.editing, await shelf.cast.get(ANN, "rowan"))
    after = await shelf.cast.get(ANN, "rowan")
    assert (after.schema_version, after.nickname, after.group_greetings) == (3, "Row", ("All of you?",))
    assert after.lorebook is not None
    assert (after.appearance, after.memory.recall, after.top_p) == (OWN["appearance"], 2, 0.5)
    assert await shelf.exported() == {**before, **changed}


async def test_what_the_first_change_clears_leaves_the_card() -> None:
    shelf = await Shelf().filled()
    await shelf.editing.patch(ANN, "rowan", {"lorebook": None, "nickname": "Ro"}, anyway)
    card = await shelf.exported()
    assert ("character_book" in card, card["nickname"], card["group_only_greetings"]) == (False, "Ro", ["All of you?"])
    await shelf.editing.patch(ANN, "rowan", {"nickname": None}, anyway)
    assert (await shelf.exported())["nickname"] == ""


async def test_a_character_whose_card_is_gone_changes_all_the_same() -> None:
    shelf = await Shelf().filled()
    stored = await shelf.own.get(ANN, "rowan")
    assert stored is not None
    lost = stored.character.model_copy(update={"card": "card_lost"})
    assert await shelf.own.write(ANN, lost, stored.revision) == "done"
    await patch(shelf.editing, lost)
    after = await shelf.cast.get(ANN, "rowan")
    assert (after.schema_version, after.scenario, after.card) == (3, "A wood.", "card_lost")
