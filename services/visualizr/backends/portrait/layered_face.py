"""Eyes, lids and brows of a drawn portrait: they look, blink and show what is felt."""

from collections.abc import Mapping
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visualizr.backends.portrait.compositing import Box, Layer, covered, faded, over, shifted, within
from visualizr.backends.portrait.motion import Motion

Map = NDArray[np.float32]

FACE: Final = ("eyes", "pupils", "lashes", "eyelids", "brows")
# Open lashes are gone when the lids are this far down.
LASHES_GONE: Final = 0.58
# How much taller an eye is at its widest, and how much of its height a narrowed one loses.
WIDENS: Final = 0.20
NARROWS: Final = 0.40
# The lower lid moves less than the upper one: the point of an eye that stays, from its top to its bottom.
STAYS: Final = 0.68
# The outer ends of the brows go the other way by this much, and the inner ones come together.
OUTER: Final = 0.40
TOGETHER: Final = 0.45
BLINK_PULLS: Final = 0.004


class LayeredFace:
    """The middle of a drawn face, cut out of its layers. `middle`: the column, in the patch, between the eyes."""

    def __init__(self, layers: Mapping[str, Layer], box: Box, middle: float, tall: float) -> None:
        self._face = {name: np.ascontiguousarray(layers[name][box.slices]) for name in FACE if name in layers}
        self._tall = tall
        height, width = self._face["eyes"].shape[:2]
        self._x, self._y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._right = (np.arange(width) > middle).astype(np.float32)
        self._lid_top, self._lid_drop = lid_columns(self._face["eyelids"])
        eyes = covered(self._face["eyes"]) or Box(0, 0, width, height)
        self._pivot = eyes.top + STAYS * (eyes.bottom - eyes.top)
        self._inner, self._towards = self._brow_columns(middle)

    def patch(self, motion: Motion, index: int) -> Layer:
        """Put eyes, pupils, lashes, lids and brows together."""
        face, tall = self._face, self._tall
        wide = float(motion.wide[index])
        blink = float(motion.blink[index])
        lids = np.maximum(np.float32(blink), np.float32(motion.wink[index]) * self._right)
        whites = self._opened(face["eyes"], wide)
        patch = whites.copy()
        if "pupils" in face:
            pupils = shifted(face["pupils"], float(motion.gaze_x[index]) * tall, float(motion.gaze_y[index]) * tall)
            over(patch, within(pupils, whites))
        if "lashes" in face and lids.min() < LASHES_GONE:
            over(patch, self._opened(self._lashes(lids), wide))
        if lids.max() > 0.02:
            over(patch, self._opened(self._lowered(lids), wide))
        if "brows" in face:
            raised = float(motion.brow[index]) - BLINK_PULLS * blink
            over(patch, self._brows(raised * tall, float(motion.furrow[index]) * tall))
        return patch

    def _opened(self, layer: Layer, wide: float) -> Layer:
        """Stretch what belongs to an eye, or press it together; the lower lid hardly moves."""
        factor = 1 + (WIDENS if wide > 0 else NARROWS) * wide
        if abs(factor - 1) < 0.004:
            return layer
        matrix = np.array([[1, 0, 0], [0, factor, (1 - factor) * self._pivot]], np.float64)
        return cv2.warpAffine(layer, matrix, (layer.shape[1], layer.shape[0])).astype(np.uint8, copy=False)

    def _lashes(self, lids: Map) -> Layer:
        lashes = self._face["lashes"]
        shown = np.where(lids < 0.02, 1.0, np.clip(1 - lids / LASHES_GONE, 0, 1))
        if shown.min() == shown.max():
            return lashes if shown[0] == 1 else faded(lashes, float(shown[0]))
        return np.rint(lashes * shown[None, :, None]).astype(np.uint8)

    def _lowered(self, lids: Map) -> Layer:
        """Let the lids down like a shutter: every column slides, and nothing shows above the eye's upper edge."""
        source = self._y + ((1 - lids) * self._lid_drop)[None, :]
        source[self._y < self._lid_top[None, :]] = -10.0
        out: Layer = cv2.remap(
            self._face["eyelids"], self._x, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
        ).astype(np.uint8, copy=False)
        return out

    def _brows(self, raised: float, furrow: float) -> Layer:
        """Lift both brows, and lift or lower their inner ends against the outer ones."""
        if abs(furrow) < 0.05:
            return shifted(self._face["brows"], 0.0, -raised)
        down = -raised - furrow * self._inner
        across = TOGETHER * max(-furrow, 0.0) * self._towards
        out: Layer = cv2.remap(
            self._face["brows"],
            self._x - across[None, :],
            self._y - down[None, :],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        ).astype(np.uint8, copy=False)
        return out

    def _brow_columns(self, middle: float) -> tuple[Map, Map]:
        """Return how much of a furrow each column takes (1 at the brows' inner ends), and where the middle is."""
        columns = np.arange(self._x.shape[1], dtype=np.float32)
        away = np.abs(columns - np.float32(middle))
        brows = self._face.get("brows")
        seen = away[brows[..., 3].any(axis=0)] if brows is not None else away
        near, far = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 1.0)
        out = np.clip((away - near) / max(far - near, 1.0), 0, 1)
        inner: Map = ((1 + OUTER) * 0.5 * (1 + np.cos(np.pi * out)) - OUTER).astype(np.float32)
        towards: Map = (np.sign(np.float32(middle) - columns) * (1 - out)).astype(np.float32)
        return inner, towards


def lid_columns(lids: Layer) -> tuple[Map, Map]:
    """Return, for each column, the lids' upper edge and how far they come down; 0 where there are none.

    Both are smoothed along the lid, so that single lashes do not tear it.
    """
    visible = lids[..., 3] > 96
    some = visible.any(axis=0).astype(np.float32)
    top = np.where(some, visible.argmax(axis=0), 0).astype(np.float32)
    bottom = np.where(some, visible.shape[0] - visible[::-1].argmax(axis=0), 0).astype(np.float32)
    sigma = max(1.0, 0.02 * lids.shape[1])
    rows = cv2.GaussianBlur(np.stack([some, top * some, bottom * some])[:, None, :].transpose(1, 2, 0), (0, 0), sigma)
    weight, top, bottom = rows.reshape(-1, 3).T.astype(np.float32)
    top, bottom = top / (weight + 1e-6), bottom / (weight + 1e-6)
    return top - 1, np.where(some > 0, bottom - top + 2, 0.0).astype(np.float32)
