"""Who of a group speaks next, as far as that can be read off what was said. Pure."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chatacter.chassis.errors import Conflict
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.person import NOBODY
from chattr.domain.prompt import Turn


@dataclass(frozen=True, slots=True)
class Company:
    """A group as it is now: its members in their order, and what everybody is called who ever spoke in it."""

    conversation: Conversation
    members: tuple[Character, ...]
    names: dict[str, str]

    @property
    def person(self) -> str:
        """What the person is called."""
        return (self.conversation.persona or NOBODY).called

    @property
    def audience(self) -> tuple[str, ...]:
        """Who hears what is said now."""
        return tuple(member.id for member in self.members)

    @property
    def mindful(self) -> tuple[str, ...]:
        """Which of them remember it."""
        return tuple(member.id for member in self.members if member.memory.long_term)

    def member(self, character_id: str | None) -> Character | None:
        """Return a member, or None."""
        return next((member for member in self.members if member.id == character_id), None)

    def require(self, character_id: str) -> Character:
        """Return a member. Raises `Conflict`, saying who is there."""
        found = self.member(character_id)
        if found is None:
            here = ", ".join(self.audience)
            raise Conflict(f"{character_id!r} is not in this conversation. Here are: {here}.", param="character")
        return found

    def seen_by(self, character: Character, path: Iterable[Message]) -> list[Turn]:
        """Return what one of them knows of what was said, as it sees it: its own words, and the others' by name."""
        return [
            Turn("assistant", message.content)
            if message.character_id == character.id and message.role == "assistant"
            else Turn("user", message.content, speaker=self.called(message))
            for message in path
            if character.id in self.conversation.hearers(message)
        ]

    def called(self, message: Message) -> str:
        """Return the name of whoever said something."""
        if message.role == "user":
            return self.person
        return self.names.get(message.character_id or "", message.character_id or self.person)

    def note(self, character: Character) -> str:
        """Say to a character who is there and whose turn it is; small models need it close to their answer."""
        others = [self.names[member.id] for member in self.members if member.id != character.id]
        return f"[{', '.join([*others, self.person])} are here with you. Speak as {self.names[character.id]} alone.]"


def mentioned(text: str, members: Sequence[Character]) -> list[Character]:
    """Return the members whom a text names, by name, first name or nickname, in the order in which it names them."""
    places = [(place, member) for member in members if (place := first_place(text, member)) is not None]
    return [member for _, member in sorted(places, key=lambda found: found[0])]


def first_place(text: str, member: Character) -> int | None:
    """Return where a text names somebody first: as a whole word, in any case."""
    names = {member.name, member.nickname, member.name.split()[0]} - {""}
    found = (re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) for name in names)
    return min((match.start() for match in found if match), default=None)


def after(members: Sequence[Character], path: Sequence[Message]) -> Character:
    """Return who comes after the one that spoke last, around the table."""
    ids = [member.id for member in members]
    spoke = next((m.character_id for m in reversed(path) if m.role == "assistant" and m.character_id in ids), None)
    return members[(ids.index(spoke) + 1) % len(ids)] if spoke else members[0]


def since_the_person(path: Sequence[Message]) -> tuple[Message | None, list[str]]:
    """Return the person's last message, and who spoke since, in order."""
    spoke: list[str] = []
    for message in reversed(path):
        if message.role == "user":
            return message, spoke[::-1]
        spoke.append(message.character_id or "")
    return None, spoke[::-1]
