"""Finding a face in a photo: MediaPipe's BlazeFace detector, then its mesh of 468 points, run by OpenCV.

Sources: Bazarevsky et al., "BlazeFace" (arXiv:1907.05047), back-camera model; Kartynnik et al., "Real-time Facial
Surface Geometry from Monocular Video on Mobile GPUs" (arXiv:1907.06724).
"""

import math
import threading
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from chatacter.chassis.errors import InvalidInput
from chatacter.models.store import ModelStore
from visualizr.backends.portrait.easing import Floats
from visualizr.photos import Photo

MODEL: Final = "mediapipe-face"
DETECTOR: Final = "face_detection_back.tflite"
MESH: Final = "face_landmark.tflite"
PARAM: Final = "image_reference"

DETECTOR_SIDE: Final = 256
# Grid cells along a side, and anchors in each cell.
ANCHORS: Final = ((16, 2), (8, 6))
LIKELY: Final = 0.0
"""Logit above which a box, and a mesh, counts as a face: a probability of one half."""
OVERLAP: Final = 0.3
MESH_SIDE: Final = 192
MESH_POINTS: Final = 468
# The mesh sees this much more than the box of the face, as in MediaPipe's graph.
ROOM: Final = 1.5
SMALLEST: Final = 72
"""Pixels from forehead to chin below which a face is too coarse to be animated."""
FOREHEAD, CHIN, NOSE_TIP, RIGHT_CHEEK, LEFT_CHEEK = 10, 152, 1, 234, 454
RIGHT_EYE, LEFT_EYE = 33, 263
# The nose tip's place between the cheeks; outside of this the face looks away.
FRONTAL: Final = (0.24, 0.76)

NO_FACE: Final = "image_reference: no face was found. Use a frontal portrait: one face, well lit, eyes and mouth free."
TOO_SMALL: Final = "image_reference: the face is too small. Use a frontal portrait in which the face fills the picture."
TURNED: Final = "image_reference: the face looks away. Use a frontal portrait that looks into the camera."


@dataclass(frozen=True, slots=True)
class Found:
    """A face: its box' middle and longer side, in pixels; how far it leans, in radians; the detector's logit."""

    middle: Floats
    side: float
    lean: float
    likely: float

    @property
    def is_upright(self) -> bool:
        """Whether its eyes lie beside each other rather than one above the other."""
        return abs(self.lean) <= math.pi / 4


