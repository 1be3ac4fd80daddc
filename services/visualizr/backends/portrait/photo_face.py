"""What a photographed face feels: corners of the mouth, brows and lids are warped along the mesh, and irises slide.

All fields are computed once, in the face's own directions (`Axes`); a frame adds up those that it needs.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visualizr.backends.portrait.compositing import Box
from visualizr.backends.portrait.easing import Floats
from visualizr.backends.portrait.face import CHIN, FOREHEAD
from visualizr.backends.portrait.motion import Motion

Map = NDArray[np.float32]
Fields = tuple[Map, Map]

MOUTH_CORNERS: Final = (61, 291)
CHEEKS: Final = (50, 280)
# Upper edges of the brows, from the temple to the nose.
BROWS: Final = ((70, 63, 105, 66, 107), (300, 293, 334, 296, 336))
UPPER_LIDS: Final = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
# Of the way from forehead to chin.
CORNERS_RISE: Final = 0.036
CORNERS_PART: Final = 0.020
CHEEKS_RISE: Final = 0.014
# Of the way that a drawing's brows, lids and irises go.
BROWS_GO: Final = 0.95
IRISES_GO: Final = 0.80
IRISES_SINK: Final = 0.45
LIDS_RISE: Final = 0.019
# How far narrowed lids come down.
NARROWS: Final = 0.46
OUTER: Final = 0.40
STILL: Final = 0.05


@dataclass(frozen=True, slots=True)
class Axes:
    """A face's own directions: along the mouth, and down towards the chin, from the middle of the mouth."""

    points: Floats
    middle: Floats
    axis: Floats
    down: Floats
    face: float

    @classmethod
    def of(cls, points: Floats, left: int, right: int) -> "Axes":
        """Read them from a mesh; `left` and `right` are the corners of the mouth."""
        across = points[right] - points[left]
        axis = across / np.linalg.norm(across)
        return cls(
            points,
            (points[left] + points[right]) / 2,
            axis,
            np.array([-axis[1], axis[0]]),
            float(np.linalg.norm(points[CHIN] - points[FOREHEAD])),
        )

    def local(self, x: Map, y: Map) -> Fields:
        """Return how far pixels lie along the mouth, and how far below its middle."""
        dx, dy = x - np.float32(self.middle[0]), y - np.float32(self.middle[1])
        along: Map = (dx * self.axis[0] + dy * self.axis[1]).astype(np.float32)
        under: Map = (dx * self.down[0] + dy * self.down[1]).astype(np.float32)
        return along, under

    def contour(self, indices: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Return a line of the mesh in these directions, sorted along the mouth."""
        relative = self.points[list(indices)] - self.middle
        along, under = relative @ self.axis, relative @ self.down
        order = np.argsort(along)
        return along[order], under[order]

    def back(self, along: Map, under: Map) -> Fields:
        """Turn distances in these directions into those of pixels."""
        return (
            (along * self.axis[0] + under * self.down[0]).astype(np.float32),
            (along * self.axis[1] + under * self.down[1]).astype(np.float32),
        )


class PhotoFace:
    """The warps of one face in one photo: for each track how far a pixel moves, [height, width] of `box`."""

    def __init__(self, axes: Axes, width: int, height: int) -> None:
        self._tall = float(height)
        points, face = axes.points, axes.face
        low, high = points.min(axis=0) - 0.22 * face, points.max(axis=0) + 0.05 * face
        self.box = Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1).grown(0, width, height)
        along, under = axes.local(*grid(self.box))
        self._smile = axes.back(*self._smiling(axes, along, under))
        brow, furrow = self._frowning(axes, along, under)
        none = np.zeros_like(brow)
        self._brow, self._furrow = axes.back(none, -brow), axes.back(none, -furrow)
        self._wide = axes.back(none, -LIDS_RISE * face * self._lids(axes, along, under))

    def warp(self, motion: Motion, index: int) -> Fields | None:
        """Return how far each pixel of `box` has moved; None where nothing is felt."""
        wide = max(float(motion.wide[index]), 0.0)
        amounts = (
            (self._smile, float(motion.smile[index])),
            (self._brow, float(motion.brow[index]) * self._tall * BROWS_GO),
            (self._furrow, float(motion.furrow[index]) * self._tall * BROWS_GO),
            (self._wide, wide),
        )
        moved = [(fields, np.float32(amount)) for fields, amount in amounts if abs(amount) > STILL / 10]
        if not moved:
            return None
        x, y = (sum((fields[side] * amount for fields, amount in moved), np.float32(0)) for side in (0, 1))
        return np.asarray(x, np.float32), np.asarray(y, np.float32)

    @staticmethod
    def _smiling(axes: Axes, along: Map, under: Map) -> Fields:
        """Lift the corners of the mouth and draw them apart; the cheeks come along."""
        across, down = np.zeros_like(along), np.zeros_like(along)
        for side, corner, cheek in zip((-1, 1), MOUTH_CORNERS, CHEEKS, strict=True):
            for point, spread, apart, rise in (
                (corner, 0.085, CORNERS_PART, CORNERS_RISE),
                (cheek, 0.120, 0.004, CHEEKS_RISE),
            ):
                place = axes.points[point] - axes.middle
                near = np.exp(
                    -((along - place @ axes.axis) ** 2 + (under - place @ axes.down) ** 2) / (spread * axes.face) ** 2
                )
                across = across + near * np.float32(side * apart * axes.face)
                down = down - near * np.float32(rise * axes.face)
        return across, down

    @staticmethod
    def _frowning(axes: Axes, along: Map, under: Map) -> Fields:
        """Return how much of a raised brow reaches each pixel, and how much of a furrow."""
        brow, furrow = np.zeros_like(along), np.zeros_like(along)
        for side, line in zip((-1, 1), BROWS, strict=True):
            lengthwise, height = axes.contour(line)
            edge = np.interp(along, lengthwise, height).astype(np.float32)
            above = under - edge
            # The forehead stretches over a long way, the lid below the brow over a short one.
            reach = np.where(above < 0, 0.15, 0.066).astype(np.float32) * np.float32(axes.face)
            near = np.exp(-((above / reach) ** 2))
            inner, outer = (lengthwise[0], lengthwise[-1]) if side > 0 else (lengthwise[-1], lengthwise[0])
            out = (along - inner) / (outer - inner)
            beyond = np.clip(np.maximum(-out, out - 1), 0, None)
            near *= np.exp(-((beyond / 0.30) ** 2))
            profile = (1 + OUTER) * 0.5 * (1 + np.cos(np.pi * np.clip(out, 0, 1))) - OUTER
            brow = np.maximum(brow, near)
            furrow = furrow + near * profile
        return brow.astype(np.float32), np.clip(furrow, -OUTER, 1).astype(np.float32)

    @staticmethod
    def _lids(axes: Axes, along: Map, under: Map) -> Map:
        """Return how much of widened lids reaches each pixel."""
        lids = np.zeros_like(along)
        for line in UPPER_LIDS:
            lengthwise, height = axes.contour(line)
            edge = np.interp(along, lengthwise, height).astype(np.float32)
            middle, half = (lengthwise[0] + lengthwise[-1]) / 2, (lengthwise[-1] - lengthwise[0]) / 2
            arch = np.clip(1 - ((along - middle) / (1.05 * half)) ** 2, 0, 1)
            reach = np.where(under < edge, 0.055, 0.030).astype(np.float32) * np.float32(axes.face)
            lids = np.maximum(lids, arch * np.exp(-(((under - edge) / reach) ** 2)))
        return lids.astype(np.float32)


def slid(picture: NDArray[np.uint8], eye_box: Box, fields: tuple[Map, Map, Map], away: tuple[float, float]) -> None:
    """Slide the irises of one eye, in place. `fields`: x and y of each pixel, and how much of the way it goes."""
    x, y, share = fields
    map_x, map_y = x - np.float32(away[0]) * share, y - np.float32(away[1]) * share
    looked = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    picture[eye_box.slices] = looked


def grid(box: Box) -> Fields:
    """Return the x and the y of every pixel of a box."""
    x, y = np.meshgrid(
        np.arange(box.left, box.right, dtype=np.float32), np.arange(box.top, box.bottom, dtype=np.float32)
    )
    return x, y
