"""What holds for every video backend: the fake, a drawn portrait, a photo, another Visualizr, OpenAI's videos API."""

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from chatacter.chassis.errors import InvalidInput, Misconfigured, Unsupported
from chatacter.chassis.provenance import DIGITAL_SOURCE_TYPE, XMP
from chatacter.contracts.speech import Phoneme
from chatacter.contracts.video import VideoGenerationRequest
from chatacter.serving.work import streamed
from tests.film_material import PHOTO, layered, shot, sound_url, svg_url, tone, watched
from tests.served import served
from tests.videos_server import VideosServer
from visualizr.app import application
from visualizr.backend import Film, Picture, Progress, Shot, VideoBackend
from visualizr.backends.fake import FakeBackend
from visualizr.backends.portrait.backend import PortraitBackend
from visualizr.backends.portrait.face import LEFT_EYE, RIGHT_EYE
from visualizr.backends.remote import RemoteVideo
from visualizr.backends.remote_videos import RemoteVideos
from visualizr.ordered import check
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.contract

DRAWING = Picture("image/svg+xml", layered())
PHOTOGRAPH = Picture("image/jpeg", PHOTO.read_bytes())


@dataclass
class Case:
    """A loaded backend, and a picture that it films."""

    backend: VideoBackend
    picture: Picture
    prompt: str = ""

    def shot(self, seconds: float = 0.6, **more: object) -> Shot:
        return shot(self.picture, tone(seconds), prompt=self.prompt, **more)

    async def pieces(self, wanted: Shot) -> list[Progress | Film]:
        async with aclosing(streamed(partial(self.backend.film, wanted))) as found:
            return [piece async for piece in found]

    async def film(self, wanted: Shot) -> Film:
        film = (await self.pieces(wanted))[-1]
        assert isinstance(film, Film)
        return film


@pytest.fixture(scope="module")
def portrait(models_home: Path) -> Iterator[PortraitBackend]:
    backend = PortraitBackend(VisualizrSettings(chatacter_home=models_home.parent))
    backend.load()
    yield backend
    backend.close()


@pytest.fixture
def other_visualizr() -> FastAPI:
    """Another Visualizr, for the remote backend to ask."""
    return application(VisualizrSettings(visualizr_model="fake", enable_metrics=False), FakeBackend())


@pytest.fixture(params=["fake", "layered", "photo", "remote", "remote-videos"])
async def case(
    request: pytest.FixtureRequest, portrait: PortraitBackend, other_visualizr: FastAPI
) -> AsyncIterator[Case]:
    if request.param == "fake":
        backend = FakeBackend()
        backend.load()
        yield Case(backend, DRAWING)
    elif request.param == "remote":
        async with served(other_visualizr) as url:
            settings = VisualizrSettings(
                visualizr_model="remote", visualizr_remote_url=f"{url}/v1", visualizr_remote_model="fake"
            )
            remote = RemoteVideo(settings)
            await asyncio.to_thread(remote.load)
            yield Case(remote, DRAWING)
            await asyncio.to_thread(remote.close)
    elif request.param == "remote-videos":
        async with served(VideosServer(FakeBackend()).app()) as url:
            there = VisualizrSettings(visualizr_remote_url=f"{url}/v1", visualizr_remote_fields="fps,seed")
            ordered = RemoteVideos(there)
            await asyncio.to_thread(ordered.load)
            yield Case(ordered, PHOTOGRAPH, "A cat.")
            await asyncio.to_thread(ordered.close)
    else:
        picture = PHOTOGRAPH if request.param == "photo" else DRAWING
        yield Case(portrait, picture)


async def test_progress_grows_and_the_film_comes_last(case: Case) -> None:
    pieces = await case.pieces(case.shot())
    progress = [piece.done for piece in pieces[:-1] if isinstance(piece, Progress)]
    assert len(progress) == len(pieces) - 1 >= 1
    assert progress == sorted(progress)
    assert 0 <= progress[0] <= progress[-1] < 1
    assert isinstance(pieces[-1], Film)


@pytest.mark.parametrize(
    ("output_format", "codecs"), [("webm", ("vp9", "opus")), ("mp4", ("vp9", "aac"))], ids=["webm", "mp4"]
)
async def test_the_film_is_as_long_as_the_sound(case: Case, output_format: str, codecs: tuple[str, str]) -> None:
    film = await case.film(case.shot(1.3, output_format=output_format))
    seen = await asyncio.to_thread(watched, film)
    assert film.media_type == f"video/{output_format}"
    assert film.seconds == pytest.approx(1.3, abs=0.1)
    assert seen.shown == pytest.approx(1.3, abs=0.1)
    assert seen.heard == pytest.approx(1.3, abs=0.1)
    assert (seen.codecs[0].removeprefix("lib"), seen.codecs[1].removeprefix("lib")) == codecs


