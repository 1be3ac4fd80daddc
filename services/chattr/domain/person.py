"""Who a character talks with, as far as that person says."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from chatacter.contracts.base import Strict
from chattr.domain.mistake import mistake
from chattr.domain.naming import visible

USER: Final = "User"
"""What a person without a name is called where a card says `{{user}}`."""
BAD_NAME: Final = "a person's name stands on one line and can be seen, or is left out"


def checked_name(value: str) -> str:
    """Trim a name; refuse one that would break a line, or of which nothing can be seen."""
    trimmed = value.strip()
    if not visible(trimmed):
        raise mistake(BAD_NAME)
    return trimmed


class Persona(Strict):
    """A person as a character knows them."""

    name: Annotated[str, Field(max_length=100), AfterValidator(checked_name)] = ""
    """What `{{user}}` stands for. Empty: "User"."""
    description: Annotated[str, Field(max_length=4_000)] = ""
    """Who they are, told to the character."""

    @property
    def called(self) -> str:
        """The name, or what stands for one."""
        return self.name or USER


NOBODY: Final = Persona()
