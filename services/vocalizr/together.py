"""Speaking for several requests at once: what stands between the gate and a backend that can."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import cast

from chatacter.chassis.errors import Misconfigured
from chatacter.contracts.speech import Voice
from chatacter.serving.batching import Batch, Batcher, Do, Left, Limits, Made
from vocalizr.backend import (
    Blending,
    Piece,
    Recording,
    SpeaksInSteps,
    SpeaksTogether,
    SpeechBackend,
    SpeechCapabilities,
    SpeechChunk,
    Utterance,
)


def together(backend: SpeechBackend, told: Callable[[Batch], None]) -> SpeechBackend:
    """Return a backend that speaks for many at once where the capabilities say that it can, else the backend itself."""
    return InCompany(cast("SpeaksTogether", backend), told) if backend.capabilities.together else backend


class InCompany:
    """A backend whose `speak` may be called from many threads: their pieces are spoken in batches."""

    def __init__(self, backend: SpeaksTogether, told: Callable[[Batch], None]) -> None:
        able = backend.capabilities.together
        if able is None:
            raise Misconfigured("This backend speaks one text at a time.")
        self._backend = backend
        speak = cast("SpeaksInSteps", backend).speak_together if able.joining else without_joining(backend)
        self._batcher = Batcher[Piece, SpeechChunk](
            speak, symbols_of, Limits(able.pieces, able.symbols, able.padded), told
        )

    @property
    def capabilities(self) -> SpeechCapabilities:
        """What the backend can do."""
        return self._backend.capabilities

    def load(self) -> None:
        """Load the backend."""
        self._backend.load()

    def voices(self) -> Sequence[Voice]:
        """List the backend's voices."""
        return self._backend.voices()

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak piece by piece, each beside whatever others wait for."""
        if cancelled.is_set():
            return
        yield from in_line(self._batcher.results(self._backend.pieces(utterance), cancelled), self.capabilities)

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Ask the backend."""
        return self._backend.conditioned(recordings)

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Ask the backend, which has `blending`."""
        return cast("Blending", self._backend).blended(shares)

    def close(self) -> None:
        """Close the backend."""
        self._backend.close()


def alone(backend: SpeaksTogether, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
    """Speak one utterance by the verb for many: what such a backend's own `speak` is."""
    pieces = () if cancelled.is_set() else backend.pieces(utterance)
    chunks = (
        chunk
        for piece in pieces
        if not cancelled.is_set()
        for chunk in results(backend.speak_together([piece], [cancelled]))
    )
    for chunk in in_line(chunks, backend.capabilities):
        yield chunk
        if cancelled.is_set():
            return


def results(made: Iterator[Made[SpeechChunk] | Left]) -> Iterator[SpeechChunk]:
    """Yield what is made of one piece. Raises what it failed with."""
    for each in made:
        if isinstance(each, Made):
            yield each.result
        elif each.error is not None:
            raise each.error


def without_joining(backend: SpeaksTogether) -> Do[Piece, SpeechChunk]:
    """Return the verb of a backend that takes nobody in once it has begun."""
    return lambda pieces, cancelled, _: backend.speak_together(pieces, cancelled)


def in_line(chunks: Iterator[SpeechChunk], capable: SpeechCapabilities) -> Iterator[SpeechChunk]:
    """Yield chunks with the times of their phonemes moved to where the whole sound has come to."""
    clock = 0.0
    for chunk in chunks:
        yield chunk.later(clock)
        clock += chunk.samples.size / capable.sample_rate


def symbols_of(piece: Piece) -> int:
    """How long a piece is."""
    return piece.symbols
