"""A portrait drawn in layers: each is rasterised once, then they move against each other, frame by frame."""

import threading
from collections.abc import Mapping
from typing import Final, NamedTuple

import cv2
import numpy as np
import resvg_py
from numpy.typing import NDArray

from chatacter.chassis.errors import Cancelled, InvalidInput
from visualizr.backends.portrait.compositing import Box, Layer, covered, over, over_at, premultiplied
from visualizr.backends.portrait.layered_face import FACE, LayeredFace
from visualizr.backends.portrait.motion import Motion
from visualizr.backends.portrait.mouth import UPPER_SHARE, MouthPainter
from visualizr.backends.portrait.stage import Frame, Performance
from visualizr.backends.portrait.svg import LAYERS, PARAM, Artwork

Map = NDArray[np.float32]

MARGIN: Final = 8
# Of the frame's height: how far brows can rise.
RAISED: Final = 0.03
# Deepest breath: how much taller the body gets.
BREATH: Final = 0.007
# Hair behind the body follows the head by half.
HAIR_FOLLOWS: Final = 0.5


class Framing(NamedTuple):
    """How a drawing lies in a frame: pixels a unit, and the drawing's coordinates of the frame's top left corner."""

    scale: float
    left: float
    top: float

    def view(self, width: int, height: int) -> tuple[float, float, float, float]:
        """Return the part of the drawing that the frame shows."""
        return self.left, self.top, width / self.scale, height / self.scale


def framing(artwork: Artwork, width: int, height: int) -> Framing:
    """Show the drawing in its full height; a narrower frame cuts its sides off, a wider one shows more background."""
    x, y, wide, high = artwork.view
    scale = height / high
    spare = wide - width / scale
    left = x + spare / 2 if spare < 0 else min(max(artwork.rig.mouth.x - width / scale / 2, x), x + spare)
    return Framing(scale, left, y)


def rasterised(artwork: Artwork, width: int, height: int, cancelled: threading.Event) -> dict[str, Layer]:
    """Draw every layer at the frame's size. Raises `InvalidInput`, or `Cancelled`."""
    shown = framing(artwork, width, height).view(width, height)
    layers = {}
    for name in LAYERS:
        if name in artwork.layers and name != "mouth":
            if cancelled.is_set():
                raise Cancelled("The film was cancelled.")
            layers[name] = drawn(artwork.document(name, shown, width, height))
    x, y, wide, high = artwork.view
    if shown[2] > wide:  # what the drawing does not reach shows its background, enlarged
        tall = wide * height / width
        backdrop = drawn(artwork.document("background", (x, y + (high - tall) / 2, wide, tall), width, height))
        over(backdrop, layers["background"])
        layers["background"] = backdrop
    return layers


def drawn(document: str) -> Layer:
    """Draw one SVG document. Raises `InvalidInput` when it cannot be drawn."""
    try:
        png = resvg_py.svg_to_bytes(svg_string=document, skip_system_fonts=True)
    except ValueError as error:
        raise InvalidInput(
            "The layered portrait cannot be drawn; open it in a browser to see why.", param=PARAM
        ) from error
    straight = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if straight is None or straight.ndim != 3 or straight.shape[2] != 4:
        raise InvalidInput("The layered portrait cannot be drawn; open it in a browser to see why.", param=PARAM)
    return premultiplied(straight.astype(np.uint8, copy=False))


