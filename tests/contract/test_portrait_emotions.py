"""What a viewer sees of the acting: films are decoded, and faces measured in them, by face mesh, flow and pixels."""

import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.speech import Phoneme
from chatacter.models.store import ModelStore
from tests.film_material import PHOTO, PORTRAITS, Seen, shot, watched
from visualizr.backend import Film, Picture, Shot, Sound
from visualizr.backends.portrait.backend import PortraitBackend
from visualizr.backends.portrait.face import FaceFinder
from visualizr.backends.portrait.svg import read_artwork
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.contract

FPS = 10
SIDE = 384
# Points of the face mesh.
CORNERS, UPPER_LIDS = (61, 291), (159, 386)
INNER, OUTER = (107, 336, 55, 285), (70, 300, 63, 293)
Photograph = Callable[..., Seen]


def silence(seconds: int = 1) -> Sound:
    return Sound(np.zeros(seconds * 48_000, np.float32), 48_000)


def filmed(backend: PortraitBackend, wanted: Shot) -> Film:
    film = list(backend.film(wanted, threading.Event()))[-1]
    assert isinstance(film, Film)
    return film


def risen(before: NDArray[np.uint8], after: NDArray[np.uint8], x: NDArray[np.int_], y: NDArray[np.int_]) -> float:
    """How many pixels higher what was at these places is in another frame, by optical flow."""
    first, second = (cv2.cvtColor(each, cv2.COLOR_BGR2GRAY) for each in (before, after))
    flow = cv2.calcOpticalFlowFarneback(first, second, None, 0.5, 3, 15, 5, 7, 1.5, 0)
    return -float(flow[y, x, 1].mean())


@pytest.fixture(scope="module")
def portrait(models_home: Path) -> Iterator[PortraitBackend]:
    backend = PortraitBackend(VisualizrSettings(chatacter_home=models_home.parent))
    backend.load()
    yield backend
    backend.close()


@pytest.fixture(scope="module")
def photograph(portrait: PortraitBackend) -> Photograph:
    """Film the photo in silence, its head still, so that all that moves is the face; each film once."""
    picture = Picture("image/jpeg", PHOTO.read_bytes())

    @cache
    def film(prompt: str = "", seconds: int = 1, phonemes: tuple[Phoneme, ...] = (), **more: object) -> Seen:
        controls = {"width": SIDE, "height": SIDE, "fps": FPS, "motion": 0.0, **more}
        wanted = shot(picture, silence(seconds), prompt=prompt, phonemes=phonemes, **controls)
        return watched(filmed(portrait, wanted))

    return film


@pytest.fixture(scope="module")
def mesh(models_home: Path) -> FaceFinder:
    finder = FaceFinder(ModelStore(models_home))
    finder.load()
    return finder


class Face:
    """What is to be seen of a face in one frame; lengths as parts of the way from forehead to chin."""

    def __init__(self, mesh: FaceFinder, frame: NDArray[np.uint8]) -> None:
        self.frame = frame
        self.points = mesh.largest(frame)
        self.tall = float(np.linalg.norm(self.points[152] - self.points[10]))

    @property
    def corners(self) -> float:
        """How much higher the corners of the mouth are than its middle, by the mesh."""
        return float(self.points[[13, 14], 1].mean() - self.points[[61, 291], 1].mean()) / self.tall

    @property
    def brows(self) -> float:
        """How high the brows are above the corners of the eyes, by the mesh."""
        return float(self.points[[33, 133, 362, 263], 1].mean() - self.points[[105, 334], 1].mean()) / self.tall

    def risen(self, other: "Face", places: tuple[int, ...]) -> float:
        """How much higher what is at these points of this frame lies in another frame, by optical flow."""
        x, y = np.rint(self.points[list(places)]).astype(int).T
        return risen(self.frame, other.frame, x, y) / self.tall

    @property
    def irises(self) -> float:
        """Where the dark of the eyes lies between their corners: 0 at the left of the picture, 1 at the right."""
        found = []
        for left, right, top, bottom in ((33, 133, 159, 145), (362, 263, 386, 374)):
            corners = self.points[[left, right]]
            low = np.array([corners[:, 0].min(), self.points[top, 1]]).astype(int)
            high = np.ceil([corners[:, 0].max(), self.points[bottom, 1]]).astype(int)
            eye = cv2.cvtColor(self.frame[low[1] : high[1], low[0] : high[0]], cv2.COLOR_BGR2GRAY).astype(float)
            dark = np.clip(np.percentile(eye, 45) - eye, 0, None)
            found.append((dark.sum(axis=0) @ np.arange(dark.shape[1])) / dark.sum() / dark.shape[1])
        return float(np.mean(found))


@pytest.fixture(scope="module")
def shown(photograph: Photograph, mesh: FaceFinder) -> Callable[..., Face]:
    return cache(lambda **controls: Face(mesh, photograph(**controls).frames[2]))


