"""Laying layers over each other. All layers are premultiplied BGRA, uint8 [height, width, 4]."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Layer = NDArray[np.uint8]


class Box(NamedTuple):
    """A rectangle in pixels; `right` and `bottom` are outside."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index of the rectangle in an image."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, as OpenCV wants them."""
        return self.right - self.left, self.bottom - self.top

    def grown(self, pixels: int, width: int, height: int) -> "Box":
        """Return a larger box that stays within an image of that size."""
        return Box(
            max(0, self.left - pixels),
            max(0, self.top - pixels),
            min(width, self.right + pixels),
            min(height, self.bottom + pixels),
        )

    def joined(self, other: "Box") -> "Box":
        """Return the smallest box around both."""
        return Box(
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
        )


def premultiplied(straight: Layer) -> Layer:
    """Turn straight alpha, as PNG has it, into premultiplied."""
    alpha = straight[..., 3]
    weights = cv2.merge([alpha, alpha, alpha, np.full_like(alpha, 255)])
    return cv2.multiply(straight, weights, scale=1 / 255).astype(np.uint8, copy=False)


def covered(layer: Layer) -> Box | None:
    """Return the smallest box around everything visible; None for an empty layer."""
    left, top, width, height = cv2.boundingRect(layer[..., 3])
    return Box(left, top, left + width, top + height) if width and height else None


def over(target: Layer, source: Layer) -> None:
    """Lay `source` over `target`, in place; both of one size."""
    keep = cv2.bitwise_not(cv2.extractChannel(source, 3))
    cv2.multiply(target, cv2.merge([keep, keep, keep, keep]), target, scale=1 / 255)
    cv2.add(target, source, target)


def over_at(target: Layer, source: Layer, left: int, top: int) -> None:
    """Lay `source` over `target` with its corner at (left, top); what sticks out is cut off."""
    height, width = source.shape[:2]
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(target.shape[1], left + width), min(target.shape[0], top + height)
    if x0 >= x1 or y0 >= y1:
        return
    part = np.ascontiguousarray(target[y0:y1, x0:x1])
    over(part, np.ascontiguousarray(source[y0 - top : y1 - top, x0 - left : x1 - left]))
    target[y0:y1, x0:x1] = part


def faded(layer: Layer, opacity: float) -> Layer:
    """Make a layer more transparent."""
    return cv2.convertScaleAbs(layer, alpha=opacity).astype(np.uint8, copy=False)


def within(layer: Layer, mask: Layer) -> Layer:
    """Keep of a layer only what lies on the visible part of another."""
    alpha = cv2.extractChannel(mask, 3)
    return cv2.multiply(layer, cv2.merge([alpha, alpha, alpha, alpha]), scale=1 / 255).astype(np.uint8, copy=False)


def shifted(layer: Layer, x: float, y: float) -> Layer:
    """Move a layer by fractions of a pixel."""
    height, width = layer.shape[:2]
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(layer, matrix, (width, height)).astype(np.uint8, copy=False)
