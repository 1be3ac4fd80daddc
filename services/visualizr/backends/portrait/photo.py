"""A portrait that is a photo: the mouth region, the lids and the head are warped along the mesh of the face.

All fields are computed once, in the face's own directions (along the mouth, and down towards the chin), so that a
leaning head speaks as well as an upright one. A frame then costs a remap of the mouth's patch and one of the picture.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from visualizr import photos
from visualizr.backends.portrait.compositing import Box
from visualizr.backends.portrait.easing import Floats
from visualizr.backends.portrait.face import CHIN, FOREHEAD, FaceFinder
from visualizr.backends.portrait.motion import Motion
from visualizr.backends.portrait.photo_face import IRISES_GO, IRISES_SINK, NARROWS, STILL, Axes, PhotoFace, grid, slid
from visualizr.backends.portrait.stage import Frame, Performance
from visualizr.photos import Photo

Map = NDArray[np.float32]

UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
EYES: Final = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
# Of the frame's height, from forehead to chin.
FACE_SHARE: Final = 0.44
# Of the way from forehead to chin, the mouth opens so far.
OPENING: Final = 0.105
LIFT_SHARE: Final = 0.16
JAW_SHARE: Final = 0.72
WIDENING: Final = 0.11
# A photo's head moves less than a drawing's: its background moves along.
CALM: Final = 0.6
INSIDE: Final = (26, 20, 62)
TONGUE: Final = (74, 66, 140)
TEETH: Final = (196, 206, 214)


def framed(photo: Photo, points: Floats, width: int, height: int) -> tuple[Photo, Floats]:
    """Cut the frame around the face and scale it; return it with the mesh in its pixels."""
    face = float(np.linalg.norm(points[CHIN] - points[FOREHEAD]))
    tall = min(face / FACE_SHARE, float(photo.shape[0]), photo.shape[1] * height / width)
    wide = tall * width / height
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    left = float(np.clip(middle[0] - wide / 2, 0, photo.shape[1] - wide))
    top = float(np.clip(middle[1] - tall * 0.50, 0, photo.shape[0] - tall))
    scale = height / tall
    small = photo
    if scale < 0.5:  # smaller first: a warp alone would flicker
        factor = 2 * scale
        small = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    matrix = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    fit = matrix.copy()
    fit[:, :2] *= photo.shape[0] / small.shape[0]
    cut = cv2.warpAffine(small, fit, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return cut.astype(np.uint8, copy=False), points * scale - np.array([left, top]) * scale


@dataclass(frozen=True, slots=True)
class MouthPatch:
    """The mouth's surroundings, each field as large as the patch; distances in pixels.

    `below_lip`: how far under the lower lip's inner edge a pixel lies. `apart`: how far the lips are apart in the
    photo, `opening`: the share of the full opening in this column. `jaw`, `sides`: how much of the jaw's drop, and of a
    widening, reaches a pixel.
    """

    box: Box
    x: Map
    y: Map
    across: Map
    below_lip: Map
    apart: Map
    opening: Map
    jaw: Map
    sides: Map
    fade: Map


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye's surroundings, each field as large as the patch; distances in pixels.

    `under`: how far a pixel lies below the mouth's middle; so measured, `edge` is the upper lid's edge in this column
    and `ceiling` where the lid's skin begins. `opened`: how far the eye is open. `skin`: a closed lid's colour.
    `iris`: how much of a glance reaches a pixel: all of it in the middle of the eye, nothing at its lids and corners.
    """

    box: Box
    x: Map
    y: Map
    under: Map
    edge: Map
    ceiling: Map
    opened: Map
    skin: Map
    iris: Map


