"""Drawing a mouth: lips, dark interior, teeth and tongue, from how far open and how wide it is."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visualizr.backends.portrait.rig import Colour, MouthRig

Floats = NDArray[np.float64]
Layer = NDArray[np.uint8]

POINTS: Final = 33
# Drawn this many times larger, then averaged: smooth edges.
FINE: Final = 2
FRACTION_BITS: Final = 4
# Of the opening, this part lifts the upper lip; the jaw takes the rest.
UPPER_SHARE: Final = 0.16
# Of the mouth's width: how far a whole smile lifts the corners, and how much wider it is.
SMILE_LIFT: Final = 0.15
SMILE_WIDENS: Final = 0.16
LARGEST_SMILE: Final = 1.3


@dataclass(frozen=True, slots=True)
class Contours:
    """The curves of one mouth, left to right, `POINTS` each: `x` shared, `y` per curve; relative to the mouth's middle.

    In units of the viewBox, y downwards. The lips lie between the outer and the inner curves.
    """

    x: Floats
    upper_outer: Floats
    upper_inner: Floats
    lower_inner: Floats
    lower_outer: Floats


def contours(rig: MouthRig, aperture: float, width: float, smile: float = 0.0) -> Contours:
    """Shape the lips for `aperture` in [0, 1] and `width` in [-1, 1]. `smile` 1 lifts the corners, -1 lowers them."""
    spread, rounded = max(width, 0.0), max(-width, 0.0)
    half = rig.width / 2 * (1 + 0.10 * spread - 0.30 * rounded) * (1 - 0.07 * aperture)
    half *= 1 + SMILE_WIDENS * max(smile, 0.0) * (1 - 0.5 * rounded) - 0.04 * max(-smile, 0.0)
    gap = rig.open * aperture
    u = np.linspace(-1.0, 1.0, POINTS)
    away = np.abs(u)
    corner = -rig.smile * (1 + 0.3 * spread - 0.9 * rounded) * (1 - 0.35 * aperture)
    corner -= SMILE_LIFT * rig.width * smile * (1 - 0.6 * rounded) * (1 - 0.25 * aperture)
    # Where the lips meet: a soft wave, corners lifted by the smile; it sinks to the middle of the opening.
    line = corner * away**1.7 + (1 - away**2) * 0.04 * rig.width * np.cos(3 * np.pi * u / 2) ** 2 * 0.5
    bow = np.sqrt(np.clip(1 - away**2.2, 0, 1))
    round_bow = bow ** (1 - 0.25 * rounded)
    upper_inner = line - gap * UPPER_SHARE * round_bow
    lower_inner = line + gap * (1 - UPPER_SHARE) * round_bow
    thick_upper = rig.upper_lip * (1 + 0.25 * rounded - 0.12 * spread - 0.12 * aperture - 0.14 * max(smile, 0.0))
    thick_lower = rig.lower_lip * (1 + 0.20 * rounded - 0.10 * spread - 0.10 * aperture - 0.08 * smile)
    cupid = 1.0 + 0.26 * np.exp(-(((away - 0.24) / 0.17) ** 2)) - 0.10 * np.exp(-((u / 0.10) ** 2))
    return Contours(
        x=u * half,
        upper_outer=upper_inner - thick_upper * np.clip(1 - away**1.9, 0, 1) ** 0.8 * cupid,
        upper_inner=upper_inner,
        lower_inner=lower_inner,
        lower_outer=lower_inner + thick_lower * np.clip(1 - away**2.4, 0, 1) ** 0.75,
    )


class MouthPainter:
    """Paints one portrait's mouth onto a patch of its own, in pixels of `scale` a unit.

    A patch is premultiplied BGRA uint8 of `width` x `height`. The mouth's middle lies at (`middle_x`, `middle_y`) plus
    `shift`, which is in [0, 1) pixels so that the patch can be laid down at whole ones.
    """

    def __init__(self, rig: MouthRig, scale: float) -> None:
        self._rig = rig
        self._scale = scale
        reach = rig.width * (0.58 + SMILE_WIDENS * LARGEST_SMILE / 2)
        corner = abs(rig.smile) * 1.4 + SMILE_LIFT * LARGEST_SMILE * rig.width
        self.middle_x = int(np.ceil(reach * scale)) + 2
        self.middle_y = int(np.ceil((rig.upper_lip * 1.6 + corner + rig.open * UPPER_SHARE) * scale)) + 3
        below = (rig.lower_lip * 1.5 + corner + rig.open * (1 - UPPER_SHARE)) * scale
        self.width = 2 * self.middle_x
        self.height = self.middle_y + int(np.ceil(below)) + 4

    def paint(
        self, aperture: float, width: float, shift: tuple[float, float] = (0.0, 0.0), smile: float = 0.0
    ) -> Layer:
        """Paint one mouth."""
        rig = self._rig
        curves = contours(rig, aperture, width, smile)
        patch = np.zeros((self.height * FINE, self.width * FINE, 4), np.uint8)
        gap = curves.lower_inner - curves.upper_inner
        self._fill(patch, curves.x, curves.upper_outer, curves.lower_outer, rig.line_colour, shift)
        self._fill(patch, curves.x, curves.lower_inner, curves.lower_outer, rig.lower_colour, shift)
        self._shine(patch, curves, shift)
        self._fill(patch, curves.x, curves.upper_outer, curves.upper_inner, rig.upper_colour, shift)
        if gap.max() * self._scale > 0.4:
            self._inside(patch, curves, aperture, shift)
        self._line(patch, curves, aperture, shift)
        fine: Layer = cv2.resize(patch, (self.width, self.height), interpolation=cv2.INTER_AREA).astype(np.uint8)
        return fine

    def _inside(self, patch: Layer, curves: Contours, aperture: float, shift: tuple[float, float]) -> None:
        """Fill the opening: dark, teeth under the upper lip, the tongue on the floor."""
        rig, x = self._rig, curves.x
        u = np.linspace(-1.0, 1.0, POINTS)
        self._fill(patch, x, curves.upper_inner, curves.lower_inner, rig.inside_colour, shift)
        floor = curves.lower_inner.max()
        tongue_top = floor - rig.open * (0.10 + 0.20 * aperture) * np.clip(1 - (u / 0.72) ** 2, 0, 1) ** 0.5
        top = np.clip(tongue_top, curves.upper_inner, curves.lower_inner)
        self._fill(patch, x, top, curves.lower_inner, rig.tongue_colour, shift)
        teeth = rig.open * 0.21 * np.clip(1 - (u / 0.86) ** 4, 0, 1) * min(1.0, aperture * 2.2)
        bottom = np.clip(curves.upper_inner + teeth, curves.upper_inner, curves.lower_inner)
        shade = tuple(int(part * 0.90) for part in rig.teeth_colour)
        self._fill(patch, x, curves.upper_inner, bottom, (shade[0], shade[1], shade[2]), shift)
        inner = slice(POINTS // 5, POINTS - POINTS // 5)
        self._fill(patch, x[inner], curves.upper_inner[inner], bottom[inner], rig.teeth_colour, shift)

    def _shine(self, patch: Layer, curves: Contours, shift: tuple[float, float]) -> None:
        """Lay a soft light on the lower lip, from the left as in all portraits."""
        thick = float((curves.lower_outer - curves.lower_inner).max())
        middle = float(curves.lower_inner[POINTS // 2]) + 0.5 * thick
        light = np.zeros(patch.shape[:2], np.uint8)
        reach = (0.30 * float(curves.x[-1]), 0.20 * thick)
        angle = np.linspace(0, 2 * np.pi, 20)
        points = np.stack([np.cos(angle) * reach[0] - 0.12 * curves.x[-1], np.sin(angle) * reach[1] + middle], axis=1)
        cv2.fillPoly(light, [self._pixels(points, shift)], 90, cv2.LINE_AA, FRACTION_BITS)
        blurred = cv2.GaussianBlur(light, (0, 0), max(0.8, 0.12 * thick * self._scale * FINE))
        covered = cv2.min(blurred, patch[..., 3])
        for channel in range(3):
            patch[..., channel] = cv2.add(
                patch[..., channel], cv2.multiply(covered, 255 - patch[..., channel], scale=1 / 255)
            )

    def _line(self, patch: Layer, curves: Contours, aperture: float, shift: tuple[float, float]) -> None:
        """Draw the line between closed lips; as they part it withdraws to the corners."""
        thick = 0.026 * self._rig.width * max(0.25, 1 - 3 * aperture)
        u = np.linspace(-1.0, 1.0, POINTS)
        half = thick * (1 - 0.75 * np.abs(u)) / 2
        middle = curves.upper_inner
        self._fill(patch, curves.x, middle - half, middle + half, self._rig.line_colour, shift)

    def _fill(
        self, patch: Layer, x: Floats, top: Floats, bottom: Floats, colour: Colour, shift: tuple[float, float]
    ) -> None:
        outline = np.concatenate([np.stack([x, top], 1), np.stack([x, bottom], 1)[::-1]])
        cv2.fillPoly(patch, [self._pixels(outline, shift)], (*colour, 255), cv2.LINE_AA, FRACTION_BITS)

    def _pixels(self, points: Floats, shift: tuple[float, float]) -> NDArray[np.int32]:
        """Turn units into the fixed-point pixels of the enlarged patch."""
        origin = np.array([self.middle_x + shift[0], self.middle_y + shift[1]])
        fine = (points * self._scale + origin) * FINE - 0.5
        fixed: NDArray[np.int32] = np.round(fine * (1 << FRACTION_BITS)).astype(np.int32)
        return fixed
