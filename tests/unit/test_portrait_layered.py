"""A drawn portrait while it speaks: the mouth opens where the rig says, the lids close, nothing tears."""

import threading
from dataclasses import fields, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from chatacter.chassis.errors import Cancelled, InvalidInput
from tests.film_material import PORTRAITS, layered
from visualizr.backends.portrait.layered import LayeredStage, rasterised
from visualizr.backends.portrait.motion import Motion
from visualizr.backends.portrait.mouth import MouthPainter, contours
from visualizr.backends.portrait.rig import MouthRig
from visualizr.backends.portrait.stage import Performance
from visualizr.backends.portrait.svg import read_artwork
from visualizr.backends.portrait.visemes import MouthTrack

pytestmark = pytest.mark.unit


def still(count: int) -> Motion:
    return Motion(**{field.name: np.zeros(count) for field in fields(Motion)})


def performed(aperture: float, width: float = 0.0, **moving: float) -> Performance:
    motion = replace(still(1), **{name: np.array([value]) for name, value in moving.items()})
    return Performance(MouthTrack(np.array([aperture]), np.array([width])), motion)


def stage(name: str = "ada", width: int = 256, height: int = 256) -> LayeredStage:
    artwork = read_artwork((PORTRAITS / f"{name}.svg").read_bytes())
    return LayeredStage(artwork, rasterised(artwork, width, height, threading.Event()))


@pytest.fixture(scope="module")
def ada() -> LayeredStage:
    return stage()


def changed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    difference = np.abs(first[..., :3].astype(int) - second[..., :3].astype(int)).max(axis=2)
    return difference > 24


def rig() -> MouthRig:
    return read_artwork((PORTRAITS / "ada.svg").read_bytes()).rig.mouth


@pytest.mark.parametrize("aperture", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("width", [-1.0, 0.0, 1.0])
def test_lips_never_cross(aperture: float, width: float) -> None:
    curves = contours(rig(), aperture, width)
    assert (curves.upper_outer <= curves.upper_inner + 1e-9).all()
    assert (curves.upper_inner <= curves.lower_inner + 1e-9).all()
    assert (curves.lower_inner <= curves.lower_outer + 1e-9).all()


def test_the_opening_is_as_tall_as_the_rig_says() -> None:
    curves = contours(rig(), 1.0, 0.0)
    assert (curves.lower_inner - curves.upper_inner).max() == pytest.approx(rig().open, rel=0.02)


def test_rounded_lips_are_narrower() -> None:
    rounded, spread = (np.ptp(contours(rig(), 0.4, width).x) for width in (-1, 1))
    assert rounded < 0.7 * spread


def test_the_patch_holds_the_widest_mouth() -> None:
    for aperture, width in ((1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (1.0, -1.0)):
        alpha = MouthPainter(rig(), 0.5).paint(aperture, width, (0.9, 0.9))[..., 3]
        assert alpha.max() == 255
        assert not alpha[[0, -1], :].any()
        assert not alpha[:, [0, -1]].any()


def test_opening_changes_the_lower_face_only(ada: LayeredStage) -> None:
    moved = changed(ada.frame(performed(0.0), 0), ada.frame(performed(0.8), 0))
    rows, columns = np.nonzero(moved)
    assert len(rows) > 300
    assert rows.min() > 256 * 0.55
    assert abs(float(np.median(columns)) - 128) < 4


def test_a_blink_changes_eyes_and_brows_only(ada: LayeredStage) -> None:
    moved = changed(ada.frame(performed(0.0), 0), ada.frame(performed(0.0, blink=1.0), 0))
    rows, _ = np.nonzero(moved)
    assert len(rows) > 150
    assert 256 * 0.36 < rows.min() <= rows.max() < 256 * 0.50


def test_lids_come_down_step_by_step(ada: LayeredStage) -> None:
    open_eyes = ada.frame(performed(0.0), 0)
    covered = [int(changed(open_eyes, ada.frame(performed(0.0, blink=b), 0)).sum()) for b in (0.25, 0.5, 0.75, 1.0)]
    assert covered == sorted(covered)
    assert covered[0] < 0.7 * covered[-1]


def test_a_glance_moves_nothing_but_the_irises(ada: LayeredStage) -> None:
    moved = changed(ada.frame(performed(0.0), 0), ada.frame(performed(0.0, gaze_x=0.006), 0))
    rows, _ = np.nonzero(moved)
    assert 0 < len(rows) < 400
    assert 256 * 0.38 < rows.min() <= rows.max() < 256 * 0.50


def test_irises_show_nowhere_but_in_the_eyes() -> None:
    artwork = read_artwork(layered())
    drawn = LayeredStage(artwork, rasterised(artwork, 200, 200, threading.Event()))
    moved = changed(drawn.frame(performed(0.0), 0), drawn.frame(performed(0.0, gaze_x=0.07), 0))
    rows, columns = np.nonzero(moved)
    assert len(rows) > 20
    assert all(min(abs(column - 80), abs(column - 120)) <= 11 for column in columns)


def test_a_moving_head_leaves_the_background(ada: LayeredStage) -> None:
    moved = changed(ada.frame(performed(0.0), 0), ada.frame(performed(0.0, tilt=0.03, head_x=0.01, turn_x=0.005), 0))
    assert moved.any()
    assert not moved[:, :30].any()
    assert not moved[:20].any()


def test_every_pixel_is_opaque() -> None:
    for width, height in ((128, 128), (160, 90), (90, 160)):
        assert stage("mira", width, height).frame(performed(0.5), 0).shape == (height, width, 4)
        assert stage("mira", width, height).frame(performed(0.5), 0)[..., 3].min() >= 250


def test_other_shapes_show_the_portrait_whole() -> None:
    square, wide = stage("iris", 128, 128), stage("iris", 256, 128)
    middle = wide.frame(performed(0.0), 0)[:, 64:192]
    assert changed(square.frame(performed(0.0), 0), middle).mean() < 0.05


def test_narrow_films_cut_the_sides_off_around_the_mouth() -> None:
    square, narrow = stage("leonardo", 256, 256), stage("leonardo", 144, 256)
    middle = square.frame(performed(0.6), 0)[:, 56:200]
    assert changed(middle, narrow.frame(performed(0.6), 0)).mean() < 0.02


def test_a_frame_is_the_callers_to_keep(ada: LayeredStage) -> None:
    first = ada.frame(performed(0.0), 0)
    before = first.copy()
    ada.frame(performed(1.0, blink=1.0), 0)
    assert np.array_equal(first, before)


def test_drawing_stops_when_it_is_cancelled() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        rasterised(read_artwork(layered()), 64, 64, cancelled)


def test_a_head_that_shows_nothing() -> None:
    svg = layered(**{'<circle cx="100" cy="100" r="60" fill="url(#skin)"/>': ""})
    for shape in ("80", "120"):
        svg = svg.replace(f'cx="{shape}"'.encode(), b'cx="-900"')
    artwork = read_artwork(svg)
    with pytest.raises(InvalidInput):
        LayeredStage(artwork, rasterised(artwork, 64, 64, threading.Event()))