class PhotoStage:
    """One photo at one size."""

    def __init__(self, photo: Photo, points: Floats) -> None:
        self._photo = cv2.cvtColor(photo, cv2.COLOR_BGR2BGRA).astype(np.uint8, copy=False)
        self._points = points
        self._height, self._width = photo.shape[:2]
        self._axes = Axes.of(points, 78, 308)
        self._half = float(np.linalg.norm(points[308] - points[78])) / 2
        self._axis, self._down, self._middle = self._axes.axis, self._axes.down, self._axes.middle
        self._face = self._axes.face
        self._felt = PhotoFace(self._axes, self._width, self._height)
        self._mouth = self._mouth_patch()
        self._toothy = float(np.clip(self._mouth.apart.max() / (0.022 * self._face) - 0.3, 0, 1))
        self._light = self._lighting()
        self._eyes = [self._eye(upper, lower) for upper, lower in EYES]
        self._head_x, self._head_y, self._head, self._turn = self._head_fields()

    def frame(self, performance: Performance, index: int) -> Frame:
        """Draw one frame."""
        motion = performance.motion
        picture = self._photo.copy()
        narrowed = max(float(motion.blink[index]), -NARROWS * float(motion.wide[index]))
        look = self._gaze(motion, index)
        for eye, winks in zip(self._eyes, (0.0, float(motion.wink[index])), strict=True):
            if max(abs(look[0]), abs(look[1])) > STILL:
                slid(picture, eye.box, (eye.x, eye.y, eye.iris), look)
            if max(narrowed, winks) > 0.02:
                self._shut(picture, eye, max(narrowed, winks))
        self._speak(picture, float(performance.mouth.aperture[index]), float(performance.mouth.width[index]))
        return self._moved(picture, motion, index)

    def _gaze(self, motion: Motion, index: int) -> tuple[float, float]:
        """Return how many pixels the irises are away from where the photo has them."""
        across = float(motion.gaze_x[index]) * self._height * IRISES_GO
        down = float(motion.gaze_y[index]) * self._height * IRISES_SINK
        return (
            across * float(self._axis[0]) + down * float(self._down[0]),
            across * float(self._axis[1]) + down * float(self._down[1]),
        )

    def _mouth_patch(self) -> MouthPatch:
        chin = float((self._points[CHIN] - self._middle) @ self._down)
        reach, floor = 2.6 * self._half, chin + 0.30 * self._face
        corners = [
            self._middle + self._axis * side * reach + self._down * height
            for side in (-1, 1)
            for height in (-0.16 * self._face, floor)
        ]
        low, high = np.min(corners, axis=0), np.max(corners, axis=0)
        whole = Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1).grown(0, self._width, self._height)
        x, y = grid(whole)
        along, under = self._axes.local(x, y)
        u = along / np.float32(self._half)
        upper, lower = self._axes.contour(UPPER_INNER), self._axes.contour(LOWER_INNER)
        lower_edge = np.interp(along, *lower).astype(np.float32)
        apart = np.clip(lower_edge - np.interp(along, *upper), 0, None) * (np.abs(u) < 1)
        below = under - lower_edge
        fall = np.clip((floor - under) / (floor - chin), 0, 1)
        wide = np.clip((np.abs(u) - 0.9) / 1.6, 0, 1)
        return MouthPatch(
            box=whole,
            x=x,
            y=y,
            across=u,
            below_lip=below.astype(np.float32),
            apart=cv2.GaussianBlur(apart.astype(np.float32), (0, 0), 0.8),
            opening=(np.clip(1 - np.abs(u) ** 2.2, 0, 1) ** 0.6).astype(np.float32),
            jaw=((1 - wide * wide * (3 - 2 * wide)) * fall * fall * (3 - 2 * fall)).astype(np.float32),
            sides=(np.exp(-((u / 1.5) ** 4)) * np.exp(-((under / (0.14 * self._face)) ** 4))).astype(np.float32),
            fade=np.clip(fall * 8, 0, 1).astype(np.float32),
        )

    def _lighting(self) -> float:
        """Return how bright the face is: 1 for a well lit one."""
        hull = self._points.astype(np.int32)
        mask = np.zeros((self._height, self._width), np.uint8)
        cv2.fillConvexPoly(mask, cv2.convexHull(hull), 255)
        return float(np.clip(np.mean(cv2.mean(self._photo, mask)[:3]) / 135, 0.35, 1.15))

    def _speak(self, picture: Frame, aperture: float, width: float) -> None:
        """Move lips and jaw of the picture, in place, and fill the opening.

        In a photo that shows teeth the lower lip closes over them, and what opens lies below them.
        """
        patch = self._mouth
        full = OPENING * self._face * aperture
        lift = full * LIFT_SHARE * (1 - self._toothy) * patch.opening
        drop = full * patch.opening - lift - 0.92 * patch.apart
        jaw_drop = JAW_SHARE * (full - 0.5 * float(patch.apart.max()))
        soft = np.float32(0.11 * self._face)
        below = patch.below_lip - drop
        near = np.exp(-((np.clip(below, 0, None) / soft) ** 2))
        down = np.where(below > 0, drop * near + jaw_drop * (1 - near), 0) * patch.jaw
        above = np.clip(-(patch.below_lip + lift), 0, None)
        down -= np.where(patch.below_lip < -lift, lift * np.exp(-((above / (0.06 * self._face)) ** 2)), 0)
        sideways = WIDENING * width * self._half * patch.across * patch.sides
        map_x = patch.x - (sideways * self._axis[0] + down * self._down[0]).astype(np.float32)
        map_y = patch.y - (sideways * self._axis[1] + down * self._down[1]).astype(np.float32)
        moved = cv2.remap(self._photo, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        opened = np.clip(patch.below_lip + lift + 0.5, 0, 1) * np.clip(drop - patch.below_lip + 0.5, 0, 1)
        opened *= np.clip((drop + lift) / 1.5, 0, 1) * (np.abs(patch.across) < 1)
        if opened.max() > 0.05:
            soft_edge = cv2.GaussianBlur(opened.astype(np.float32), (0, 0), 0.9)[..., None]
            inside = self._inside(patch, lift, drop, full)
            moved[..., :3] = (moved[..., :3] * (1 - soft_edge) + inside * soft_edge).astype(np.uint8, copy=False)
        picture[patch.box.slices] = moved

    def _inside(self, patch: MouthPatch, lift: Map, drop: Map, full: float) -> Map:
        """Paint what is seen between the lips: dark, a tongue below, teeth above unless the photo has its own."""
        gap = np.maximum(lift + drop, 1.0)
        depth = np.clip((patch.below_lip + lift) / gap, 0, 1)[..., None]
        edge = np.clip(np.abs(patch.across), 0, 1)[..., None]
        inside = np.array(INSIDE, np.float32) * (0.55 + 0.3 * depth)
        tongue = np.clip((depth - 0.62) / 0.3, 0, 1) * np.clip(1.15 - 1.3 * edge, 0, 1) * 0.75
        inside = inside * (1 - tongue) + np.array(TONGUE, np.float32) * tongue
        shown = float(np.clip(full / (0.03 * self._face), 0, 1)) * (1 - self._toothy)
        teeth_depth = 0.030 * self._face / gap[..., None]
        teeth = np.clip((teeth_depth - depth) / (0.25 * teeth_depth), 0, 1) * np.clip(1.25 - 1.35 * edge, 0, 1) * shown
        inside = inside * (1 - teeth) + np.array(TEETH, np.float32) * (0.92 - 0.25 * edge) * teeth
        painted: Map = (inside * self._light).astype(np.float32)
        return painted

    def _eye(self, upper: tuple[int, ...], lower: tuple[int, ...]) -> Eye:
        upper_line, lower_line = self._axes.contour(upper), self._axes.contour(lower)
        most = max(2.0, float((lower_line[1] - np.interp(lower_line[0], *upper_line)).max()))
        points = self._points[[*upper, *lower]]
        low, high = points.min(axis=0) - 1.6 * most, points.max(axis=0) + 1.6 * most
        box = Box(int(low[0]), int(low[1]), int(high[0]) + 1, int(high[1]) + 1).grown(0, self._width, self._height)
        x, y = grid(box)
        along, under = self._axes.local(x, y)
        edge = np.interp(along, *upper_line).astype(np.float32)
        opened = np.clip(np.interp(along, *lower_line) - edge, 0, None).astype(np.float32)
        opened[(along < upper_line[0][0]) | (along > upper_line[0][-1])] = 0
        iris = looking(along, under - edge, opened)
        opened = cv2.GaussianBlur(opened, (0, 0), max(0.8, 0.06 * most)).astype(np.float32)
        ceiling = edge - 1.35 * opened
        above, beneath = (self._colour(x, y, row - under, most, opened) for row in (ceiling, edge + 2.5 * opened))
        depth = np.clip((under - ceiling) / np.maximum(edge + opened - ceiling, 1), 0, 1)[..., None]
        lower_share = 0.78 + 0.22 * depth
        skin = (above * (1 - lower_share) + beneath * lower_share) * (1.0 - 0.07 * np.sin(np.pi * depth))
        return Eye(box, x, y, under, edge, ceiling, opened, skin.astype(np.float32), iris)

    def _colour(self, x: Map, y: Map, away: Map, blur: float, weight: Map) -> Map:
        """Read the photo `away` pixels further down from each pixel, smoothed: the tone of the skin there.

        `weight` is small where that would be the corner of the eye, which is darker.
        """
        map_x = x + (away * self._down[0]).astype(np.float32)
        map_y = y + (away * self._down[1]).astype(np.float32)
        read = cv2.remap(self._photo[..., :3], map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = weight[..., None] + np.float32(1e-3)
        tone = cv2.GaussianBlur(read * share, (0, 0), blur) / cv2.GaussianBlur(share, (0, 0), blur)[..., None]
        return np.asarray(tone, np.float32)

    def _shut(self, picture: Frame, eye: Eye, blink: float) -> None:
        """Pull the upper lid down, in place: its skin stretches and smooths, its lashes travel with its edge."""
        lashes = 0.14 * eye.opened
        lid = eye.edge + eye.opened * np.float32(blink * 1.04)
        above = (eye.under - eye.ceiling) / np.maximum(lid - lashes - eye.ceiling, 1e-3)
        taken = eye.ceiling + above * (eye.edge - lashes - eye.ceiling)
        at_edge = eye.under > lid - lashes
        taken = np.minimum(np.where(at_edge, eye.under - (lid - eye.edge), taken), eye.edge)  # no iris in the lashes
        moves = (eye.under > eye.ceiling) & (eye.under < lid + lashes) & (eye.opened > 0.3)
        down = np.where(moves, eye.under - taken, 0.0)
        map_x = eye.x - (down * self._down[0]).astype(np.float32)
        map_y = eye.y - (down * self._down[1]).astype(np.float32)
        moved = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        uncovered = np.clip(eye.under - lid - 0.4 * lashes + 0.5, 0, 1)[..., None]
        moved = (moved * (1 - uncovered) + picture[eye.box.slices] * uncovered).astype(np.uint8)
        smooth = np.where(moves & ~at_edge, np.clip((eye.under - eye.ceiling) / (0.9 * eye.opened + 1), 0, 1), 0)
        smooth = cv2.GaussianBlur((smooth * 0.8 * blink).astype(np.float32), (0, 0), 0.7)[..., None]
        moved[..., :3] = (moved[..., :3] * (1 - smooth) + eye.skin * smooth).astype(np.uint8, copy=False)
        line = np.clip(1 - np.abs(eye.under - lid) / np.maximum(lashes, 1), 0, 1) * np.clip(eye.opened - 0.3, 0, 1)
        line = cv2.GaussianBlur(line.astype(np.float32), (0, 0), 0.7)[..., None]
        moved[..., :3] = (moved[..., :3] * (1 - 0.45 * blink * line)).astype(np.uint8, copy=False)
        picture[eye.box.slices] = moved

    def _head_fields(self) -> tuple[Map, Map, Map, Map]:
        """Return pixel coordinates around the neck, and how much of a head's motion and of a turn reaches each."""
        x, y = grid(Box(0, 0, self._width, self._height))
        face_middle = (self._points[FOREHEAD] + self._points[CHIN]) / 2
        far = np.hypot(x - face_middle[0], (y - face_middle[1]) * 0.85) / self._face
        head = 1 - np.clip((far - 0.70) / 0.75, 0, 1)
        head = head * head * (3 - 2 * head)
        border = np.minimum(np.minimum(x, self._width - 1 - x), np.minimum(y, self._height - 1 - y))
        head *= np.clip(border / (0.04 * self._height), 0, 1)
        turn = np.exp(-((far / 0.42) ** 2))
        neck = self._points[CHIN] + 0.25 * self._face * self._down
        return (
            (x - neck[0]).astype(np.float32),
            (y - neck[1]).astype(np.float32),
            head.astype(np.float32),
            turn.astype(np.float32),
        )

    def _moved(self, picture: Frame, motion: Motion, index: int) -> Frame:
        """Tilt, shift and turn the head; the background far from it stays."""
        tall = self._height * CALM
        tilt = float(motion.tilt[index]) * CALM
        shift_x = float(motion.head_x[index]) * tall
        shift_y = (float(motion.head_y[index]) - 0.003 * float(motion.breath[index])) * tall
        turn_x, turn_y = float(motion.turn_x[index]) * tall, float(motion.turn_y[index]) * tall
        x, y = self._head_x, self._head_y
        away_x = (np.float32(shift_x) - np.float32(tilt) * y) * self._head + np.float32(turn_x) * self._turn
        away_y = (np.float32(shift_y) + np.float32(tilt) * x) * self._head + np.float32(turn_y) * self._turn
        if (felt := self._felt.warp(motion, index)) is not None:
            away_x[self._felt.box.slices] += felt[0]
            away_y[self._felt.box.slices] += felt[1]
        home_x, home_y = grid(Box(0, 0, self._width, self._height))
        moved = cv2.remap(picture, home_x - away_x, home_y - away_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return moved.astype(np.uint8, copy=False)


def looking(along: Map, below: Map, opened: Map) -> Map:
    """Return how much of a glance reaches each pixel of an eye. `below`: how far it lies under the upper lid's edge."""
    inside = opened > 0.5
    deep = np.clip(below / np.maximum(opened, 0.5), 0, 1) * inside
    ends = along[inside]
    middle, half = (ends.min() + ends.max()) / 2, max(float(np.ptp(ends)) / 2, 1.0)
    across = np.clip(1 - ((along - middle) / half) ** 2, 0, 1)
    share: Map = cv2.GaussianBlur((np.clip(7 * deep * (1 - deep), 0, 1) * across).astype(np.float32), (0, 0), 0.6)
    return share


def photo_stage(data: bytes, faces: FaceFinder, width: int, height: int) -> PhotoStage:
    """Prepare a photo. Raises `InvalidInput` when it cannot be decoded, or has no face that can be animated."""
    return PhotoStage(*framed(*faces.upright(photos.decoded(data)), width, height))
