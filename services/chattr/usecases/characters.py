"""Who can be talked with: built-in characters, those from files, a tenant's own, and what other tenants publish.

A tenant's own comes first under its id; over one of the installation it is an override. Then comes the installation's,
then what another tenant has published.
"""

import asyncio
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chatacter.chassis.errors import Busy, Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from chattr.domain.character import ID, Brief, Character, Origin
from chattr.domain.identity import Owner
from chattr.domain.search import Search
from chattr.ports.records import Characters, StoredCharacter

MODELS_OFFERED: Final = "`model` is one of those that this installation offers to characters: {models}."
NO_MODELS: Final = "This installation offers no models to characters (MODEL__ALTERNATIVES): leave `model` out."
TAKEN: Final = "There is already a character {id!r}. Choose another id."
PUBLISHED_ELSEWHERE: Final = (
    "Somebody else has published a character {id!r}. Leave `published` out, or make this one under another id."
)
EVERYBODYS: Final = "What comes with the installation is everybody's already: an override cannot be `published`."
NOT_YOURS: Final = "{id!r} is published by somebody else, who alone can change it. Make one of your own with POST."
INSTALLED: Final = "{id!r} comes with the installation and cannot be deleted."
CROWDED: Final = "This character is being changed by many at once; try again in a moment."
WITHOUT_CHANGES: Final = "The records are away: this character answers as it was installed, without your changes."
ATTEMPTS: Final = 32
MOST_NAMED: Final = 30


@dataclass(frozen=True, slots=True)
class Known:
    """A character as one owner knows it. Without a revision it does not lie in the owner's records."""

    character: Character
    origin: Origin
    tenant: str | None = None
    """With whose files its card and picture lie; None: with those of whoever asks."""
    revision: str | None = None
    told: str | None = None
    """What is missing, for whoever gets its reply."""

    def home(self, owner: Owner) -> Owner:
        """Return where its files lie."""
        return owner.shared if self.tenant is None else Owner(self.tenant)


@dataclass(frozen=True, slots=True)
class Named:
    """A character as a list is searched by it."""

    brief: Brief
    origin: Origin
    tenant: str | None = None
    """In whose records it lies; None: it comes with the installation."""


Change = Callable[[Known | None], Awaitable[Character]]
Check = Callable[[Known | None], Awaitable[None]]


