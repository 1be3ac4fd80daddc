"""What can be read off the messages of a conversation as a tree. They come in the order in which they were added, each
after the one that it answers; what was added last under a message is therefore always a leaf.
"""

from collections.abc import Sequence

from chattr.domain.conversation import Message, branch


class Tree:
    """All messages of a conversation, of all its branches."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.messages = messages
        self._by_id = {message.id: message for message in messages}
        self._answers: dict[str | None, list[str]] = {}
        self._places: dict[str, int] = {}
        for message in messages:
            answers = self._answers.setdefault(message.parent_id, [])
            self._places[message.id] = len(answers)
            answers.append(message.id)

    def get(self, message_id: str) -> Message | None:
        """Return a message, or None."""
        return self._by_id.get(message_id)

    def path(self, leaf_id: str | None) -> list[Message]:
        """Return what was said up to a message and including it, oldest first."""
        return branch(self.messages, leaf_id)

    def beside(self, path: Sequence[Message]) -> list[Message]:
        """Return the messages that are not on a path."""
        on_it = {message.id for message in path}
        return [message for message in self.messages if message.id not in on_it]

    def siblings(self, message: Message) -> Sequence[str]:
        """Return the messages that answer the same one, itself among them, oldest first."""
        return self._answers[message.parent_id]

    def place(self, message: Message) -> int:
        """Return which of its siblings a message is, from 0."""
        return self._places[message.id]

    def under(self, message_id: str) -> list[str]:
        """Return a message and all that followed on it, parents first."""
        found = {message_id: None}
        for message in self.messages:
            if message.parent_id in found:
                found[message.id] = None
        return list(found)

    def newest_leaf(self, message_id: str) -> str:
        """Return where somebody goes who chooses a message: what was said last under it, or itself."""
        return self._newest(set(self.under(message_id))) or message_id

    def head_without(self, removed: Sequence[str], head_id: str | None) -> str | None:
        """Return the head when a message with all that followed on it, `removed`, is gone.

        A head that stays is kept. Else it is the newest leaf beside what was removed, or what that answered.
        """
        gone = set(removed)
        if head_id is None or (head_id not in gone and head_id in self._by_id):
            return head_id
        parent_id = self._by_id[removed[0]].parent_id
        around = set(self._by_id) if parent_id is None else set(self.under(parent_id))
        return self._newest(around - gone)

    def _newest(self, among: set[str]) -> str | None:
        return next((message.id for message in reversed(self.messages) if message.id in among), None)
