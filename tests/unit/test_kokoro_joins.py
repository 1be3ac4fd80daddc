"""Pieces of speech at their edges: short pauses, no clicks, timings that cover every sample."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vocalizr.backend import Samples
from vocalizr.backends.kokoro.joins import AFTER, AT_END, BEFORE, joined
from vocalizr.backends.kokoro.model import SAMPLE_RATE, Spoken
from vocalizr.backends.kokoro.protobuf import field, varint, with_output

pytestmark = pytest.mark.unit

FRAME = 600


def speech(frames: list[int], quiet: tuple[int, int]) -> Spoken:
    """A tone with `quiet` silent frames before and after it."""
    durations = np.array(frames, dtype=np.int64) * FRAME
    samples = np.sin(np.arange(durations.sum()) / 10).astype(np.float32) * 0.5
    samples[: quiet[0] * FRAME] = 0
    samples[samples.size - quiet[1] * FRAME :] = 0
    return Spoken(samples, durations)


def step(samples: Samples) -> float:
    """The largest jump from one sample to the next; a click is one that the sound itself does not have."""
    return float(np.abs(np.diff(samples, prepend=0, append=0)).max(initial=0))


def test_long_silences_are_cut_to_the_pause_of_the_mark() -> None:
    spoken = speech([14, 4, 4, 12, 7], quiet=(14, 19))  # edge, two sounds, a comma, edge
    chunk = joined(spoken, "ab,", 0.0, last=False)
    seconds = chunk.samples.size / SAMPLE_RATE
    assert seconds == pytest.approx(BEFORE + 8 * 0.025 + AFTER[","], abs=0.002)
    last = joined(spoken, "ab,", 0.0, last=True)
    assert last.samples.size / SAMPLE_RATE == pytest.approx(BEFORE + 8 * 0.025 + AT_END, abs=0.002)


def test_a_pause_that_is_missing_is_added() -> None:
    chunk = joined(speech([1, 4, 4, 1], quiet=(0, 0)), "ab", 0.0, last=True)
    assert chunk.samples.size / SAMPLE_RATE == pytest.approx(10 * 0.025 + AT_END, abs=0.001)
    assert not chunk.samples[-round(AT_END * SAMPLE_RATE) :].any()


@given(
    frames=st.lists(st.integers(0, 20), min_size=3, max_size=30),
    before=st.integers(0, 15),
    after=st.integers(0, 15),
    clock=st.floats(0, 100),
    last=st.booleans(),
)
def test_timings_cover_every_sample_and_edges_are_silent(
    frames: list[int], before: int, after: int, clock: float, last: bool
) -> None:
    frames = [max(frames[0], before), *frames[1:-1], max(frames[-1], after)]
    spoken = speech(frames, quiet=(before, after))
    chunk = joined(spoken, "a" * (len(frames) - 2), clock, last=last)
    if not chunk.phonemes:
        assert chunk.samples.size == 0
        return
    assert chunk.phonemes[0].start == pytest.approx(clock)
    assert chunk.phonemes[-1].end == pytest.approx(clock + chunk.samples.size / SAMPLE_RATE)
    for one, other in pairwise(chunk.phonemes):
        assert one.end == pytest.approx(other.start)
    assert chunk.samples[0] == chunk.samples[-1] == 0
    assert step(chunk.samples) <= step(spoken.samples) + 0.01


def test_sound_that_reaches_the_edge_does_not_click() -> None:
    spoken = Spoken(np.full(4 * FRAME, 0.5, dtype=np.float32), np.full(4, FRAME))
    assert step(spoken.samples) == 0.5
    assert step(joined(spoken, "ab", 0.0, last=True).samples) < 0.01


def test_the_sound_itself_is_never_cut_away() -> None:
    spoken = speech([2, 4, 4, 2], quiet=(0, 0))
    loud = np.abs(spoken.samples) > 0.01
    chunk = joined(spoken, "ab", 0.0, last=True)
    assert (np.abs(chunk.samples) > 0.01).sum() >= loud.sum() - 2 * 120


@pytest.mark.parametrize(("value", "encoded"), [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\x01"), (300, b"\xac\x02")])
def test_varints(value: int, encoded: bytes) -> None:
    assert varint(value) == encoded


def test_an_output_is_appended() -> None:
    assert field(1, b"ab") == b"\x0a\x02ab"
    assert with_output(b"model", "x") == b"model" + b"\x3a\x05" + b"\x62\x03" + b"\x0a\x01x"
