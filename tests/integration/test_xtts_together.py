"""XTTS said together: the real architecture, small and with random weights, sounds as alone, whoever comes and goes."""

import gc
import math
import threading
import weakref
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from chatacter.chassis.errors import OutOfMemory
from chatacter.serving.batching import Left, Made
from tests.tiny_speech import xtts
from vocalizr.backend import Piece, Samples, Utterance
from vocalizr.backends.coqui.backend import CoquiSpeech, create_xtts
from vocalizr.backends.coqui.chunks import Chunks, Strand
from vocalizr.backends.coqui.company import Company
from vocalizr.backends.coqui.gpt import Steps
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.integration

SEED = 11
# A difference that is rounding, as a share of the loudest sample.
WITHIN = 1e-4
TEXTS = (
    "Hi.",
    "A much longer sentence, that goes on and on for quite a while, because nobody stops it.",
    "Two words.",
    "It was a bright cold day in april, and the clocks were striking thirteen.",
    "No!",
    "Somewhere in between, in length.",
    "What?",
    "Would you like some tea before the ship sails at dawn?",
)
SPEEDS = (1.0, 0.8, 1.5)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> CoquiSpeech:
    """One whose sentences end of themselves, after 5 to 82 codes."""
    folder = xtts(tmp_path_factory.mktemp("xtts") / "weights", {"gpt_max_audio_tokens": 85}, stopping=0.5)
    settings = VocalizrSettings(
        vocalizr_model="xtts", vocalizr_weights=str(folder), vocalizr_seed=SEED, vocalizr_threads=1
    )
    loaded = create_xtts(settings)
    loaded.load()
    return loaded


@pytest.fixture(scope="module")
def by_itself(backend: CoquiSpeech) -> list[list[Samples]]:
    """The chunks of each of sixteen pieces that is spoken alone."""
    return [alone(backend, piece).chunks[0] for piece in asked(backend)]


