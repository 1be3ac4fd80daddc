"""Who can be talked with: built-in characters, those from files, and a tenant's own."""

from collections.abc import Mapping, Sequence
from typing import Final

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound
from chattr.domain.character import Character, Origin
from chattr.domain.identity import Owner
from chattr.ports.records import Characters

MODELS_OFFERED: Final = "`model` is one of those that this installation offers to characters: {models}."
NO_MODELS: Final = "This installation offers no models to characters (MODEL__ALTERNATIVES): leave `model` out."


class Cast:
    """The characters that an owner can name. A tenant's own cannot take the id of a shared one."""

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
        self._shared = {**built_in, **files}
        self._own = own
        self._default = default
        self._models = models

    @property
    def default_id(self) -> str:
        """Who answers where a request names nobody."""
        return self._default

    @property
    def shared(self) -> Sequence[Character]:
        """The characters that everybody sees."""
        return tuple(self._shared.values())

    def model_of(self, character: Character) -> str | None:
        """Return the model that a character asks for, where it is offered; None: the installation's answers."""
        return character.model if character.model in self._models else None

    def origin(self, character_id: str) -> Origin:
        """Say where a character comes from."""
        if character_id in self._built_in:
            return "built_in"
        return "file" if character_id in self._shared else "own"

    async def get(self, owner: Owner, character_id: str) -> Character:
        """Return a character. Raises `NotFound`, listing who there is."""
        found = self._shared.get(character_id) or await self._own.get(owner, character_id)
        if found is None:
            known = ", ".join(character.id for character in await self.list(owner))
            raise NotFound(f"There is no character {character_id!r}. Known: {known}.", param="model")
        return found

    async def list(self, owner: Owner) -> list[Character]:
        """Return the shared characters, then the tenant's own."""
        return [*self._shared.values(), *await self._own.list(owner)]

    async def create(self, owner: Owner, character: Character) -> Character:
        """Store a new character. Raises `Conflict` when the id is taken, `InvalidInput` for a model not offered."""
        if character.model is not None and self.model_of(character) is None:
            raise InvalidInput(self._unoffered(), param="model")
        if character.id in self._shared or not await self._own.add(owner, character):
            raise Conflict(f"There is already a character {character.id!r}. Choose another id.", param="id")
        return character

    def _unoffered(self) -> str:
        return MODELS_OFFERED.format(models=", ".join(self._models)) if self._models else NO_MODELS

    async def delete(self, owner: Owner, character_id: str) -> None:
        """Remove one of the tenant's own. Raises `NotFound`, or `InvalidInput` for a shared one."""
        if character_id in self._shared:
            raise InvalidInput(f"{character_id!r} comes with the installation and cannot be deleted.", param="id")
        if not await self._own.delete(owner, character_id):
            raise NotFound(f"There is no character {character_id!r}.", param="id")
