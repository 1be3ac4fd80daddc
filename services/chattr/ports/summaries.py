"""The running summaries of conversations. They lie with the conversation and go with the messages that they sum up."""

from collections.abc import Sequence
from typing import Protocol

from chattr.domain.identity import Owner
from chattr.domain.summary import Summary


class Summaries(Protocol):
    """A person's summaries. What removes a message removes those that end with it, in one step. All raise
    `Unavailable`.
    """

    async def of(self, owner: Owner, conversation_id: str) -> Sequence[Summary]:
        """Return all of one conversation, of all its branches, in no particular order."""
        ...

    async def put(self, owner: Owner, summary: Summary, *, instead_of: Summary | None = None) -> bool:
        """Keep a new one, or one in the place of another of the same id.

        False, and nothing is done, where its message is gone or the summary that it was made of; where there is one
        already; and where `instead_of` is not what is there.
        """
        ...

    async def drop(self, owner: Owner, conversation_id: str, ids: Sequence[str]) -> None:
        """Remove some of one conversation."""
        ...

    async def places(self, owner: Owner) -> Sequence[str]:
        """Return the conversations that have any."""
        ...
