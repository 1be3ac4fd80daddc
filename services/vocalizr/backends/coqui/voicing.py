"""What the backend asks of a loaded model, whatever its kind."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vocalizr.backend import Recording, Samples, Utterance


@dataclass(frozen=True, slots=True)
class Portion:
    """A piece of an utterance, in the model's name of its language; `seed` None for another sound each time."""

    text: str
    utterance: Utterance
    language: str
    seed: int | None


class Turn(Protocol):
    """A context that is entered for each piece of an utterance."""

    def __call__(self) -> AbstractContextManager[None]:
        """Wait for the turn, and hold it for the length of the block."""
        ...


class Voicing(Protocol):
    """A loaded model."""

    @property
    def speakers(self) -> Sequence[str]:
        """Its own voices."""
        ...

    def pieces(self, text: str, language: str) -> list[str]:
        """Cut a text into what the model takes at once; what it has no sound for is left out."""
        ...

    def said(self, piece: str, utterance: Utterance, language: str, turn: Turn) -> Iterator[Samples]:
        """Say a piece, as it comes."""
        ...

    def said_together(self, pieces: Sequence[Portion], turn: Turn) -> list[Samples] | None:
        """Say several pieces in one go; None where the model cannot."""
        ...

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return what makes it speak as in these recordings."""
        ...
