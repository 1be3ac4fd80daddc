"""Where a prompt is used: with whom, in which conversation, with which lorebooks."""

from dataclasses import dataclass, replace
from typing import Final

from chattr.domain.character import Character
from chattr.domain.lorebook.rules import Shelf
from chattr.domain.macros import Chance, Names, expanded
from chattr.domain.person import NOBODY, Persona


@dataclass(frozen=True, slots=True)
class Setting:
    """What a prompt depends on beside the character and what was said."""

    person: Persona = NOBODY
    conversation: str = ""
    """What `{{pick}}` follows, and all chance in the stable prefix. Empty: none, and all prefixes are the same."""
    occasion: str = ""
    """What `{{random}}` follows: another one for each prompt."""
    shared: tuple[Shelf, ...] = ()
    """The lorebooks that the character names, as far as they are there."""


ANYWHERE: Final = Setting()


@dataclass(frozen=True, slots=True)
class Voice:
    """Replaces the macros of a character's texts."""

    character: Character
    setting: Setting = ANYWHERE

    @property
    def names(self) -> Names:
        """Whose names stand for the macros. Source of the nickname's precedence: V3."""
        called = self.character.nickname or self.character.name
        return Names(called, self.setting.person.called, Chance(self.setting.conversation, self.setting.occasion))

    def still(self, text: str, place: str, original: str | None = None) -> str:
        """Replace macros in a text that is the same in every prompt of the conversation."""
        names = self.names
        return expanded(text, replace(names, chance=names.chance.still()), place, original=original)

    def fresh(self, text: str, place: str, original: str | None = None) -> str:
        """Replace macros in a text that is written anew for each prompt."""
        return expanded(text, self.names, place, original=original)

    def greetings(self) -> tuple[str, ...]:
        """Return what the character may open with, as the person reads it."""
        return tuple(self.still(text, f"greeting {index}") for index, text in enumerate(self.character.greetings))

    @property
    def shelves(self) -> list[Shelf]:
        """The books, the character's own first: it takes precedence."""
        own = self.character.lorebook
        return [Shelf("character", own), *self.setting.shared] if own else list(self.setting.shared)