async def test_size_and_rate_are_those_asked_for(case: Case) -> None:
    film = await case.film(case.shot(width=160, height=96, fps=10))
    seen = await asyncio.to_thread(watched, film)
    assert (film.width, film.height, film.fps) == (160, 96, 10)
    assert seen.frames.shape == (6, 96, 160, 3)
    assert np.diff(seen.times) == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize("output_format", ["webm", "mp4"])
async def test_the_film_is_marked_as_synthetic(case: Case, output_format: str) -> None:
    seen = await asyncio.to_thread(watched, await case.film(case.shot(output_format=output_format)))
    assert seen.tags["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert DIGITAL_SOURCE_TYPE in seen.tags["comment"]


async def test_small_forms_come_along_and_are_marked(case: Case) -> None:
    film = await case.film(case.shot(1.0, width=128, height=96))
    small = {each.variant: each for each in film.renditions}
    kinds = {variant: each.media_type for variant, each in small.items()}
    assert kinds == {"thumbnail": "image/webp", "spritesheet": "image/jpeg", "preview": "image/webp"}
    assert all(DIGITAL_SOURCE_TYPE.encode() in each.data for each in small.values())
    still = cv2.imdecode(np.frombuffer(small["thumbnail"].data, np.uint8), cv2.IMREAD_COLOR)
    grid = cv2.imdecode(np.frombuffer(small["spritesheet"].data, np.uint8), cv2.IMREAD_COLOR)
    assert still.shape == (96, 128, 3)
    assert grid.shape == (5 * 96, 5 * 128, 3)
    with Image.open(io.BytesIO(small["preview"].data)) as preview:
        assert (preview.size, preview.n_frames, preview.info["loop"]) == ((128, 96), 24, 0)
        assert DIGITAL_SOURCE_TYPE.encode() in preview.info["xmp"]


async def test_an_mp4_carries_xmp_and_still_plays(case: Case) -> None:
    film = await case.film(case.shot(0.3, output_format="mp4"))
    assert film.data.endswith(XMP)
    assert len((await asyncio.to_thread(watched, film)).frames) == 8


async def test_the_same_seed_gives_the_same_film(case: Case) -> None:
    first, again = [await asyncio.to_thread(watched, await case.film(case.shot())) for _ in range(2)]
    assert np.array_equal(first.frames, again.frames)


async def test_cancelling_ends_it_soon_and_without_a_film(case: Case) -> None:
    cancelled = threading.Event()

    def worked() -> tuple[list[Progress | Film], float]:
        found: list[Progress | Film] = []
        try:
            for piece in case.backend.film(case.shot(60.0), cancelled):
                found.append(piece)
                cancelled.set()
                began = time.monotonic()
        except Exception:  # noqa: BLE001 - it may end either way
            pass
        return found, time.monotonic() - began

    found, took = await asyncio.to_thread(worked)
    assert len(found) == 1
    assert isinstance(found[0], Progress)
    assert took < 1.5


async def test_closing_the_iterator_ends_it(case: Case) -> None:
    def worked() -> Progress | Film:
        pieces = case.backend.film(case.shot(60.0), threading.Event())
        first = next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        return first

    assert isinstance(await asyncio.to_thread(worked), Progress)


async def test_a_sound_of_one_sample(case: Case) -> None:
    film = await case.film(case.shot(1 / 48_000))
    seen = await asyncio.to_thread(watched, film)
    assert len(seen.frames) == 1


async def test_capabilities_do_not_change(case: Case) -> None:
    assert case.backend.capabilities == case.backend.capabilities
    assert "webm" in case.backend.capabilities.formats


async def test_a_control_that_means_nothing_is_refused_with_those_that_do() -> None:
    capable = PortraitBackend(VisualizrSettings()).capabilities
    asked = VideoGenerationRequest(
        model="portrait", image_reference=svg_url(), audio_reference=sound_url(0.1), num_inference_steps=4
    )
    with pytest.raises(Unsupported, match="motion_strength") as refused:
        check(asked, capable)
    assert refused.value.param == "num_inference_steps"


class TestPortrait:
    """What the portrait alone promises."""

    async def test_motion_strength_moves_the_head_more_or_not_at_all(self, portrait: PortraitBackend) -> None:
        case = Case(portrait, DRAWING)
        moved = []
        for motion in (0.0, None, 1.0):
            seen = await asyncio.to_thread(watched, await case.film(case.shot(1.2, motion=motion)))
            above_the_mouth = seen.frames[:, :70].astype(int)
            moved.append(np.abs(np.diff(above_the_mouth, axis=0)).mean())
        assert moved[0] < moved[1] < moved[2]

    async def test_a_film_tells_what_it_was_made_with(self, portrait: PortraitBackend) -> None:
        film = await Case(portrait, DRAWING).film(Case(portrait, DRAWING).shot(0.2, motion=0.3))
        assert (film.metadata["motion_strength"], film.metadata["lips_follow"]) == (0.3, "sound")

    async def test_a_picture_without_a_face(self, portrait: PortraitBackend) -> None:
        blank = Picture("image/png", bytes(cv2.imencode(".png", np.full((300, 300, 3), 128, np.uint8))[1]))
        with pytest.raises(InvalidInput, match="frontal portrait"):
            await Case(portrait, blank).pieces(Case(portrait, blank).shot())

    async def test_a_picture_that_is_damaged(self, portrait: PortraitBackend) -> None:
        damaged = Picture("image/jpeg", PHOTO.read_bytes()[:900])
        with pytest.raises(InvalidInput):
            await Case(portrait, damaged).pieces(Case(portrait, damaged).shot())

    async def test_of_several_faces_the_largest_speaks(self, portrait: PortraitBackend) -> None:
        face = cv2.imread(str(PHOTO))
        group = np.full((500, 800, 3), 200, np.uint8)
        group[50:450, 380:780] = face
        group[100:260, 100:260] = cv2.resize(face, (160, 160))
        picture = Picture("image/png", bytes(cv2.imencode(".png", group)[1]))
        points = portrait._faces.largest(group)
        assert points[:, 0].min() > 380
        assert isinstance((await Case(portrait, picture).pieces(Case(portrait, picture).shot()))[-1], Film)

    async def test_a_face_that_is_too_small(self, portrait: PortraitBackend) -> None:
        small = np.full((300, 300, 3), 200, np.uint8)
        small[100:200, 100:200] = cv2.resize(cv2.imread(str(PHOTO)), (100, 100))
        picture = Picture("image/png", bytes(cv2.imencode(".png", small)[1]))
        with pytest.raises(InvalidInput, match=r"too small|no face"):
            await Case(portrait, picture).pieces(Case(portrait, picture).shot())

    @pytest.mark.parametrize("quarters", [0, 1, 2, 3])
    async def test_a_photo_on_its_side_or_head_is_set_upright(self, portrait: PortraitBackend, quarters: int) -> None:
        face = cv2.imread(str(PHOTO))
        photo, points = portrait._faces.upright(np.ascontiguousarray(np.rot90(face, quarters)))
        assert np.array_equal(photo, face)
        assert np.abs(points - portrait._faces.largest(face)).max() < 8

    async def test_a_face_that_leans_speaks_where_its_mouth_is(self, portrait: PortraitBackend) -> None:
        face = cv2.imread(str(PHOTO))
        leaning = cv2.warpAffine(face, cv2.getRotationMatrix2D((200, 200), 40, 1.0), (400, 400))
        _, points = portrait._faces.upright(leaning)
        across = points[LEFT_EYE] - points[RIGHT_EYE]
        assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(-40, abs=8)

    @pytest.mark.parametrize("picture", [DRAWING, PHOTOGRAPH], ids=["layered", "photo"])
    async def test_timings_move_the_mouth(self, portrait: PortraitBackend, picture: Picture) -> None:
        case = Case(portrait, picture)
        vowel = (Phoneme(symbol="ɑ", start=0.4, end=0.8),)
        timed = await asyncio.to_thread(watched, await case.film(case.shot(1.2, phonemes=vowel, width=256, height=256)))
        first, during = timed.frames[2].astype(int), timed.frames[15].astype(int)
        lower = slice(130, 256)
        assert (np.abs(first - during)[lower].max(axis=2) > 40).sum() > 60

    async def test_a_prepared_portrait_is_kept_and_the_oldest_goes(self, models_home: Path) -> None:
        backend = PortraitBackend(VisualizrSettings(chatacter_home=models_home.parent, visualizr_portrait_cache=2))
        await asyncio.to_thread(backend.load)
        case = Case(backend, DRAWING)
        for width in (64, 96, 128, 96):
            await case.film(case.shot(0.1, width=width, height=64))
        assert [key[1] for key in backend._stages] == [128, 96]
        await asyncio.to_thread(backend.close)
        assert not backend._stages

    async def test_without_its_models_it_says_how_to_install_them(self, tmp_path: Path) -> None:
        backend = PortraitBackend(VisualizrSettings(chatacter_home=tmp_path))
        with pytest.raises(Misconfigured, match="models install mediapipe-face"):
            await asyncio.to_thread(backend.load)