class LayeredStage:
    """One drawn portrait at one size.

    The head is put together at rest: the jaw is pulled down, eyes, lids, brows and mouth are laid on. One warp then
    moves it all: it tilts and shifts around the neck, and the middle of the face slides a little further than its edge,
    which reads as a turn.
    """

    def __init__(self, artwork: Artwork, layers: Mapping[str, Layer]) -> None:
        self._rig = artwork.rig
        self._layers = layers
        self._height, self._width = layers["background"].shape[:2]
        self._framing = framing(artwork, self._width, self._height)
        self._scale = self._framing.scale
        self._tall = float(self._height)
        self._mouth = MouthPainter(self._rig.mouth, self._scale)
        self._mouth_x, self._mouth_y = self._pixel(self._rig.mouth.x, self._rig.mouth.y)
        self._pivot = self._pixel(self._rig.pivot_x, self._rig.pivot_y)
        self._base = self._backdrop()
        self._body_box = covered(layers["body"]) or Box(0, 0, 1, 1)
        self._head_box = self._find_head()
        self._face_box = self._find_face()
        self._face = LayeredFace(layers, self._face_box, self._mouth_x - self._face_box.left, self._tall)
        self._jaw_box, self._jaw = self._jaw_field()
        self._turn = self._turn_field()
        self._grid = np.meshgrid(
            np.arange(self._head_box.left, self._head_box.right, dtype=np.float32),
            np.arange(self._head_box.top, self._head_box.bottom, dtype=np.float32),
        )

    def frame(self, performance: Performance, index: int) -> Frame:
        """Draw one frame."""
        motion = performance.motion
        aperture, width = float(performance.mouth.aperture[index]), float(performance.mouth.width[index])
        canvas = self._base.copy()
        if "hair-back" in self._layers:
            self._follow(canvas, motion, index)
        self._breathe(canvas, float(motion.breath[index]))
        head = self._head_at_rest(aperture)
        over_at(head, self._face.patch(motion, index), self._face_box.left, self._face_box.top)
        self._lay_mouth(head, aperture, width, float(motion.smile[index]))
        if "front" in self._layers:
            box = self._head_box
            part = np.ascontiguousarray(head[box.slices])
            over(part, np.ascontiguousarray(self._layers["front"][box.slices]))
            head[box.slices] = part
        moved = self._moved(head, motion, index)
        over_at(canvas, moved, self._head_box.left, self._head_box.top)
        return canvas

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        return (x - self._framing.left) * self._scale, (y - self._framing.top) * self._scale

    def _backdrop(self) -> Layer:
        """Lay the background over its own mean colour, so that no pixel is left transparent."""
        background = self._layers["background"]
        alpha = float(background[..., 3].mean()) or 1.0
        mean = background.reshape(-1, 4).mean(axis=0) / alpha * 255
        base = np.empty_like(background)
        base[:] = np.clip(mean, 0, 255).astype(np.uint8, copy=False)
        base[..., 3] = 255
        over(base, background)
        return base

    def _find_head(self) -> Box:
        """Return where the moving head can be: its layers, the dropped jaw and some way to go."""
        boxes = [
            box for name in ("head", "front", *FACE) if name in self._layers and (box := covered(self._layers[name]))
        ]
        if not boxes:
            raise InvalidInput("The layered portrait's head is empty.", param=PARAM)
        whole = boxes[0]
        for box in boxes[1:]:
            whole = whole.joined(box)
        drop = int(self._rig.mouth.open * self._scale)
        return whole.grown(MARGIN + drop + int(0.03 * self._tall), self._width, self._height)

    def _find_face(self) -> Box:
        boxes = [box for name in FACE if name in self._layers and (box := covered(self._layers[name]))]
        if not boxes:
            raise InvalidInput("The layered portrait's eyes are empty.", param=PARAM)
        whole = boxes[0]
        for box in boxes[1:]:
            whole = whole.joined(box)
        return whole.grown(MARGIN + int(RAISED * self._tall), self._width, self._height)

    def _jaw_field(self) -> tuple[Box, Map]:
        """Return how far each pixel of the lower face goes down, as a part of the jaw's drop, and where that is."""
        mouth, chin = self._rig.mouth, self._pixel(0, self._rig.chin_y)[1]
        tall = max(chin - self._mouth_y, 1.0)
        reach = 1.75 * mouth.width * self._scale
        box = Box(
            max(self._head_box.left, int(self._mouth_x - reach)),
            max(self._head_box.top, int(self._mouth_y - 0.5 * tall)),
            min(self._head_box.right, int(self._mouth_x + reach)),
            self._head_box.bottom,
        )
        away = np.abs(np.arange(box.left, box.right, dtype=np.float32) - self._mouth_x) / reach
        y = np.arange(box.top, box.bottom, dtype=np.float32)[:, None]
        # Under the lips the skin follows at once; towards the jaw's corners it stretches over a longer way.
        side = np.clip((away - 0.23) / 0.41, 0, 1)[None, :]
        begin = self._mouth_y - 0.45 * tall * side
        down = np.clip((y - begin) / (tall * (0.55 + 0.80 * side)), 0, 1)
        across = np.clip((1 - away) / 0.35, 0, 1)[None, :]
        field: Map = (down * down * (3 - 2 * down) * across * across * (3 - 2 * across)).astype(np.float32)
        return box, field

    def _turn_field(self) -> Map:
        """Return how strongly each pixel of the head slides when it turns: fully in the middle of the face."""
        box = self._head_box
        middle = (self._mouth_y + (self._face_box.top + self._face_box.bottom) / 2) / 2
        spread = 0.17 * self._tall
        x = np.arange(box.left, box.right, dtype=np.float32) - self._mouth_x
        y = np.arange(box.top, box.bottom, dtype=np.float32) - middle
        field: Map = np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / (2 * spread**2)).astype(np.float32)
        return field

    def _head_at_rest(self, aperture: float) -> Layer:
        """Copy the head, its jaw pulled down as far as the mouth is open."""
        head = self._layers["head"].copy()
        drop = self._rig.mouth.open * aperture * (1 - UPPER_SHARE) * self._scale
        box = self._jaw_box
        width, height = box.size
        if drop < 0.2 or width < 2 or height < 2:
            return head
        x, y = np.meshgrid(
            np.arange(box.left, box.right, dtype=np.float32), np.arange(box.top, box.bottom, dtype=np.float32)
        )
        head[box.slices] = cv2.remap(self._layers["head"], x, y - np.float32(drop) * self._jaw, cv2.INTER_LINEAR)
        return head

    def _lay_mouth(self, head: Layer, aperture: float, width: float, smile: float) -> None:
        left, top = self._mouth_x - self._mouth.middle_x, self._mouth_y - self._mouth.middle_y
        whole_left, whole_top = int(np.floor(left)), int(np.floor(top))
        patch = self._mouth.paint(aperture, width, (left - whole_left, top - whole_top), smile)
        over_at(head, patch, whole_left, whole_top)

    def _moved(self, head: Layer, motion: Motion, index: int) -> Layer:
        """Tilt, shift and turn the finished head."""
        grid_x, grid_y = self._grid
        matrix = self._motion_matrix(motion, index, 1.0)
        inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
        turn_x, turn_y = (np.float32(part[index] * self._tall) for part in (motion.turn_x, motion.turn_y))
        map_x = inverse[0, 0] * grid_x + inverse[0, 1] * grid_y + inverse[0, 2] - turn_x * self._turn
        map_y = inverse[1, 0] * grid_x + inverse[1, 1] * grid_y + inverse[1, 2] - turn_y * self._turn
        out: Layer = cv2.remap(head, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT).astype(
            np.uint8, copy=False
        )
        return out

    def _motion_matrix(self, motion: Motion, index: int, share: float) -> NDArray[np.float64]:
        """Return the head's rotation around the neck and its shift; `share` 1 is all of it."""
        degrees = float(np.degrees(motion.tilt[index])) * share
        matrix: NDArray[np.float64] = np.asarray(cv2.getRotationMatrix2D(self._pivot, -degrees, 1.0), np.float64)
        matrix[0, 2] += float(motion.head_x[index]) * self._tall * share
        matrix[1, 2] += float(motion.head_y[index]) * self._tall * share
        matrix[1, 2] -= BREATH * 0.4 * float(motion.breath[index]) * self._tall * share
        return matrix

    def _follow(self, canvas: Layer, motion: Motion, index: int) -> None:
        """Let the hair behind the body swing with the head."""
        matrix = self._motion_matrix(motion, index, HAIR_FOLLOWS)
        hair = cv2.warpAffine(self._layers["hair-back"], matrix, (self._width, self._height))
        over(canvas, hair.astype(np.uint8, copy=False))

    def _breathe(self, canvas: Layer, breath: float) -> None:
        """Let the body rise, from the bottom edge upwards."""
        grown = 1 + BREATH * breath
        floor = float(self._height)
        sideways = 1 + 0.35 * BREATH * breath
        matrix = np.array([[sideways, 0, (1 - sideways) * self._width / 2], [0, grown, (1 - grown) * floor]])
        box = self._body_box.grown(MARGIN, self._width, self._height)
        matrix[0, 2] -= box.left
        matrix[1, 2] -= box.top
        body = cv2.warpAffine(self._layers["body"], matrix, box.size, borderMode=cv2.BORDER_REPLICATE)
        over_at(canvas, body.astype(np.uint8, copy=False), box.left, box.top)
