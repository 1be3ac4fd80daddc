"""The mark in speech: pieces sound as the whole, it is hardly louder than rounding, and it is found after codecs."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from chatacter.chassis.errors import InvalidInput, Misconfigured
from chatacter.models.store import ModelStore
from tests.voicelike import voice
from vocalizr.app import create_app
from vocalizr.audio import encoder
from vocalizr.backend import Recording, Samples
from vocalizr.listening.checkpoint import tensors
from vocalizr.listening.sound import decoded
from vocalizr.settings import VocalizrSettings
from vocalizr.watermark.command import watermark
from vocalizr.watermark.finding import THRESHOLD, stretches
from vocalizr.watermark.marking import Marker, encoding_of
from vocalizr.watermark.network import Perth

pytestmark = pytest.mark.unit

RATE = 24000


@pytest.fixture(scope="module")
def perth(models_home: Path) -> Perth:
    return Perth(ModelStore(models_home))


def marked(perth: Perth, pieces: list[Samples], rate: int = RATE) -> list[Samples]:
    marker = Marker(perth, rate)
    return [*(marker.mark(piece) for piece in pieces), marker.finish()]


def likeness(perth: Perth, samples: Samples, rate: int = RATE) -> float:
    return max(stretch.likeness for stretch in stretches(perth, Recording(samples, rate)))


@given(cuts=st.lists(st.integers(0, 2 * RATE), max_size=12).map(sorted))
@settings(max_examples=8, deadline=None)
def test_pieces_are_marked_as_the_whole_is(perth: Perth, cuts: list[int]) -> None:
    sound = voice(2.0)
    (*_, whole) = marked(perth, [sound[:0]])
    assert whole.size == 0
    whole = np.concatenate(marked(perth, [sound]))
    assert whole.size == sound.size
    np.testing.assert_allclose(np.concatenate(marked(perth, np.split(sound, cuts))), whole, atol=1e-6)


def test_no_piece_waits_longer_than_a_fifth_of_a_second(perth: Perth) -> None:
    given, returned = 0, 0
    marker = Marker(perth, RATE)
    for piece in np.split(voice(2.0), 20):
        given += piece.size
        returned += marker.mark(piece).size
        assert given - returned <= 0.23 * RATE


@pytest.mark.parametrize("size", [1, 100, 767, 769, 2000])
def test_a_short_sound_keeps_its_length(perth: Perth, size: int) -> None:
    assert np.concatenate(marked(perth, [voice(1.0)[:size]])).size == size


def test_the_change_is_small_and_below_two_kilohertz(perth: Perth) -> None:
    sound = voice(3.0)
    change = np.concatenate(marked(perth, [sound])) - sound
    assert 10 * np.log10(np.sum(sound**2) / np.sum(change**2)) > 15
    power = np.abs(np.fft.rfft(change)) ** 2
    above = np.fft.rfftfreq(change.size, 1 / RATE) > 2200
    assert power[above].sum() < 1e-3 * power.sum()
    silence = np.zeros(RATE, dtype=np.float32)
    assert not np.concatenate(marked(perth, [silence])).any()


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 48000])
def test_it_is_found_at_any_rate_and_not_where_it_is_not(perth: Perth, rate: int) -> None:
    sound = voice(4.0, rate)
    assert likeness(perth, np.concatenate(marked(perth, [sound], rate)), rate) > THRESHOLD
    assert likeness(perth, sound, rate) < THRESHOLD
    assert likeness(perth, np.zeros(rate, dtype=np.float32), rate) == 0


@pytest.mark.parametrize("audio_format", ["wav", "mp3", "opus", "aac", "flac"])
def test_it_is_found_in_every_format_that_is_sent(models_home: Path, perth: Perth, audio_format: str) -> None:
    settings = VocalizrSettings(vocalizr_model="fake", vocalizr_watermark="perth", chatacter_home=models_home.parent)
    coder = encoding_of(settings)(audio_format, RATE)  # type: ignore[arg-type]
    sent = b"".join([*(coder.encode(piece) for piece in np.split(voice(4.0), 16)), coder.finish()])
    heard = decoded(sent, longest=60, param="file")
    assert likeness(perth, heard.samples, heard.rate) > THRESHOLD


def test_a_marked_sentence_among_others_is_found(perth: Perth) -> None:
    plain, other = voice(4.0), np.concatenate(marked(perth, [voice(4.0)]))
    judged = list(stretches(perth, Recording(np.concatenate([plain, other, plain]), RATE)))
    assert [stretch.marked for stretch in judged] == [False, True, False]
    assert [round(stretch.end) for stretch in judged] == [4, 8, 12]


def test_without_the_weights_it_does_not_start(tmp_path: Path) -> None:
    lacking = VocalizrSettings(vocalizr_model="fake", vocalizr_watermark="perth", chatacter_home=tmp_path)
    with pytest.raises(Misconfigured, match="chatacter models install perth-watermark"):
        create_app(lacking)


def test_a_checkpoint_that_would_run_something_is_refused(tmp_path: Path) -> None:
    class Bad:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    path = tmp_path / "bad.pth.tar"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"model": Bad()}))
    with pytest.raises(pickle.UnpicklingError, match="which no tensor needs"):
        tensors(path, "model")


def test_the_command_says_where_the_mark_is(
    models_home: Path, perth: Perth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHATACTER_HOME", str(models_home.parent))
    program = typer.Typer()
    program.command()(watermark)
    plain, other = voice(4.0), np.concatenate(marked(perth, [voice(4.0)]))
    for name, sound, status, told in [("marked.mp3", other, 0, "1 of 1"), ("plain.mp3", plain, 1, "0 of 1")]:
        coder = encoder("mp3", RATE)
        (tmp_path / name).write_bytes(coder.encode(sound) + coder.finish())
        result = CliRunner().invoke(program, [str(tmp_path / name)])
        assert (result.exit_code, told in result.output) == (status, True)
    with pytest.raises(InvalidInput, match="cannot be read"):
        watermark(tmp_path / "none.mp3")
