"""Dated talks with questions, in LoCoMo's shape: which turns hold the evidence of each answer.

Source of the shape: Maharana et al. 2024, "Evaluating Very Long-Term Conversational Memory of LLM Agents".
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

# Questions to which the talk holds no answer.
UNANSWERABLE: Final = 5
WHEN: Final = "%I:%M %p on %d %B, %Y"
DIALOGUE_ID: Final = re.compile(r"D\d+:\d+")


@dataclass(frozen=True, slots=True)
class Turn:
    """Something that was said; `session` counts from 1."""

    id: str
    session: int
    speaker: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and the turns that hold its answer."""

    text: str
    category: int
    evidence: frozenset[str]


@dataclass(frozen=True, slots=True)
class Talk:
    """All that two people said to each other, and what is asked about it."""

    name: str
    turns: tuple[Turn, ...]
    questions: tuple[Asked, ...]

    @property
    def speakers(self) -> tuple[str, ...]:
        """The names of those who speak, the first to speak first."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))


def read(path: Path) -> list[Talk]:
    """Read a data set."""
    talks = []
    for number, one in enumerate(json.loads(path.read_text("utf-8"))):
        turns = tuple(turns_of(one["conversation"]))
        talks.append(Talk(str(one.get("sample_id", number)), turns, tuple(questions_of(one["qa"], turns))))
    return talks


def turns_of(conversation: Mapping[str, Any]) -> Iterator[Turn]:
    """Return the turns in order. A picture counts by what is said to be on it."""
    for session in count(1):
        said = conversation.get(f"session_{session}")
        if said is None and f"session_{session}_date_time" not in conversation:
            return
        began = datetime.strptime(conversation[f"session_{session}_date_time"].upper(), WHEN).replace(tzinfo=UTC)
        for number, turn in enumerate(said or ()):
            caption = turn.get("blip_caption")
            text = f"{turn['text']} [photo: {caption}]" if caption else turn["text"]
            yield Turn(turn["dia_id"], session, turn["speaker"], text, began.timestamp() + 30.0 * number)


def questions_of(asked: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> Iterator[Asked]:
    """Return the questions whose answer the talk holds."""
    known = {turn.id for turn in turns}
    for one in asked:
        evidence = frozenset(DIALOGUE_ID.findall(" ".join(one.get("evidence", ())))) & known
        if one["category"] != UNANSWERABLE and evidence:
            yield Asked(one["question"], one["category"], evidence)
