"""VITS in batches: the real architecture, small and with random weights, sounds the same whatever it is said beside."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatacter.serving.batching import Made
from tests.tiny_speech import vits
from vocalizr.backend import Piece, Samples, Utterance
from vocalizr.backends.coqui.backend import CoquiSpeech
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.integration

TEXTS = (
    "Hi.",
    "A much longer sentence, that goes on and on for quite a while.",
    "Two words.",
    "It was a bright cold day in april, and the clocks were striking thirteen; nobody looked up.",
    "No!",
    "Somewhere in between, in length.",
)
WITHIN = 1e-5


def loaded(folder: Path, seed: int | None = 7) -> CoquiSpeech:
    settings = VocalizrSettings(
        vocalizr_model="coqui", vocalizr_weights=str(folder), vocalizr_seed=seed, vocalizr_threads=1
    )
    backend = CoquiSpeech(settings, "")
    backend.load()
    return backend


@pytest.fixture(scope="module", params=[False, True], ids=["durations told", "durations drawn"])
def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> CoquiSpeech:
    """With each of VITS' two ways to say how long a sound lasts."""
    folder = tmp_path_factory.mktemp("vits")
    return loaded(vits(folder / "weights", {"use_sdp": request.param}))


def asked(backend: CoquiSpeech) -> list[Piece]:
    """The first pieces of texts of many lengths, in three voices, at three speeds."""
    voices = [voice.id for voice in backend.voices()]
    return [
        next(backend.pieces(Utterance(text, voices[number % len(voices)], (0.8, 1.0, 1.5)[number % 3], None, None)))
        for number, text in enumerate(TEXTS)
    ]


def said(backend: CoquiSpeech, pieces: list[Piece], gone: tuple[int, ...] = ()) -> dict[int, Samples]:
    events = [threading.Event() for _ in pieces]
    for number in gone:
        events[number].set()
    spoken = backend.speak_together(pieces, events)
    return {made.number: made.result.samples for made in spoken if isinstance(made, Made)}


def test_it_sounds_the_same_whatever_it_is_said_beside(backend: CoquiSpeech) -> None:
    pieces = asked(backend)
    alone = [said(backend, [piece])[0] for piece in pieces]
    together = said(backend, pieces)
    turned = said(backend, pieces[::-1])
    for number, sound in enumerate(alone):
        assert np.abs(sound).max() > 100 * WITHIN
        for other in (together[number], turned[len(pieces) - 1 - number]):
            assert other.shape == sound.shape
            assert np.abs(other - sound).max() < WITHIN


def test_voices_and_speeds_are_each_ones_own(backend: CoquiSpeech) -> None:
    utterances = [Utterance(TEXTS[1], voice.id, 1.0, None, None) for voice in backend.voices()]
    sounds = said(backend, [next(backend.pieces(utterance)) for utterance in utterances])
    lengths = min(sound.size for sound in sounds.values())
    assert np.abs(sounds[0][:lengths] - sounds[1][:lengths]).max() > 100 * WITHIN
    slow, fast = (Utterance(TEXTS[1], "bob", speed, None, None) for speed in (0.5, 2.0))
    sounds = said(backend, [next(backend.pieces(slow)), next(backend.pieces(fast))])
    assert sounds[0].size > 1.5 * sounds[1].size


def test_who_is_gone_is_left_out(backend: CoquiSpeech) -> None:
    pieces = asked(backend)
    everyone = said(backend, pieces)
    rest = said(backend, pieces, gone=(1, 3))
    assert set(rest) == {0, 2, 4, 5}
    assert all(np.abs(rest[number] - everyone[number]).max() < WITHIN for number in rest)
    assert said(backend, pieces[:1], gone=(0,)) == {}


