"""What is read from a file, before anybody knows whose conversation it becomes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from chatacter.chassis.errors import InvalidInput, TooLarge
from chattr.domain.conversation import Message, Order
from chattr.domain.person import Persona

MOST_MESSAGES: Final = 10_000
LONGEST_CONTENT: Final = 131_072
# The end of the year 9999, the last that a date can be written of.
LATEST: Final = 253_402_300_799

TOO_MANY: Final = f"A conversation that is imported has at most {MOST_MESSAGES} messages."
TOO_LONG: Final = f"A message that is imported has at most {LONGEST_CONTENT} characters."
NO_TREE: Final = "The messages are no tree: message {number} stands under one that is not there, or under itself."
TWICE: Final = "The messages are no tree: two of them have the same id (message {number})."


@dataclass(slots=True)
class Transcript:
    """A conversation as a file tells it. Messages come parents first; ids are the file's."""

    messages: list[Message]
    head_id: str | None
    created_at: float
    title: str | None = None
    persona: Persona | None = None
    character_id: str | None = None
    """Who it was with, by id; None where the file knows only names."""
    names: dict[str, str] = field(default_factory=dict)
    """Who said each message of a character, by name, where the file knows only names."""
    name: str | None = None
    """What the character is called in the file."""
    members: tuple[str, ...] = ()
    order: Order = "mention"
    replies: int = 1
    warnings: list[str] = field(default_factory=list)


def require_fitting(messages: Sequence[Message]) -> None:
    """Refuse what is too much. Raises `TooLarge`."""
    if len(messages) > MOST_MESSAGES:
        raise TooLarge(TOO_MANY)
    if any(len(message.content) > LONGEST_CONTENT for message in messages):
        raise TooLarge(TOO_LONG)


def parents_first(messages: Sequence[Message]) -> list[Message]:
    """Order messages so that each comes after the one that it answers, else as they are. Raises `InvalidInput`."""
    numbers: dict[str, int] = {}
    for number, message in enumerate(messages):
        if message.id in numbers:
            raise InvalidInput(TWICE.format(number=number))
        numbers[message.id] = number
    placed: set[str | None] = {None}
    ordered: list[Message] = []
    for message in messages:
        waiting = [message]
        while waiting[-1].parent_id not in placed:
            parent = numbers.get(waiting[-1].parent_id or "")
            if parent is None or len(waiting) > len(messages):
                raise InvalidInput(NO_TREE.format(number=numbers[waiting[-1].id]))
            waiting.append(messages[parent])
        for each in reversed(waiting):
            if each.id not in placed:
                placed.add(each.id)
                ordered.append(each)
    return ordered