class FaceFinder:
    """Finds the largest face of a photo. The networks are not thread-safe, so photos are looked at one by one."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._detector: cv2.dnn.Net | None = None
        self._mesh: cv2.dnn.Net | None = None
        self._anchors = anchor_centres()

    def load(self) -> None:
        """Read the networks. Raises `Misconfigured` when they are not installed."""
        with self._lock:
            self._detector = cv2.dnn.readNetFromTFLite(str(self._store.file(MODEL, DETECTOR)))
            self._mesh = cv2.dnn.readNetFromTFLite(str(self._store.file(MODEL, MESH)))

    def close(self) -> None:
        """Let go of the networks."""
        with self._lock:
            self._detector = self._mesh = None

    def largest(self, photo: Photo) -> Floats:
        """Return the mesh of an upright photo's largest face: [468, 2] pixels (uint8 [height, width, 3], blue first).

        Raises `InvalidInput` when there is no face, or none that can be animated.
        """
        with self._lock:
            found = self._detected(photo, 0)
            if found is None:
                raise InvalidInput(NO_FACE, param=PARAM)
            return self._laid(photo, found)

    def upright(self, photo: Photo) -> tuple[Photo, Floats]:
        """Return a photo, turned by quarters until its largest face is upright, and the mesh of that face.

        Phones and messengers lose the mark that says which side is up. Raises `InvalidInput` as `largest` does.
        """
        with self._lock:
            views = [(turns, self._detected(photo, turns)) for turns in range(4)]
            seen = [(turns, found) for turns, found in views if found is not None and found.is_upright]
            if not seen:
                raise InvalidInput(NO_FACE, param=PARAM)
            turns, found = max(seen, key=lambda view: view[1].likely)
            turned = np.ascontiguousarray(np.rot90(photo, turns))
            return turned, self._laid(turned, found)

    def _laid(self, photo: Photo, found: "Found") -> Floats:
        """Lay the mesh over a face that was found. Raises `InvalidInput`."""
        middle, side, angle = found.middle, found.side, found.lean
        for _ in range(2):  # the second look is straight and centred
            points = self._meshed(photo, (middle, side), angle)
            middle, side = (points.min(axis=0) + points.max(axis=0)) / 2, float(np.ptp(points, axis=0).max())
            across = points[LEFT_EYE] - points[RIGHT_EYE]
            angle = float(np.arctan2(across[1], across[0]))
        check(points)
        return points

    def _detected(self, photo: Photo, turns: int) -> "Found | None":
        """Return the largest face of a photo that is turned by so many quarters, counter-clockwise."""
        assert self._detector is not None, "load() comes first"
        height, width = photo.shape[:2]
        scale = DETECTOR_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = np.rot90(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), turns)
        square = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.uint8)
        square[: small.shape[0], : small.shape[1]] = small
        self._detector.setInput(cv2.dnn.blobFromImage(square, 1 / 127.5, mean=(127.5, 127.5, 127.5), swapRB=True))
        scores = self._detector.forward("classificators").reshape(-1)
        boxes = self._detector.forward("regressors").reshape(len(scores), -1)
        middles = boxes[:, :2] / DETECTOR_SIDE + self._anchors
        sizes = boxes[:, 2:4] / DETECTOR_SIDE
        rectangles = np.concatenate([middles - sizes / 2, sizes], axis=1)
        kept = cv2.dnn.NMSBoxes(rectangles.tolist(), scores.tolist(), LIKELY, OVERLAP)
        if not len(kept):
            return None
        best = max((int(index) for index in np.ravel(kept)), key=lambda index: float(sizes[index].prod()))
        across = boxes[best, 6:8] - boxes[best, 4:6]  # behind the box come the right eye and the left one
        return Found(
            middle=middles[best].astype(np.float64) * DETECTOR_SIDE / scale,
            side=float(max(sizes[best])) * DETECTOR_SIDE / scale,
            lean=float(np.arctan2(across[1], across[0])),
            likely=float(scores[best]),
        )

    def _meshed(self, photo: Photo, box: tuple[Floats, float], angle: float) -> Floats:
        """Lay the mesh over one face; `angle` is how far it leans, in radians. Raises `InvalidInput` if it is none."""
        assert self._mesh is not None, "load() comes first"
        middle, side = box
        zoom = MESH_SIDE / (side * ROOM)
        turn = zoom * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        shift = MESH_SIDE / 2 - turn @ middle
        cut = cv2.warpAffine(photo, np.concatenate([turn, shift[:, None]], axis=1), (MESH_SIDE, MESH_SIDE))
        self._mesh.setInput(cv2.dnn.blobFromImage(cut, 1 / 255, swapRB=True))
        points = self._mesh.forward("conv2d_20").reshape(MESH_POINTS, 3)[:, :2].astype(np.float64)
        if float(self._mesh.forward("conv2d_30").reshape(-1)[0]) < LIKELY:
            raise InvalidInput(NO_FACE, param=PARAM)
        seen: Floats = (points - shift) @ np.linalg.inv(turn).T
        return seen


def anchor_centres() -> Floats:
    """Return the centres of the detector's anchors, [896, 2], as parts of its side."""
    centres = []
    for cells, count in ANCHORS:
        steps = (np.arange(cells) + 0.5) / cells
        grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
        centres.append(np.repeat(grid, count, axis=0))
    return np.concatenate(centres)


def check(points: Floats) -> None:
    """Raise `InvalidInput` for a face that is too small, or looks away."""
    if np.linalg.norm(points[CHIN] - points[FOREHEAD]) < SMALLEST:
        raise InvalidInput(TOO_SMALL, param=PARAM)
    across = points[LEFT_CHEEK] - points[RIGHT_CHEEK]
    place = float((points[NOSE_TIP] - points[RIGHT_CHEEK]) @ across / (across @ across))
    if not FRONTAL[0] <= place <= FRONTAL[1]:
        raise InvalidInput(TURNED, param=PARAM)