def test_it_is_what_coqui_itself_would_say(backend: CoquiSpeech, monkeypatch: pytest.MonkeyPatch) -> None:
    voicing = backend._ready()[0]
    model = voicing._model  # type: ignore[attr-defined]
    monkeypatch.setattr(model, "inference_noise_scale", 0.0)
    monkeypatch.setattr(model, "inference_noise_scale_dp", 0.0)
    pieces = [next(backend.pieces(Utterance(text, "eve", 1.0, None, None))) for text in TEXTS]
    mine = voicing.said([piece.content for piece in pieces], [threading.Event() for _ in pieces])
    for piece, sound in zip(pieces, (made.result for made in mine if isinstance(made, Made)), strict=True):
        theirs = model.synthesize(piece.content.text, speaker="eve", language="en")["wav"]
        assert theirs.shape == sound.shape
        assert np.abs(theirs - sound).max() < WITHIN


def test_it_sounds_the_same_in_however_many_stretches_it_is_decoded(
    backend: CoquiSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = asked(backend)
    several = backend._ready()[0]._together  # type: ignore[attr-defined]
    monkeypatch.setattr(several, "_most", 16)
    at_once: list[int] = []
    reading = several._read
    with monkeypatch.context() as patched:
        patched.setattr(several, "_read", lambda lines: (at_once.append(len(lines)), reading(lines))[1])
        each = said(backend, pieces)
    assert at_once == [1] * len(pieces)
    for most in (150, 300, None):
        monkeypatch.setattr(several, "_most", most)
        for number, sound in said(backend, pieces).items():
            assert sound.shape == each[number].shape
            assert np.abs(sound - each[number]).max() < WITHIN


def test_text_by_text_each_is_heard_once_it_is_said_and_who_leaves_meanwhile_is_left_out(
    backend: CoquiSpeech, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = asked(backend)
    monkeypatch.setattr(backend._ready()[0]._together, "_most", 16)  # type: ignore[attr-defined]
    events = [threading.Event() for _ in pieces]
    spoken = backend.speak_together(pieces, events)
    heard = [next(spoken).number]
    events[1].set()
    heard += [made.number for made in spoken]
    assert heard == [0, 2, 3, 4, 5]


def test_a_processor_decodes_no_more_in_one_call_than_its_cache_holds(backend: CoquiSpeech) -> None:
    import torch

    from vocalizr.backends.coqui.vits import CACHED, most_frames

    decoder: Any = backend._ready()[0]._model.waveform_decoder  # type: ignore[attr-defined]
    held: list[int] = []

    def widest(_: Any, given: Sequence[Any], made: Any) -> None:
        held.append(max(given[0].numel(), made.numel()) * made.element_size())

    calls: list[int] = []
    hooks = [up.register_forward_hook(widest) for up in decoder.ups]
    hooks.append(decoder.register_forward_pre_hook(lambda *_: calls.append(len(held))))
    pieces = asked(backend) * 3
    said(backend, pieces)
    for hook in hooks:
        hook.remove()
    assert max(held) < 1.5 * CACHED
    assert 1 < len(calls) < len(pieces)
    assert most_frames(decoder, torch.device("cuda")) is None


@pytest.mark.parametrize(
    ("lengths", "most", "stretches"),
    [
        ([5], 3, [[0]]),
        ([5, 1, 1, 1, 1], 3, [[0], [1, 2, 3], [4]]),
        ([1, 1, 9, 1], 3, [[0, 1], [2], [3]]),
        ([2, 3], 0, [[0], [1]]),
        ([200, 300, 4], None, [[0, 1, 2]]),
    ],
)
def test_lines_are_divided_in_their_order(lengths: list[int], most: int | None, stretches: list[list[int]]) -> None:
    from vocalizr.backends.coqui.vits import stretches_of

    assert [list(stretch) for stretch in stretches_of(lengths, most)] == stretches


def test_without_a_seed_it_sounds_different_each_time(tiny_vits: Path) -> None:
    backend = loaded(tiny_vits, seed=None)
    pieces = asked(backend)[:1]
    assert np.abs(said(backend, pieces)[0] - said(backend, pieces)[0]).max() > WITHIN
