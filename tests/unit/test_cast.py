"""Who is meant by an id, and what is said of one that nobody has."""

from collections.abc import Sequence

import pytest

from chatacter.chassis.errors import Busy, NotFound
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.domain.character import Character
from chattr.domain.identity import Owner
from chattr.domain.search import Search
from chattr.ports.records import StoredCharacter, Written
from chattr.usecases.characters import MOST_NAMED, Cast, Known

pytestmark = pytest.mark.unit

ANN, EVE = Owner("acme", "ann"), Owner("evil", "eve")


def somebody(name: str, personality: str = "Kind.", *, published: bool = False) -> Character:
    return Character(id=name, name=name.title(), personality=personality, published=published)


async def listed(cast: Cast) -> list[tuple[str, str]]:
    found, more = await cast.page(ANN, Search(), origin=None, after=None, limit=10)
    assert not more
    assert [one.character.id for one in found] == [one.id for one in await cast.list(ANN)]
    return [(one.origin, one.character.personality) for one in found]


async def test_a_tenants_own_comes_first_then_files_then_built_in_then_published() -> None:
    own = FakeCharacters()
    cast = Cast({"ada": somebody("ada", "Built in.")}, {}, own, default="ada")
    await own.write(EVE, somebody("ada", "Published.", published=True), None)
    assert (await cast.get(ANN, "ada")).personality == "Built in."
    cast.take_files({"ada": somebody("ada", "From a file.")})
    assert await listed(cast) == [("file", "From a file.")]
    await own.write(ANN, somebody("ada", "Own."), None)
    assert await listed(cast) == [("override", "Own.")]
    cast.take_files({"bob": somebody("bob")})
    cast = Cast({}, {}, own, default="ada")
    assert (await cast.known(ANN, "ada")).origin == "own"
    assert (await cast.known(Owner("third"), "ada")).origin == "published"


@pytest.mark.parametrize("character_id", ["nobody", "../ada", "\ud800", ""])
async def test_one_that_nobody_has_is_told_with_some_whom_there_are(character_id: str) -> None:
    many = {f"one-{number:03}": somebody(f"one-{number:03}") for number in range(MOST_NAMED + 5)}
    with pytest.raises(NotFound) as told:
        await Cast(many, {}, FakeCharacters(), default="ada").known(ANN, character_id)
    assert told.value.message.endswith(f"one-{MOST_NAMED - 1:03} and 5 more.")


class Counted(FakeCharacters):
    """Counts what is read whole."""

    whole = 0

    async def get(self, owner: Owner, character_id: str) -> StoredCharacter | None:
        self.whole += (found := await super().get(owner, character_id)) is not None
        return found

    async def some(self, places: Sequence[tuple[str, str]]) -> Sequence[StoredCharacter]:
        found = await super().some(places)
        self.whole += len(found)
        return found


async def test_a_list_reads_no_more_characters_than_it_shows() -> None:
    own = Counted()
    for number in range(40):
        await own.write(EVE, somebody(f"hers-{number:02}", published=True), None)
        await own.write(ANN, somebody(f"mine-{number:02}"), None)
    cast = Cast({"ada": somebody("ada")}, {}, own, default="ada")
    found, more = await cast.page(ANN, Search(), origin=None, after="hers-38", limit=3)
    assert ([one.character.id for one in found], more) == (["hers-39", "mine-00", "mine-01"], True)
    assert [one.origin for one in found] == ["published", "own", "own"]
    assert own.whole == 3
    with pytest.raises(NotFound):
        await cast.known(ANN, "nobody")
    assert len(await cast.list(ANN)) == 81
    assert own.whole == 3


class Contended(FakeCharacters):
    """Somebody else is always quicker."""

    async def write(self, owner: Owner, character: Character, expected: str | None) -> Written:
        return "stale"

    async def delete(self, owner: Owner, character_id: str, expected: str) -> bool:
        return False


async def test_what_many_change_at_once_is_given_up_after_some_tries() -> None:
    own = Contended()
    await FakeCharacters.write(own, ANN, somebody("zoe"), None)
    cast = Cast({}, {}, own, default="ada")

    async def changed(_: Known | None) -> Character:
        return somebody("zoe", "Stern.")

    async def passes(_: Known | None) -> None:
        return None

    with pytest.raises(Busy):
        await cast.change(ANN, "zoe", changed)
    with pytest.raises(Busy):
        await cast.delete(ANN, "zoe", passes)
