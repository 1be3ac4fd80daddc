"""What is known beside what was said: facts, and what people corrected and pinned. It belongs to the records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner
from chattr.domain.knowledge import Amendment, Fact
from chattr.domain.memory import Selection


@dataclass(frozen=True, slots=True)
class Facts:
    """A person's facts as they were read: of all characters, those that no longer hold among them.

    `revision` counts the changes of facts and of amendments together.
    """

    all: Sequence[Fact]
    revision: int


class Knowledge(Protocol):
    """A person's knowledge. What changes is put down in the outbox with the same write. All raise `Unavailable`."""

    async def facts(self, owner: Owner) -> Facts:
        """Return a person's facts."""
        ...

    async def revision(self, owner: Owner) -> int:
        """Return how often facts and amendments of a person changed."""
        ...

    async def write_facts(self, owner: Owner, before: Facts, after: Sequence[Fact]) -> Facts | None:
        """Put `after` in the place of what was read, and return it as it stands now.

        None, and nothing is done, where facts or amendments changed since.
        """
        ...

    async def learned(self, owner: Owner, conversation_id: str) -> frozenset[str]:
        """Return the messages of a conversation from which facts were drawn already."""
        ...

    async def note_learned(self, owner: Owner, conversation_id: str, message_ids: Sequence[str]) -> None:
        """Say that facts were drawn from messages."""
        ...

    async def amendments(self, owner: Owner) -> Mapping[str, Amendment]:
        """Return what a person did to memories, by the memory's id."""
        ...

    async def amend(self, owner: Owner, amendment: Amendment) -> bool:
        """Keep what was done to a memory, one revision further than `amendment` says.

        False, and nothing is done, where another revision is kept: somebody else did something meanwhile.
        """
        ...

    async def forget(self, owner: Owner, what: Selection, *, revision: int) -> bool:
        """Put down in the outbox what to forget, as the outbox does, where facts and amendments are at this revision.

        False, and nothing is done, where they changed since.
        """
        ...

    async def drop(self, owner: Owner, ids: Sequence[str]) -> None:
        """Forget what was done to memories."""
        ...

    async def drop_conversation(self, owner: Owner, conversation_id: str) -> None:
        """Forget from which messages of a conversation facts were drawn."""
        ...
