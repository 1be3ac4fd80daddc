"""Photos of every kind that people send become pixels as they are seen."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chatacter.chassis.errors import InvalidInput
from visualizr.photos import decoded, transparent

pytestmark = pytest.mark.unit

RED, SIDES = (200, 40, 10), (48, 32)
ORIENTATION = 0x112


def picture(colour: Any = RED, mode: str = "RGB") -> Image.Image:
    """One colour, with a blue bar on its left."""
    made = Image.new(mode, SIDES, colour)
    made.paste((0, 0, 255) if mode == "RGB" else colour, (0, 0, 8, SIDES[1]))
    return made


def cut_out(hidden: tuple[int, int, int] = (1, 2, 3)) -> Image.Image:
    """A square that is seen, half seen on its right, amid what is not."""
    made = Image.new("RGBA", SIDES, (*hidden, 0))
    made.paste((*RED, 255), (8, 8, 24, 24))
    made.paste((*RED, 128), (24, 8, 40, 24))
    return made


def encoded(image: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def turned(kind: str, way: int, undone: Image.Transpose) -> bytes:
    marks = Image.Exif()
    marks[ORIENTATION] = way
    return encoded(picture().transpose(undone), kind, exif=marks.tobytes())


@pytest.mark.parametrize(
    "data",
    [
        encoded(picture(), "PNG"),
        encoded(picture(), "WEBP", lossless=True),
        encoded(picture(), "JPEG", quality=98, progressive=True),
        encoded(picture().convert("CMYK"), "JPEG", quality=98),
        encoded(picture().quantize(16), "PNG"),
        encoded(picture().convert("RGBA"), "PNG"),
        turned("JPEG", 6, Image.Transpose.ROTATE_90),
        turned("JPEG", 3, Image.Transpose.ROTATE_180),
        turned("PNG", 8, Image.Transpose.ROTATE_270),
        turned("WEBP", 6, Image.Transpose.ROTATE_90),
    ],
)
def test_a_photo_is_seen_upright_and_in_its_colours(data: bytes) -> None:
    photo = decoded(data)
    assert (photo.shape, photo.dtype) == ((32, 48, 3), np.uint8)
    assert photo[16, 40].astype(int) == pytest.approx(RED[::-1], abs=12)
    assert photo[16, 3, 0] > 200


def test_sixteen_bits_become_eight() -> None:
    deep = Image.fromarray(np.full((32, 48), 200 * 257, np.uint16))
    assert (decoded(encoded(deep, "PNG")) == 200).all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_what_is_transparent_is_white_whatever_lies_beneath(kind: str) -> None:
    photo = decoded(encoded(cut_out(), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert photo[2, 2].tolist() == [255, 255, 255]
    assert photo[16, 16].tolist() == [*RED[::-1]]
    assert photo[16, 32].astype(int) == pytest.approx([(value + 255) / 2 for value in RED[::-1]], abs=2)


def test_transparent_palettes_and_greys() -> None:
    palette = decoded(encoded(cut_out().quantize(8), "PNG"))
    assert palette[2, 2].tolist() == [255, 255, 255]
    grey = Image.merge("LA", (Image.new("L", SIDES, 90), cut_out().getchannel("A")))
    assert decoded(encoded(grey, "PNG"))[[2, 16], [2, 16]].tolist() == [[255] * 3, [90] * 3]
    assert (decoded(encoded(Image.new("L", SIDES, 90), "PNG", transparency=3)) == 90).all()


def test_of_an_animation_the_first_picture_is_seen() -> None:
    data = encoded(cut_out(), "WEBP", save_all=True, append_images=[picture(mode="RGBA")], lossless=True)
    assert decoded(data)[2, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_photo_that_is_not_whole_is_refused(kind: str, kept: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8))
    whole = encoded(noise, kind)
    with pytest.raises(InvalidInput, match="damaged"):
        decoded(whole[: int(len(whole) * kept)])


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X"])
def test_a_head_alone_is_not_transparent_and_no_photo(data: bytes) -> None:
    assert not transparent(data)
    with pytest.raises(InvalidInput, match="damaged"):
        decoded(data)
