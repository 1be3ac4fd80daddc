"""Sentences that XTTS says together: who comes is taken in between two codes, who leaves is gone at the next one."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.batching import Joining, Left, Made, nobody
from chatacter.serving.memory import tried
from vocalizr.backend import NO_SOUND, Samples
from vocalizr.backends.coqui.chunks import Chunks, Strand
from vocalizr.backends.coqui.gpt import Gpt, Row, Steps
from vocalizr.backends.coqui.voicing import Portion

logger = logging.getLogger(__name__)

# A sentence is heard after so many codes, of 46 ms where it is said at the usual pace: half of them, since the decoder
# hears ahead. Each later chunk is half of what there was, and two codes: in time where a second of sound takes at most
# two thirds of one. At most as many as do not keep others waiting.
FIRST: Final = 8
SHARE: Final = 2
MORE: Final = 2
MOST: Final = 28

Begin = Callable[[Portion], tuple[Row, Strand]]
Result = Made[Samples] | Left


@dataclass(slots=True, eq=False)
class Sentence:
    """One that is said: its number, whether it is wanted, and how far it is. `heard` counts the codes of its sound."""

    number: int
    cancelled: threading.Event
    row: Row
    strand: Strand
    heard: int = 0

    @property
    def due(self) -> bool:
        """Whether there is something to hear of it."""
        pace = self.strand.pace
        wanted = int(min(MOST, self.heard / pace / SHARE + MORE) * pace) if self.heard else FIRST * pace
        return self.row.over or len(self.row.codes) - self.heard >= wanted

    @property
    def place(self) -> tuple[int, int, float, bool]:
        """What those have in common whose sound is made in one go: how far they were, how far they are now."""
        return self.heard, len(self.row.codes), self.strand.pace, self.row.over


class Company:
    """Says sentences from one call of `said` to its end; `begin` makes of a portion what is said."""

    def __init__(self, model: Gpt, chunks: Chunks, begin: Begin) -> None:
        self.steps = Steps(model)
        self._chunks = chunks
        self._begin = begin
        self._sentences: list[Sentence] = []
        self._count = 0

    def said(
        self, portions: Sequence[Portion], cancelled: Sequence[threading.Event], joining: Joining[Portion] = nobody
    ) -> Iterator[Result]:
        """Yield the chunks of all portions, as they come. Raises what befalls all of them."""
        coming = list(zip(portions, cancelled, strict=True))
        while coming or self._sentences:
            yield from self._gone()
            if coming:
                yield from self._arrived(coming)
                yield from self._sounded()
            if self._sentences:
                yield from self._stepped()
                yield from self._sounded()
            coming = list(joining())

    def _gone(self) -> Iterator[Result]:
        for sentence in [each for each in self._sentences if each.cancelled.is_set()]:
            self._end(sentence)
            yield Left(sentence.number)

    def _arrived(self, coming: Sequence[tuple[Portion, threading.Event]]) -> Iterator[Result]:
        """Take sentences in: at once, or one after the other where something is wrong with one of them."""
        numbered = list(enumerate(coming, start=self._count))
        self._count += len(coming)
        yield from (Left(number) for number, (_, event) in numbered if event.is_set())
        wanted = [(number, portion, event) for number, (portion, event) in numbered if not event.is_set()]
        if not wanted:
            return
        failure = tried(partial(self._enter, wanted))
        if failure is not None and len(wanted) == 1:
            yield Left(wanted[0][0], failure)
        elif failure is not None:
            for one in wanted:
                own = tried(partial(self._enter, [one]))
                if own is not None:
                    yield Left(one[0], own)

    def _enter(self, wanted: Sequence[tuple[int, Portion, threading.Event]]) -> None:
        sentences = [Sentence(number, event, *self._begin(portion)) for number, portion, event in wanted]
        self.steps.join([sentence.row for sentence in sentences])
        self._sentences += sentences

    def _stepped(self) -> Iterator[Result]:
        """Say one more code of each; where there is no memory for all, without the one that came last."""
        while (failure := tried(self.steps.step)) is not None:
            if not isinstance(failure, OutOfMemory) or len(self._sentences) == 1:
                raise failure
            last = self._sentences[-1]
            self._end(last)
            yield Left(last.number, failure)

    def _sounded(self) -> Iterator[Result]:
        """Make the sound of those who have said enough."""
        for sentence in [each for each in self._sentences if each.row.broken]:
            self._end(sentence)
            yield Left(sentence.number, ArithmeticError(NO_SOUND))
        due = sorted((sentence for sentence in self._sentences if sentence.due), key=attrgetter("place"))
        for _, alike in groupby(due, attrgetter("place")):
            yield from self._at_once(list(alike))

    def _at_once(self, due: Sequence[Sentence]) -> Iterator[Result]:
        sounds = tried(partial(self._made, due))
        if not isinstance(sounds, Exception):
            for sentence, sound in zip(due, sounds, strict=True):
                yield self._told(sentence, sound)
            return
        if len(due) == 1 and len(self._sentences) == 1:
            raise sounds
        logger.warning("sound made one by one", extra={"error.type": type(sounds).__name__})
        yield from self._one_by_one(due)

    def _one_by_one(self, due: Sequence[Sentence]) -> Iterator[Result]:
        for sentence in due:
            sounds = tried(partial(self._made, [sentence]))
            if isinstance(sounds, Exception):
                self._end(sentence)
                yield Left(sentence.number, sounds)
            else:
                yield self._told(sentence, sounds[0])

    def _made(self, due: Sequence[Sentence]) -> list[Samples]:
        strands, latents = [sentence.strand for sentence in due], [sentence.row.latents for sentence in due]
        return self._chunks.sounds(strands, latents, over=due[0].row.over)

    def _told(self, sentence: Sentence, sound: Samples) -> Result:
        sentence.heard = len(sentence.row.codes)
        if sentence.row.over:
            self._end(sentence)
        return Made(sentence.number, sound, sentence.row.over)

    def _end(self, sentence: Sentence) -> None:
        self._sentences.remove(sentence)
        self.steps.leave(sentence.row)