def test_a_happy_mouth_goes_up_and_a_sad_one_down(shown: Callable[..., Face]) -> None:
    sad, plain, happy = (shown(emotion=emotion) for emotion in ("sad", "neutral", "happy"))
    assert sad.corners + 0.010 < plain.corners < happy.corners - 0.006
    assert plain.risen(happy, CORNERS) > 0.015
    assert plain.risen(sad, CORNERS) < -0.015


def test_surprise_lifts_brows_and_opens_eyes(shown: Callable[..., Face]) -> None:
    plain, surprised, happy = (shown(emotion=emotion) for emotion in ("neutral", "surprised", "happy"))
    assert surprised.brows > plain.brows + 0.005
    assert min(plain.risen(surprised, INNER), plain.risen(surprised, OUTER)) > 0.025
    assert plain.risen(surprised, UPPER_LIDS) > 0.008
    assert plain.risen(happy, UPPER_LIDS) < 0.002


def test_anger_and_worry_are_told_by_the_inner_ends_of_the_brows(shown: Callable[..., Face]) -> None:
    plain = shown(emotion="neutral")
    for emotion, sign in (("angry", -1), ("sad", 1), ("afraid", 1)):
        felt = shown(emotion=emotion)
        assert sign * (plain.risen(felt, INNER) - plain.risen(felt, OUTER)) > 0.010, emotion


def test_eyes_look_where_they_are_told(shown: Callable[..., Face]) -> None:
    left, camera, right = (shown(gaze=gaze).irises for gaze in ("left", "camera", "right"))
    assert left + 0.02 < camera < right - 0.02


def test_more_strength_shows_more(shown: Callable[..., Face]) -> None:
    plain = shown(emotion="neutral")
    none, some, most = (
        plain.risen(shown(emotion="surprised", emotion_strength=strength), INNER) for strength in (0.0, 0.3, 0.6)
    )
    assert abs(none) < 0.001
    assert 0.012 < some < most - 0.012


def test_a_direction_changes_the_face_at_its_word(photograph: Photograph, mesh: FaceFinder) -> None:
    """Two words, the second at 1.2 seconds, with a surprise between them."""
    words = (Phoneme(symbol="O", start=0.2, end=0.5), Phoneme(symbol=" ", start=0.5, end=1.2))
    words += (Phoneme(symbol="O", start=1.2, end=1.5),)
    seen = photograph("Oh [surprised] oh", 2, words)
    faces = [Face(mesh, frame) for frame in seen.frames[::2]]
    risen = [faces[0].risen(face, INNER) for face in faces[1:]]
    assert np.abs(risen[:4]).max() < 0.003
    assert min(risen[6:]) > 0.02


def test_nothing_flickers_or_tears(photograph: Photograph) -> None:
    """Two frames of a change are as alike as its ease allows: no pixel's surroundings jump."""
    for prompt in ("[surprised] Oh", "Oh [laughs] oh", "[sad] Oh [looks left] oh"):
        seen = photograph(prompt, 2, fps=25)
        small = np.stack([cv2.resize(f, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA) for f in seen.frames])
        steps = np.abs(np.diff(small.astype(float), axis=0)).mean(axis=(1, 2, 3))
        assert steps.max() < 2.0, prompt


@pytest.mark.parametrize("name", ["ada", "mira"])
def test_a_drawing_smiles_and_scowls(portrait: PortraitBackend, name: str) -> None:
    data = (PORTRAITS / f"{name}.svg").read_bytes()
    rig = read_artwork(data).rig.mouth
    picture, scale = Picture("image/svg+xml", data), SIDE / 1024
    frames = {}
    for emotion in ("sad", "neutral", "happy"):
        wanted = shot(picture, silence(), width=SIDE, height=SIDE, fps=FPS, motion=0.0, emotion=emotion)
        frames[emotion] = watched(filmed(portrait, wanted)).frames[2]
    sides = [(rig.x + side * 0.46 * rig.width, rig.y - rig.smile) for side in (-1, 1)]
    x, y = np.rint(np.array(sides) * scale).astype(int).T
    assert risen(frames["neutral"], frames["happy"], x, y) > rig.width * scale / 25
    assert risen(frames["neutral"], frames["sad"], x, y) < -rig.width * scale / 25


def test_the_same_seed_films_the_same_acting(portrait: PortraitBackend) -> None:
    picture = Picture("image/svg+xml", (PORTRAITS / "iris.svg").read_bytes())
    wanted = shot(picture, silence(), prompt="[thoughtful] Hm [looks away] well", fps=FPS, seed=4)
    first, second = (filmed(portrait, wanted) for _ in range(2))
    assert np.array_equal(watched(first).frames, watched(second).frames)
    assert first.metadata["directions"] == ["thoughtful at 0.00", "aside at 0.10"]


def test_what_cannot_be_shown_is_refused_with_what_can(portrait: PortraitBackend) -> None:
    picture = Picture("image/svg+xml", (PORTRAITS / "iris.svg").read_bytes())
    with pytest.raises(InvalidInput, match="neutral, happy, sad, angry, surprised, afraid, thoughtful"):
        next(portrait.film(shot(picture, silence(), prompt="[emotion=hungry] Hm"), threading.Event()))