class Cast:
    """The characters that an owner can name, and the one way in which they change: each on the state it was read in."""

    def __init__(
        self,
        built_in: Mapping[str, Character],
        files: Mapping[str, Character],
        own: Characters,
        *,
        default: str,
        models: Sequence[str] = (),
    ) -> None:
        self._built_in = built_in
        self._files = files
        self._own = own
        self._default = default
        self._models = models

    @property
    def default_id(self) -> str:
        """Who answers where a request names nobody."""
        return self._default

    @property
    def shared(self) -> Sequence[Character]:
        """The characters that come with the installation."""
        return tuple({**self._built_in, **self._files}.values())

    def take_files(self, files: Mapping[str, Character]) -> None:
        """Put what the operator's files hold now in the place of what they held."""
        self._files = files

    def model_of(self, character: Character) -> str | None:
        """Return the model that a character asks for, where it is offered; None: the installation's answers."""
        return character.model if character.model in self._models else None

    async def find(self, owner: Owner, character_id: str) -> Known | None:
        """Return a character, or None. While the records are away, one of the installation without overrides."""
        if not ID.fullmatch(character_id):
            return None
        installed = self._files.get(character_id) or self._built_in.get(character_id)
        try:
            own = await self._own.get(owner, character_id)
        except Unavailable:
            if installed is None:
                raise
            return Known(installed, self._installed(installed).origin, told=WITHOUT_CHANGES)
        if own is not None:
            return self._mine(own)
        if installed is not None:
            return self._installed(installed)
        published = await self._own.published(character_id)
        return of_another(published) if published else None

    async def known(self, owner: Owner, character_id: str) -> Known:
        """Return a character. Raises `NotFound`, listing who there is."""
        found = await self.find(owner, character_id)
        if found is None:
            ids = [brief.id for brief in await self.list(owner)]
            more = f" and {len(ids) - MOST_NAMED} more" if len(ids) > MOST_NAMED else ""
            known = ", ".join(ids[:MOST_NAMED]) + more
            raise NotFound(f"There is no character {character_id!r}. Known: {known}.", param="model")
        return found

    async def get(self, owner: Owner, character_id: str) -> Character:
        """Return a character. Raises `NotFound`, listing who there is."""
        return (await self.known(owner, character_id)).character

    async def everybody(self, owner: Owner) -> list[Named]:
        """Return all whom an owner can name, by id."""
        published, own = await asyncio.gather(self._own.all_published(), self._own.list(owner))
        found = {brief.id: Named(brief, "published", tenant) for tenant, brief in published if tenant != owner.tenant}
        found |= {each.id: Named(Brief.of(each), self._installed(each).origin) for each in self.shared}
        found |= {brief.id: Named(brief, self._own_origin(brief.id), owner.tenant) for brief in own}
        return [found[name] for name in sorted(found)]

    async def list(self, owner: Owner) -> list[Brief]:
        """Return all whom an owner can name, by id."""
        return [one.brief for one in await self.everybody(owner)]

    async def page(
        self, owner: Owner, search: Search, *, origin: Origin | None, after: str | None, limit: int
    ) -> tuple[Sequence[Known], bool]:
        """Return those that are looked for, by id, behind `after`, and whether there are more than `limit`."""
        found = [
            one
            for one in await self.everybody(owner)
            if (origin is None or one.origin == origin) and search.finds(one.brief)
        ]
        start = bisect_right(found, after, key=lambda one: one.brief.id) if after is not None else 0
        return await self._whole(owner, found[start : start + limit]), len(found) > start + limit

    async def _whole(self, owner: Owner, some: Sequence[Named]) -> Sequence[Known]:
        """Read characters whole that a list names; who went meanwhile is left out."""
        places = [(one.tenant, one.brief.id) for one in some if one.tenant is not None]
        stored = {
            one.character.id: self._mine(one) if one.tenant == owner.tenant else of_another(one)
            for one in await self._own.some(places)
        }
        installed = {each.id: self._installed(each) for each in self.shared}
        known = (stored.get(one.brief.id) if one.tenant is not None else installed.get(one.brief.id) for one in some)
        return [one for one in known if one is not None]

    async def create(self, owner: Owner, character: Character) -> Known:
        """Store a new character. Raises `Conflict` when its id is taken, `InvalidInput` for what it may not be."""
        if self._comes_installed(character.id):
            raise Conflict(TAKEN.format(id=character.id), param="id")
        self._require_allowed(character)
        outcome = await self._own.write(owner, character, None)
        if outcome != "done":
            sentence = TAKEN if outcome == "stale" else PUBLISHED_ELSEWHERE
            raise Conflict(sentence.format(id=character.id), param="id" if outcome == "stale" else "published")
        return Known(character, "own", owner.tenant)

    async def change(self, owner: Owner, character_id: str, change: Change) -> tuple[Known | None, Known]:
        """Change a character, or make it; return what was before and what is now.

        `change` is given what there is and says what there shall be, again where somebody else was quicker: nothing
        that another has written meanwhile is lost. Changing one of the installation makes an override of the tenant's
        own. Raises `Forbidden` for another tenant's, `Conflict`, `InvalidInput`.
        """
        for _ in range(ATTEMPTS):
            before = await self._changeable(owner, character_id)
            character = await change(before)
            if before is not None and character == before.character:
                return before, before
            self._require_allowed(character)
            outcome = await self._own.write(owner, character, before.revision if before else None)
            if outcome == "taken":
                raise Conflict(PUBLISHED_ELSEWHERE.format(id=character_id), param="published")
            if outcome == "done":
                return before, self._mine(StoredCharacter(character, owner.tenant, ""))
        raise Busy(CROWDED, retry_after=1)

    async def delete(self, owner: Owner, character_id: str, check: Check) -> Known:
        """Remove one of the tenant's own, or take an override back; return what was removed.

        `check` may refuse it, given what there is. Raises `NotFound`, `Forbidden`, or `InvalidInput` for one of the
        installation.
        """
        for _ in range(ATTEMPTS):
            found = await self._changeable(owner, character_id)
            if found is None:
                raise NotFound(f"There is no character {character_id!r}.", param="id")
            await check(found)
            if found.revision is None:
                raise InvalidInput(INSTALLED.format(id=character_id), param="id")
            if await self._own.delete(owner, character_id, found.revision):
                return found
        raise Busy(CROWDED, retry_after=1)

    def _comes_installed(self, character_id: str) -> bool:
        return character_id in self._files or character_id in self._built_in

    def _installed(self, character: Character) -> Known:
        return Known(character, "file" if character.id in self._files else "built_in")

    def _mine(self, stored: StoredCharacter) -> Known:
        return Known(stored.character, self._own_origin(stored.character.id), stored.tenant, stored.revision)

    def _own_origin(self, character_id: str) -> Origin:
        return "override" if self._comes_installed(character_id) else "own"

    async def _changeable(self, owner: Owner, character_id: str) -> Known | None:
        """Return what a change begins with. Unlike for a talk, the records must answer."""
        found = await self.find(owner, character_id)
        if found is not None and found.origin == "published":
            raise Forbidden(NOT_YOURS.format(id=character_id), param="character_id")
        if found is not None and found.told is not None:
            raise Unavailable(found.told, retry_after=2)
        return found

    def _require_allowed(self, character: Character) -> None:
        """Refuse what the installation does not give to characters. Raises `InvalidInput`."""
        if character.model is not None and self.model_of(character) is None:
            offered = ", ".join(self._models)
            raise InvalidInput(MODELS_OFFERED.format(models=offered) if offered else NO_MODELS, param="model")
        if character.published and self._comes_installed(character.id):
            raise InvalidInput(EVERYBODYS, param="published")


def of_another(stored: StoredCharacter) -> Known:
    """Show what another tenant has published."""
    return Known(stored.character, "published", stored.tenant)