def asked(backend: CoquiSpeech, count: int = 16) -> list[Piece]:
    """The first pieces of texts of many lengths, in two voices, at three speeds, each with a seed of its own."""
    voices = [voice.id for voice in backend.voices()]
    utterances = [Utterance(TEXTS[n % len(TEXTS)], voices[n // 3 % 2], SPEEDS[n % 3], "en", None) for n in range(count)]
    pieces = [next(backend.pieces(utterance)) for utterance in utterances]
    return [replace(piece, content=replace(piece.content, seed=SEED + n)) for n, piece in enumerate(pieces)]


class Listening:
    """Hears pieces that are spoken together: `later` join when so many steps are over; `gone` leave after a chunk."""

    def __init__(self, pieces: Sequence[Piece], later: Sequence[tuple[int, Piece]] = (), gone: Sequence[int] = ()):
        self.events = [threading.Event() for _ in [*pieces, *later]]
        self.chunks: dict[int, list[Samples]] = defaultdict(list)
        self.left: dict[int, Exception | None] = {}
        self.order: list[int] = []
        self._pieces = pieces
        self._later = list(later)
        self._gone = gone
        self._steps = 0

    def to(self, backend: CoquiSpeech) -> "Listening":
        for made in backend.speak_together(self._pieces, self.events[: len(self._pieces)], self._joining):
            self.order.append(made.number)
            if isinstance(made, Left):
                self.left[made.number] = made.error
                continue
            assert made.number not in self.left
            self.chunks[made.number].append(made.result.samples)
            if made.number in self._gone:
                self.events[made.number].set()
        return self

    def sound(self, number: int) -> Samples:
        return np.concatenate(self.chunks[number])

    def _joining(self) -> Iterator[tuple[Piece, threading.Event]]:
        self._steps += 1
        coming = []
        while self._later and self._later[0][0] <= self._steps:
            coming.append((self._later.pop(0)[1], self.events[len(self.events) - len(self._later) - 1]))
        return coming  # type: ignore[return-value]


def alone(backend: CoquiSpeech, piece: Piece) -> Listening:
    return Listening([piece]).to(backend)


def assert_same(one: Sequence[Samples], other: Sequence[Samples]) -> None:
    """The same chunks: as many, as long, and the same samples but for rounding."""
    assert [chunk.size for chunk in one] == [chunk.size for chunk in other]
    loudest = np.abs(np.concatenate(one)).max()
    assert loudest > 0
    assert np.abs(np.concatenate(one) - np.concatenate(other)).max() < WITHIN * loudest


def test_alone_it_is_what_coqui_itself_would_say(backend: CoquiSpeech, by_itself: list[list[Samples]]) -> None:
    """The same numbers, drawn from a generator in the same state, as of a sentence in one go: nothing is faded."""
    voicing: Any = backend._ready()[0]
    model = voicing._model
    names = ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")
    how = {name: model.config[name] for name in names} | {"stream_chunk_size": 0}
    for piece in asked(backend):
        said = piece.content
        latents, speaker = voicing._latents[said.utterance.voice]
        torch.manual_seed(said.seed)
        (theirs,) = model.inference_stream(said.text, "en", latents, speaker, speed=said.utterance.speed, **how)
        mine = [made.result for made in voicing.said([said], [threading.Event()]) if isinstance(made, Made)]
        assert_same([np.concatenate(mine)], [theirs.numpy().reshape(-1)])
    assert max(len(chunks) for chunks in by_itself) >= 6


def test_a_sentence_is_heard_after_eight_codes_and_without_a_break_where_a_second_takes_two_thirds(
    backend: CoquiSpeech,
) -> None:
    """What is heard of a chunk lasts until the next one is there: its codes at 0.66 of the time that they sound."""
    voicing: Any = backend._ready()[0]
    checked = 0
    for piece in asked(backend):
        company = Company(voicing._gpt, voicing._chunks, voicing._begun)
        codes, samples = [], []
        for made in company.said([piece.content], [threading.Event()]):
            codes.append(company.steps.said + 1)  # the first one comes with joining
            samples.append(made.result.size)
        code = sum(samples) / codes[-1]
        assert codes[0] == min(math.ceil(8 * piece.content.utterance.speed), codes[-1])
        for number in range(1, len(codes) - 1):
            assert 0.66 * (codes[number] - codes[0]) * code <= sum(samples[:number])
            checked += 1
    assert checked >= 16


def test_it_sounds_the_same_among_fifteen_others(backend: CoquiSpeech, by_itself: list[list[Samples]]) -> None:
    together = Listening(asked(backend)).to(backend)
    for number, chunks in enumerate(by_itself):
        assert_same(chunks, together.chunks[number])
    assert len({sum(chunk.size for chunk in chunks) for chunks in by_itself}) > 8
    assert {len(chunks) for chunks in by_itself} >= {1, 5, 6}


def test_who_comes_later_joins_and_is_heard_before_the_others_end(
    backend: CoquiSpeech, by_itself: list[list[Samples]]
) -> None:
    pieces = asked(backend)
    later = [(3 + number, piece) for number, piece in enumerate(pieces[6:])]
    together = Listening(pieces[:6], later).to(backend)
    for number, chunks in enumerate(by_itself):
        assert_same(chunks, together.chunks[number])
    ends = {number: len(together.order) - together.order[::-1].index(number) for number in range(16)}
    assert together.order.index(6) < max(ends[number] for number in range(6))


def test_who_hangs_up_is_gone_at_the_next_step_and_the_others_do_not_hear_it(
    backend: CoquiSpeech, by_itself: list[list[Samples]]
) -> None:
    pieces = asked(backend)
    leaving = max(range(16), key=lambda number: len(by_itself[number]))
    together = Listening(pieces, gone=[leaving]).to(backend)
    assert together.left == {leaving: None}
    assert len(together.chunks[leaving]) == 1
    for number, chunks in enumerate(by_itself):
        if number != leaving:
            assert_same(chunks, together.chunks[number])


def likeness(value: float, size: int) -> bytes:
    held: bytes = safetensors.torch.save(
        {
            "gpt_cond_latent": torch.full((1, 32, size), value),
            "speaker_embedding": torch.zeros(1, 512, 1),
        }
    )
    return held


@pytest.mark.parametrize(("value", "size", "kind"), [(float("nan"), 64, ArithmeticError), (0.0, 7, RuntimeError)])
def test_a_voice_that_cannot_be_spoken_harms_nobody(
    backend: CoquiSpeech, by_itself: list[list[Samples]], value: float, size: int, kind: type[Exception]
) -> None:
    """Neither those beside it nor those who have its place in the cache afterwards."""
    pieces = asked(backend, 9)
    bad = Utterance(TEXTS[1], "mine", 1.0, "en", None, likeness(value, size))
    pieces[3] = pieces[8] = next(backend.pieces(bad))
    together = Listening(pieces[:4], [(2, piece) for piece in pieces[4:8]] + [(30, pieces[8])]).to(backend)
    assert {number: type(error) for number, error in together.left.items()} == {3: kind, 8: kind}
    for number, chunks in enumerate(by_itself[:9]):
        if number not in together.left:
            assert_same(chunks, together.chunks[number])


def test_where_memory_ends_the_last_to_come_goes_and_the_others_are_heard(
    backend: CoquiSpeech, by_itself: list[list[Samples]], monkeypatch: pytest.MonkeyPatch
) -> None:
    grow = Steps._grow

    def growing(self: Steps, rows: int, places: int) -> None:
        if len(self.rows) == rows > 3:  # at a step, not at a joining
            raise torch.OutOfMemoryError("CUDA out of memory")
        grow(self, rows, places)

    pieces = asked(backend, 5)
    monkeypatch.setattr(Steps, "_grow", growing)
    together = Listening(pieces).to(backend)
    assert {number: type(error) for number, error in together.left.items()} == {4: OutOfMemory, 3: OutOfMemory}
    for number in range(3):
        assert_same(by_itself[number], together.chunks[number])


def test_where_memory_ends_in_the_very_last_step_of_a_chunk_nothing_of_it_is_lost(
    backend: CoquiSpeech, by_itself: list[list[Samples]], monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = torch.Tensor.cpu
    failed = []

    def copying(self: torch.Tensor) -> torch.Tensor:
        if len(self) > 1:
            failed.append(len(self))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return copied(self)

    monkeypatch.setattr(torch.Tensor, "cpu", copying)
    numbers = range(0, 9, 3)  # of one pace: their sound is made in one go
    together = Listening([asked(backend)[number] for number in numbers]).to(backend)
    assert failed
    assert together.left == {}
    for at, number in enumerate(numbers):
        assert_same(by_itself[number], together.chunks[at])


class Held:
    """Memory of a device, in a cycle as errors and frames make them: it is free once somebody collects."""

    def __init__(self) -> None:
        self.me = self


def test_what_a_failed_attempt_held_is_free_before_the_next_one(
    backend: CoquiSpeech, by_itself: list[list[Samples]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[weakref.ref[Held]] = []
    free: list[bool] = []

    def once_alone(done: Any, most: int) -> Any:
        def doing(self: Any, rows: Sequence[Any], *more: Any, **named: Any) -> Any:
            if len(rows) > most:
                held = Held()
                kept.append(weakref.ref(held))
                raise torch.OutOfMemoryError("CUDA out of memory")
            free.append(not any(each() for each in kept))
            return done(self, rows, *more, **named)

        return doing

    monkeypatch.setattr(Chunks, "sounds", once_alone(Chunks.sounds, 1))
    monkeypatch.setattr(Steps, "join", once_alone(Steps.join, 2))
    numbers = range(0, 9, 3)
    gc.disable()  # it is freed, and not by luck
    try:
        together = Listening([asked(backend)[number] for number in numbers]).to(backend)
    finally:
        gc.enable()
    assert len(kept) >= 2
    assert all(free)
    for at, number in enumerate(numbers):
        assert_same(by_itself[number], together.chunks[at])


@pytest.mark.parametrize("pace", [0.5, 0.77, 1.0, 1.54, 2.0])
def test_however_a_sentence_is_cut_it_sounds_the_same(backend: CoquiSpeech, pace: float) -> None:
    voicing: Any = backend._ready()[0]
    latents, speaker = next(iter(voicing._latents.values()))

    def sound(*ends: int) -> list[Samples]:
        strand = Strand(speaker.view(-1, 1), pace)
        return [voicing._chunks.sounds([strand], [latents[0, :end]], over=end == 32)[0] for end in ends]

    (whole,) = sound(32)
    for ends in ((16, 32), (17, 18, 19, 32), (16, 23, 31, 32), range(16, 33)):
        assert_same([np.concatenate(sound(*ends))], [whole])


@pytest.mark.parametrize("pace", [1.0, 1.5, 2.0])
def test_a_sentence_of_a_single_code_has_a_sound_at_any_pace(backend: CoquiSpeech, pace: float) -> None:
    voicing: Any = backend._ready()[0]
    latents, speaker = next(iter(voicing._latents.values()))
    (sound,) = voicing._chunks.sounds([Strand(speaker.view(-1, 1), pace)], [[latents[0, 0]]], over=True)
    assert sound.size >= 256
