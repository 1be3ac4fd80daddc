"""Lorebooks that stand by themselves, for characters to share."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator

from chatacter.contracts.base import Strict
from chattr.domain.character import checked_id
from chattr.domain.lorebook.book import Label, Lorebook

SCHEMA_VERSION: Final = 1

LorebookId = Annotated[str, AfterValidator(checked_id)]


class SharedLorebook(Strict):
    """A lorebook as it is stored."""

    id: LorebookId
    """What characters name it by."""
    schema_version: Literal[1] = SCHEMA_VERSION
    """Of what is stored; a later shape raises it and reads those before."""
    created_at: float
    """Seconds since 1970."""
    updated_at: float
    """Seconds since 1970."""
    lorebook: Lorebook
    """What stands in it."""

    def summary(self) -> "Summary":
        """Return what a list shows."""
        book = self.lorebook
        return Summary(
            id=self.id,
            name=book.name,
            entries=len(book.entries),
            created_at=self.created_at,
            updated_at=self.updated_at,
        )


class Summary(Strict):
    """A stored lorebook without its entries."""

    object: Literal["lorebook.summary"] = "lorebook.summary"
    """What this is."""
    id: LorebookId
    """What characters name it by."""
    name: Label | None = None
    """For people."""
    entries: int
    """How many there are."""
    created_at: float
    """Seconds since 1970."""
    updated_at: float
    """Seconds since 1970."""
