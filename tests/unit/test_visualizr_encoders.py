"""MP4 is written by an encoder without the GPL, and by x264 only where somebody asks for it."""

import numpy as np
import pytest

from tests.film_material import tone, watched
from visualizr.encoders import BITS_A_PIXEL, FREE_OF_GPL, OPTIONS, VP9, X264, chosen, options, works
from visualizr.frames import Recorder
from visualizr.settings import Mp4Encoder

pytestmark = pytest.mark.unit

SIZE = (64, 48)


def test_webm_is_vp9() -> None:
    assert {chosen("webm", SIZE, mp4) for mp4 in ("auto", "libx264")} == {VP9}


def test_nothing_under_the_gpl_is_taken_unasked() -> None:
    assert X264 not in FREE_OF_GPL
    assert chosen("mp4", SIZE) in {*FREE_OF_GPL, VP9}
    assert chosen("mp4", SIZE, "libx264") == X264


def test_the_first_encoder_that_works_is_taken() -> None:
    assert chosen("mp4", SIZE, ours=("nothing_of_the_kind", "mpeg4", VP9)) == "mpeg4"
    assert chosen("mp4", SIZE, ours=("nothing_of_the_kind",)) == VP9


def test_a_size_that_an_encoder_does_not_take_is_not_asked_of_it() -> None:
    assert works(VP9, SIZE)
    assert not works(VP9, (0, 48))


def test_an_encoder_that_leaves_options_over_does_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg says nothing of options that an encoder lacks: the film would be of any quality."""
    assert works(X264, SIZE)
    monkeypatch.setitem(OPTIONS, X264, {**OPTIONS[X264], "q": "60"})  # type: ignore[arg-type]  # a dict
    assert not works(X264, SIZE)


@pytest.mark.parametrize("name", ["libopenh264", "h264_videotoolbox", "mpeg4"])
def test_what_knows_no_constant_quality_gets_bits(name: str) -> None:
    given = options(name, SIZE, 1)
    assert given["b"] == str(BITS_A_PIXEL * 64 * 48)
    assert "q" not in given


@pytest.mark.parametrize("mp4", ["auto", "libx264"])
def test_an_mp4_is_recorded_by_it(mp4: Mp4Encoder) -> None:
    with Recorder("mp4", SIZE, 10, tone(0.5), 1, mp4) as record:
        for shade in range(5):
            record.add(np.full((48, 64, 4), 40 * shade, np.uint8))
        data, _ = record.finish()
    seen = watched(data)
    assert record.encoder == chosen("mp4", SIZE, mp4)
    codec = "vp9" if record.encoder == VP9 else "h264"
    assert (seen.codecs[0].removeprefix("lib"), seen.codecs[1]) == (codec, "aac")
    assert seen.frames[:, 24, 32, 0].astype(int) == pytest.approx([0, 40, 80, 120, 160], abs=12)
    assert data[4:8] == b"ftyp"
