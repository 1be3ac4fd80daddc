"""Facts that are drawn from talk: what a language model is asked, how its answer is read, and what is made of it. Pure.

A model's answer is never trusted: it may name only messages that it was shown, and facts that were shown to it.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from chattr.domain.conversation import Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import About, Fact, Source, fact_id, mended
from chattr.domain.terms import Stem, words

LONGEST_FACT: Final = 300
MOST_DRAWN: Final = 8
LONGEST_SHOWN: Final = 1_000
# Two facts that share so much of their words say the same.
ALIKE: Final = 0.8
ANSWER: Final = re.compile(r"\{.*\}", re.DOTALL)
ABOUT: Final[dict[str, About]] = {"person": "person", "world": "world", "self": "self"}

SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": MOST_DRAWN,
            "items": {
                "type": "object",
                "properties": {
                    "text": {"type": "string"},
                    "about": {"type": "string", "enum": [*ABOUT]},
                    "lines": {"type": "array", "items": {"type": "integer"}},
                    "replaces": {"type": ["integer", "null"]},
                },
                "required": ["text", "about", "lines", "replaces"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["facts"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: Final = {
    "type": "json_schema",
    "json_schema": {"name": "facts", "schema": SCHEMA, "strict": True},
}
TASK: Final = """\
You keep the memory of {name}, who talks with a person. From the NEW lines of a conversation, write down lasting facts:
- "person": about the person who talks: who they are, whom and what they have, like, fear, plan, believe, did.
- "world": what the person states as true about other people, places and things in their life.
- "self": what {name} says of itself: its own opinions, promises, and how it sees this person.
Each fact is one short sentence in the third person that can be understood by itself ("The person's dog is called
Biscuit."). `lines` are the numbers of the new lines that state it.
Write down nothing that is a joke, irony, a game or made up; nothing hypothetical ("if I were", "imagine"); no question;
no greeting, no passing mood, no general knowledge; nothing that a KNOWN fact says already.
Where a new fact makes a KNOWN one untrue, `replaces` is the number of that known fact, else null.
Most talk holds no lasting fact: then answer {{"facts": []}}. Answer with JSON alone:
{{"facts": [{{"text": "...", "about": "person", "lines": [1], "replaces": null}}]}}"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is shown to a model: lines that are only there to be understood, the new ones, and what is known."""

    name: str
    before: Sequence[Message]
    new: Sequence[Message]
    known: Sequence[Fact]

    def messages(self) -> list[dict[str, Any]]:
        """Write what the model is asked."""
        known = "\n".join(f"{number}. {fact.text}" for number, fact in enumerate(self.known, 1)) or "(nothing)"
        before = "\n".join(self._line(message) for message in self.before) or "(nothing)"
        new = "\n".join(f"{number}. {self._line(message)}" for number, message in enumerate(self.new, 1))
        asked = f"KNOWN:\n{known}\n\nBEFORE:\n{before}\n\nNEW:\n{new}"
        return [{"role": "system", "content": TASK.format(name=self.name)}, {"role": "user", "content": asked}]

    def _line(self, message: Message) -> str:
        speaker = "person" if message.role == "user" else self.name
        return f"{speaker}: {' '.join(message.content.split())[:LONGEST_SHOWN]}"

    def read(self, answer: str) -> list["Drawn"]:
        """Read a model's answer; what is not as it was asked for is left out."""
        found = ANSWER.search(answer)
        try:
            given = json.loads(found.group()) if found else None
        except (ValueError, RecursionError):
            return []
        facts = given.get("facts") if isinstance(given, dict) else None
        drawn = (self._drawn(one) for one in facts[:MOST_DRAWN]) if isinstance(facts, list) else ()
        return [one for one in drawn if one is not None]

    def _drawn(self, given: Any) -> "Drawn | None":
        """Read one fact. What {name} is said to hold has to come from its own lines, all else from the person's."""
        if not isinstance(given, dict) or not isinstance(given.get("text"), str):
            return None
        text = " ".join(given["text"].split())
        about = ABOUT.get(str(given.get("about")))
        speaker = "assistant" if about == "self" else "user"
        lines = [self.new[number - 1] for number in numbers(given.get("lines"), len(self.new))]
        stated = tuple(message for message in lines if message.role == speaker)
        if about is None or not stated or not 0 < len(text) <= LONGEST_FACT:
            return None
        replaces = numbers([given.get("replaces")], len(self.known))
        return Drawn(about, text, stated, self.known[replaces[0] - 1].id if replaces else None)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fact as a model drew it, the messages that state it, and the fact that it makes untrue."""

    about: About
    text: str
    stated: tuple[Message, ...]
    replaces: str | None


def numbers(given: Any, most: int) -> list[int]:
    """Return the numbers among what a model gave that stand for something."""
    if not isinstance(given, list):
        return []
    return [one for one in given if isinstance(one, int) and not isinstance(one, bool) and 1 <= one <= most]


def learned(
    owner: Owner, character_id: str, conversation_id: str, facts: Sequence[Fact], drawn: Iterable[Drawn], stem: Stem
) -> list[Fact]:
    """Add what was drawn to what is known: what says the same stands on one more message, what changed is replaced."""
    every = {fact.id: fact for fact in facts}
    for one in drawn:
        sources = tuple(Source(conversation_id, message.id, message.created_at) for message in one.stated)
        own = [fact for fact in every.values() if fact.character_id == character_id and fact.valid_to is None]
        same = next((fact for fact in own if alike(fact.text, one.text, stem)), None)
        if same is not None:
            every[same.id] = replace(same, sources=joined(same.sources, sources))
            continue
        name = fact_id(owner, character_id, one.text, sources[0].message_id)
        replaced = one.replaces if one.replaces in every else None
        every.setdefault(
            name,
            Fact(name, character_id, one.about, one.text, sources, valid_from=sources[0].said_at, supersedes=replaced),
        )
        every = {fact.id: fact for fact in mended([*every.values()], every)}
    return list(every.values())


def joined(sources: Sequence[Source], more: Iterable[Source]) -> tuple[Source, ...]:
    """Add sources, each message once."""
    return tuple({(one.conversation_id, one.message_id): one for one in (*more, *sources)}.values())


def alike(one: str, other: str, stem: Stem) -> bool:
    """Whether two facts say the same in nearly the same words."""
    these, those = set(words(one, stem)), set(words(other, stem))
    return len(these & those) >= ALIKE * len(these | those)
