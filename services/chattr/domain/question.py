"""What a question asks about: whose doing, which time, which words, and how it reads to the one who spoke. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chattr.domain.memory import Memory
from chattr.domain.moments import Span, spans
from chattr.domain.terms import Stem, plain_words, telling

OF_THE_ASKER: Final = frozenset({"i", "i'm", "i've", "i'd", "i'll", "me", "my", "mine", "myself"})
OF_THE_ASKED: Final = frozenset({"you", "your", "yours", "you're", "you've", "yourself"})
# "Do you remember what I said" asks for what I said.
TO_THE_ASKED: Final = re.compile(
    r"\b(?:do|can|could|would|will|did|should|have) you (?:still |even )?"
    r"(?:remember|recall|know|remind|tell|guess|forget|forgotten|think)\b|\byou (?:remember|know|see|think)\b",
    re.IGNORECASE,
)
ASKS_WHEN: Final = re.compile(r"^\W*when\b|\bhow long\b|\b(?:what|which) (?:year|month|day|date)\b|\bdates?\b")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, understood. `stems` are its telling words without the names of those who spoke."""

    text: str
    stems: tuple[str, ...]
    names: frozenset[str]
    """Who is asked about, by name, in lower case; empty where the words say it."""
    roles: frozenset[str]
    times: tuple[Span, ...]
    when: bool
    """Whether it asks for a time."""

    @property
    def as_told(self) -> str:
        """The question as the one asked about would put it: turns tell of "I"."""
        text = self.text
        for name in self.names:
            whole = re.escape(name)
            text = re.sub(rf"\b{whole}['’]s\b", "my", text, flags=re.IGNORECASE)
            text = re.sub(rf"\b{whole}\b", "I", text, flags=re.IGNORECASE)
        return text

    def about(self, memory: Memory) -> float:
        """Whether the one who spoke is the one asked about: 1 or 0, and 0.5 where nobody knows."""
        if self.names:
            spoke = (memory.speaker or "").lower()
            return 0.5 if not spoke or len(self.names) > 1 else float(spoke in self.names)
        return 0.5 if len(self.roles) != 1 else float(memory.role in self.roles)

    def timely(self, memory: Memory) -> float:
        """How well the moment at which something was said fits the times that are named; 0 without any."""
        return max((span.fit(memory.created_at) for span in self.times), default=0.0)


def understood(text: str, speakers: Sequence[str], now: float, stem: Stem) -> Question:
    """Read a question. `speakers`: the names of those who spoke; `now`: when it is asked."""
    plain = [word.removesuffix("'s") for word in plain_words(text)]
    known = {name.lower() for name in speakers if name}
    names = {name for name in known if name in plain or (" " in name and name in text.lower())}
    named_words = {word for name in names for word in name.split()}
    asking = telling([word for word in plain if word not in named_words]) or plain
    return Question(
        text=text,
        stems=tuple(dict.fromkeys(stem(word) for word in asking)),
        names=frozenset(names),
        roles=frozenset(roles_of(text)),
        times=tuple(spans(text, now)),
        when=bool(ASKS_WHEN.search(text.lower())),
    )


def roles_of(text: str) -> set[str]:
    """Say whose doing "I" and "you" ask about."""
    said = set(plain_words(TO_THE_ASKED.sub(" ", text)))
    roles = set()
    if said & OF_THE_ASKER:
        roles.add("user")
    if said & OF_THE_ASKED:
        roles.add("assistant")
    return roles
