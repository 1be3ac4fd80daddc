"""A film that somebody sends costs no more memory than its frames are worth, whatever it claims."""

import io
import threading

import av
import numpy as np
import pytest

from chatacter.chassis.errors import Cancelled, InvalidInput, TooLarge, Unsupported
from chatacter.contracts.video import VideoGenerationRequest
from visualizr import footage
from visualizr.backend import Clip, Picture

pytestmark = pytest.mark.unit


def film(width: int, height: int, frames: int, rate: int = 8, brighter: int = 0) -> Picture:
    """A grey film; where its frames are brighter by so much each, they begin nearly black."""
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        stream = output.add_stream("vp8", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            grey = np.full((height, width, 3), 20 + number * brighter if brighter else 90, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        output.mux(stream.encode())
    return Picture("video/webm", file.getvalue())


def seen(clip: Clip) -> list[int]:
    """Which frames of a film that gets brighter by 9 a frame were kept."""
    return [round((float(frame.mean()) - 20) / 9) for frame in clip.frames]


def test_a_film_keeps_its_speed_whatever_its_rate() -> None:
    quick = film(64, 64, 25, rate=25, brighter=9)
    clip = footage.clip(quick, 8, 16, 10**6)
    assert (clip.fps, seen(clip)) == (25.0, [0, 3, 6, 9, 12, 15, 18, 21])  # of a second, eight moments
    assert seen(footage.clip(quick, 8, 3, 10**6)) == [0, 3, 6]
    assert seen(footage.clip(quick, 25, 16, 10**6)) == list(range(16))
    slow = film(64, 64, 3, rate=4, brighter=9)
    assert seen(footage.clip(slow, 8, 16, 10**6)) == [0, 0, 1, 1, 2, 2]


def test_decoding_stops_when_nobody_wants_the_film() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        footage.clip(film(64, 64, 3), 8, None, 10**6, cancelled=cancelled)


def test_frames_are_no_larger_than_the_film_to_be_made_needs() -> None:
    file = film(640, 320, 3)
    small = footage.clip(file, 8, None, 10**6, (64, 64))
    assert small.frames.shape == (3, 64, 128, 3)
    assert abs(int(small.frames.mean()) - 90) < 12
    assert footage.clip(file, 8, 2, 10**6).frames.shape == (2, 320, 640, 3)
    assert footage.clip(file, 8, 2, 10**6, (1280, 64)).frames.shape == (2, 320, 640, 3)


def test_a_frame_is_measured_before_its_pixels_are_taken() -> None:
    with pytest.raises(TooLarge, match="a frame"):
        footage.clip(film(640, 320, 1), 8, None, 640 * 320 - 1)


def test_all_frames_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "MOST_PIXELS", 3 * 64 * 64)
    file = film(64, 64, 4)
    assert len(footage.clip(file, 8, 3, 10**6).frames) == 3
    with pytest.raises(TooLarge, match="num_frames"):
        footage.clip(file, 8, None, 10**6)


def test_what_is_passed_on_is_not_decoded() -> None:
    passed = footage.unread("data:video/webm;base64,AAAA")
    assert (len(passed.frames), passed.file.data) == (0, b"\x00\x00\x00")
    with pytest.raises(Unsupported):
        footage.unread("data:video/ogg;base64,AAAA")
    with pytest.raises(InvalidInput):
        footage.clip(passed.file, 8, None, 10**6)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_a_seed_is_a_number_that_every_store_holds(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        VideoGenerationRequest(model="svd", seed=seed)
    assert VideoGenerationRequest(model="svd", seed=2**63 - 1).seed == 2**63 - 1
