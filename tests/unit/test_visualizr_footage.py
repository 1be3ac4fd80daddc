"""A film that somebody sends costs no more memory than its frames are worth, whatever it claims."""

import base64
import io

import av
import numpy as np
import pytest

from chatacter.chassis.errors import InvalidInput, TooLarge, Unsupported
from chatacter.contracts.video import VideoGenerationRequest
from visualizr import footage

pytestmark = pytest.mark.unit


def film(width: int, height: int, frames: int) -> str:
    file = io.BytesIO()
    with av.open(file, "w", format="webm") as output:
        stream = output.add_stream("vp8", rate=8)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")
        for _ in range(frames):
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
    return f"data:video/webm;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_frames_are_no_larger_than_the_film_to_be_made_needs() -> None:
    url = film(640, 320, 3)
    small = footage.clip(url, None, 10**6, (64, 64))
    assert small.frames.shape == (3, 64, 128, 3)
    assert abs(int(small.frames.mean()) - 90) < 12
    assert footage.clip(url, 2, 10**6).frames.shape == (2, 320, 640, 3)
    assert footage.clip(url, 2, 10**6, (1280, 64)).frames.shape == (2, 320, 640, 3)


def test_a_frame_is_measured_before_its_pixels_are_taken() -> None:
    with pytest.raises(TooLarge, match="a frame"):
        footage.clip(film(640, 320, 1), None, 640 * 320 - 1)


def test_all_frames_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footage, "MOST_PIXELS", 3 * 64 * 64)
    url = film(64, 64, 4)
    assert len(footage.clip(url, 3, 10**6).frames) == 3
    with pytest.raises(TooLarge, match="num_frames"):
        footage.clip(url, None, 10**6)


def test_what_is_passed_on_is_not_decoded() -> None:
    passed = footage.unread("data:video/webm;base64,AAAA")
    assert (len(passed.frames), passed.file.data) == (0, b"\x00\x00\x00")
    with pytest.raises(Unsupported):
        footage.unread("data:video/ogg;base64,AAAA")
    with pytest.raises(InvalidInput):
        footage.clip("data:video/webm;base64,AAAA", None, 10**6)


@pytest.mark.parametrize("seed", [-1, 2**63, 2**64])
def test_a_seed_is_a_number_that_every_store_holds(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        VideoGenerationRequest(model="svd", seed=seed)
    assert VideoGenerationRequest(model="svd", seed=2**63 - 1).seed == 2**63 - 1
