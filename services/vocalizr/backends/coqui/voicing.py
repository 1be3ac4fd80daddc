"""What the backend asks of a loaded model, whatever its kind."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from chatacter.serving.batching import Joining, Left, Made, nobody
from vocalizr.backend import Recording, Samples, Utterance


class Turn(Protocol):
    """A context that is entered for each piece of an utterance."""

    def __call__(self) -> AbstractContextManager[None]:
        """Wait for the turn, and hold it for the length of the block."""
        ...


@dataclass(frozen=True, slots=True)
class Portion:
    """A piece of an utterance, in the model's name of its language; `seed` None for another sound each time.

    `turn` is the utterance's, for models that draw from PyTorch's one generator.
    """

    text: str
    utterance: Utterance
    language: str
    seed: int | None
    turn: Turn


class Voicing(Protocol):
    """A loaded model."""

    @property
    def learns(self) -> str:
        """What names that by which it learns a speaker; empty for a model that learns none."""
        ...

    @property
    def speakers(self) -> Sequence[str]:
        """Its own voices."""
        ...

    def pieces(self, text: str, language: str) -> Iterator[str]:
        """Cut a text, as it is wanted, into what the model takes at once; what it has no sound for is left out."""
        ...

    def said(
        self,
        portions: Sequence[Portion],
        cancelled: Sequence[threading.Event],
        joining: Joining[Portion] = nobody,
    ) -> Iterator[Made[Samples] | Left]:
        """Say portions as they come, by their numbers; what is cancelled may be left out."""
        ...

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return what makes it speak as in these recordings."""
        ...
