"""Stable Video Diffusion and AnimateDiff: tiny real pipelines with random weights, loaded as real ones are."""

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chatacter.chassis.errors import InvalidInput, Misconfigured, OutOfMemory
from chatacter.chassis.provenance import DIGITAL_SOURCE_TYPE, XMP
from chatacter.serving.work import streamed
from tests import diffusion_material as tiny
from tests.diffusion_case import MAKERS, PHOTO, Case, built, psnr, settings
from tests.film_material import tone, watched
from visualizr.backend import Clip, Film, Picture, Progress
from visualizr.backends.diffusion import animatediff, svd
from visualizr.backends.diffusion.backend import DiffusionBackend
from visualizr.backends.diffusion.plan import Plan
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.contract

# Before the work began, this was said to be the least.
LEAST_PSNR = 30.0


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of each kind of weights."""
    folder = tmp_path_factory.mktemp("weights")
    tiny.tiny_svd(folder / "svd")
    tiny.tiny_text_to_image(folder / "sd15")
    tiny.tiny_motion_adapter(folder / "motion")
    tiny.tiny_sparse_control(folder / "sparse")
    return folder


@pytest.fixture(scope="module")
def video(weights: Path) -> Iterator[Case]:
    backend = built(weights, "svd")
    yield Case("svd", backend)
    backend.close()


@pytest.fixture(scope="module")
def moving(weights: Path) -> Iterator[Case]:
    backend = built(weights, "animatediff")
    yield Case("animatediff", backend)
    backend.close()


@pytest.fixture(params=["video", "moving"], ids=["svd", "animatediff"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def test_progress_goes_by_steps_and_shows_previews(case: Case) -> None:
    pieces = case.pieces(case.shot(steps=4))
    progress = [piece for piece in pieces[:-1] if isinstance(piece, Progress)]
    done = [piece.done for piece in progress]
    assert done == sorted(done)
    assert 0 == done[0] < done[-1] < 1
    steps = [(piece.step, piece.steps) for piece in progress if piece.step]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    first, last = (piece.preview for piece in progress if piece.step in {1, 4})
    assert first is not None
    assert last is not None
    assert first.data[8:12] == b"WEBP"
    assert first.data != last.data
    for each in (first, last):
        assert DIGITAL_SOURCE_TYPE.encode() in each.data
        with Image.open(io.BytesIO(each.data)) as picture:
            assert max(picture.size) > 64
            assert picture.info["xmp"] == XMP
            assert np.asarray(picture).std() > 0


@pytest.mark.parametrize(("output_format", "codec"), [("webm", "vp9"), ("mp4", "vp9")])
def test_a_film_is_what_was_asked_for_and_marked(case: Case, output_format: str, codec: str) -> None:
    film = case.film(case.shot(frames=3, width=80, height=64, fps=6, output_format=output_format))
    seen = watched(film)
    assert seen.frames.shape == (3, 64, 80, 3)
    assert seen.frames.std() > 5
    assert np.diff(seen.times) == pytest.approx(1 / 6, abs=0.01)
    assert seen.codecs[0].removeprefix("lib") == codec
    assert seen.tags["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert film.seconds == pytest.approx(0.5)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_a_film_of_one_frame(case: Case, guidance: float) -> None:
    assert case.frames(case.shot(frames=1, steps=1, guidance=guidance)).shape == (1, 64, 64, 3)


def test_the_same_seed_gives_the_same_frames_and_another_others(case: Case) -> None:
    first, again, other = (case.frames(case.shot(seed=seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert psnr(first, other) < LEAST_PSNR


def test_a_film_tells_what_it_was_made_with(case: Case) -> None:
    film = case.film(case.shot(seed=5, steps=3, guidance=1.5))
    told = {name: film.metadata[name] for name in ("model", "seed", "num_frames", "num_inference_steps")}
    assert told == {"model": case.name, "seed": 5, "num_frames": 4, "num_inference_steps": 3}
    assert (film.metadata["guidance_scale"], film.metadata["acceleration"]) == (1.5, "safe")
    assert (film.metadata["decode_chunk"], film.metadata["precision"]) == (8, "float32")


@pytest.mark.parametrize("seconds", [0.2, 1.3])
def test_speech_is_heard_in_sync_and_a_long_one_is_filmed_to_its_end(case: Case, seconds: float) -> None:
    film = case.film(case.shot(sound=tone(seconds)))
    seen = watched(film)
    assert seen.heard == pytest.approx(seconds, abs=0.1)
    assert seen.shown == pytest.approx(max(0.5, seconds), abs=0.13)
    assert film.metadata["frames_repeated_for_sound"] == max(0, round(seconds * 8) - 4)


@pytest.mark.parametrize("after", [1, 3])
def test_cancelling_stops_within_one_step(case: Case, after: int) -> None:
    cancelled = threading.Event()
    steps = []
    for piece in case.backend.film(case.shot(steps=100), cancelled):
        assert isinstance(piece, Progress)
        steps += [piece.step] if piece.step else []
        if piece.step == after:
            cancelled.set()
    assert steps[-1] <= after + 1
    assert steps == list(range(1, len(steps) + 1))
    assert isinstance(case.pieces(case.shot(steps=1))[-1], Film)  # and the next film is made


def test_closing_the_iterator_stops_the_work(case: Case) -> None:
    pieces = case.backend.film(case.shot(steps=200), threading.Event())
    next(pieces)
    began = time.monotonic()
    pieces.close()  # type: ignore[attr-defined]
    assert time.monotonic() - began < 3
    assert not any(thread.name == "film" for thread in threading.enumerate())


async def test_films_side_by_side_are_made_one_after_the_other(case: Case) -> None:
    async def filmed(seed: int) -> Film:
        async for piece in streamed(partial(case.backend.film, case.shot(seed=seed))):
            last = piece
        assert isinstance(last, Film)
        return last

    together = await asyncio.gather(filmed(1), filmed(2))
    alone = await asyncio.to_thread(case.film, case.shot(seed=2))
    assert np.array_equal(watched(together[1]).frames, watched(alone).frames)


def test_a_picture_that_is_damaged(case: Case) -> None:
    damaged = Picture("image/png", PHOTO.data[:60])
    with pytest.raises(InvalidInput, match="image_reference"):
        case.pieces(case.shot(image=damaged, prompt="a cat"))


def test_leaving_blocks_out_changes_little_and_is_told(case: Case, weights: Path) -> None:
    quick = Case(case.name, built(weights, case.name, visualizr_acceleration="max"))
    wanted = case.shot(steps=25, guidance=3.0)
    whole, cached = case.film(wanted), quick.film(wanted)
    likeness = psnr(watched(whole).frames, watched(cached).frames)
    run, skipped = cached.metadata["blocks_run"], cached.metadata["blocks_skipped"]
    assert "blocks_skipped" not in whole.metadata
    assert isinstance(run, int)
    assert isinstance(skipped, int)
    assert skipped / (run + skipped) == pytest.approx(16 / 25)
    assert LEAST_PSNR <= likeness < float("inf"), f"{likeness:.1f} dB"
    assert quick.backend._cache is not None
    assert not quick.backend._cache._kept  # it takes memory only while a film is made
    few = quick.film(case.shot(steps=4))
    assert (few.metadata["blocks_skipped"], few.metadata["cache_interval"]) == (0, 1)
    assert np.array_equal(watched(few).frames, case.frames(case.shot(steps=4)))
    quick.backend.close()


def test_out_of_memory_is_tried_once_more_by_a_cheaper_plan(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    full = FullDevice(case.backend, times=1)
    monkeypatch.setattr(case.backend, "_model", full)
    film = case.film(case.shot())
    assert (film.metadata["retried_out_of_memory"], film.metadata["decode_chunk"]) == (True, 1)
    full.times = 2  # the plan of before is in force again, and the cheaper one finds no room either
    with pytest.raises(OutOfMemory, match="num_frames"):
        case.pieces(case.shot())


def test_weights_are_ordered_for_a_gpu(case: Case) -> None:
    plain = case.frames(case.shot())
    case.backend._model.settle(Plan(device="cpu", channels_last=True))
    ordered = [weight.is_contiguous() for weight in case.backend._model.vae.parameters() if weight.dim() == 4]
    assert not all(ordered)
    assert psnr(plain, case.frames(case.shot())) > LEAST_PSNR


def test_the_decoder_is_put_back_to_its_precision(case: Case) -> None:
    plain = case.frames(case.shot())
    case.backend._model.vae.double()  # a pipeline that raised its precision ran out of memory before it lowered it
    assert np.array_equal(plain, case.frames(case.shot()))
    assert str(case.backend._model.vae.dtype) == "torch.float32"


@pytest.mark.parametrize("name", ["svd", "animatediff"])
def test_films_side_by_side_are_refused_at_start(weights: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match="VISUALIZR_CONCURRENCY"):
        built(weights, name, visualizr_concurrency=2)


class FullDevice:
    """A model whose device has no room, so many times."""

    def __init__(self, backend: DiffusionBackend, times: int) -> None:
        self._model = backend._model
        self.times = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def denoise(self, *given: Any) -> Any:
        import torch

        if self.times:
            self.times -= 1
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return self._model.denoise(*given)


class TestStableVideo:
    """What SVD alone promises."""

    def test_it_has_as_many_frames_by_itself_as_its_weights_say(self, video: Case) -> None:
        assert video.film(video.shot(frames=None)).metadata["num_frames"] == 4

    def test_a_text_becomes_an_image_and_then_a_film(self, video: Case) -> None:
        pieces = video.pieces(video.shot(prompt="a red cat"))
        film = pieces[-1]
        assert isinstance(film, Film)
        assert film.metadata["text_to_image"] == "StableDiffusionPipeline"
        assert [piece.step for piece in pieces if isinstance(piece, Progress) and piece.step] == [1, 2, 3, 1, 2, 3]
        done = [piece.done for piece in pieces if isinstance(piece, Progress)]
        assert done == sorted(done)
        other = video.frames(video.shot(prompt="nothing like it"))
        assert not np.array_equal(watched(film).frames, other)

    def test_motion_strength_is_told_to_the_model(self, video: Case) -> None:
        films = [video.film(video.shot(motion=motion)) for motion in (None, 1.0)]
        assert [film.metadata["motion_bucket_id"] for film in films] == [127, 254]
        assert films[0].data != films[1].data

    def test_without_a_text_to_image_model_it_needs_an_image(self, weights: Path) -> None:
        backend = svd.create(settings(weights, "svd", visualizr_text_to_image=None))
        assert backend.capabilities.image == "required"

    def test_its_licence_has_to_be_accepted(self) -> None:
        licence = svd.create(VisualizrSettings(visualizr_model="svd")).capabilities.licence
        assert licence is not None
        assert licence.restriction is not None
        # What a chart's acceptLicense accepts.
        chart = Path(__file__).parents[2] / "charts/chatacter/charts/inference/templates/_models.tpl"
        assert f'"{licence.id}"' in chart.read_text()


class TestAnimateDiff:
    """What AnimateDiff alone promises."""

    def test_it_films_an_image_with_sparse_control(self, moving: Case) -> None:
        from_text, from_image = moving.film(moving.shot()), moving.film(moving.shot(image=PHOTO))
        assert (from_text.metadata["from"], from_image.metadata["from"]) == ("text", "image")
        assert not np.array_equal(watched(from_text).frames, watched(from_image).frames)

    def test_it_makes_a_film_from_another_one(self, moving: Case) -> None:
        source = moving.film(moving.shot())
        clip = Clip(watched(source).frames[..., ::-1], 8.0, Picture("video/webm", source.data))
        films = [moving.film(moving.shot(clip=clip, frames=None, steps=4, strength=part)) for part in (0.25, 1.0)]
        assert [film.metadata["num_inference_steps"] for film in films] == [1, 4]
        assert [film.metadata["num_frames"] for film in films] == [4, 4]
        assert films[0].metadata["video_reference_fps"] == 8.0
        least = moving.film(moving.shot(clip=clip, frames=None, steps=49, strength=0.001))
        assert least.metadata["num_inference_steps"] == 1
        near, far = (psnr(watched(source).frames, watched(film).frames) for film in films)
        assert near > far

    def test_the_negative_prompt_matters(self, moving: Case) -> None:
        plain, without = (moving.frames(moving.shot(negative_prompt=text)) for text in ("", "dogs"))
        assert not np.array_equal(plain, without)

    def test_a_pipeline_may_bring_its_adapter(self, tmp_path: Path) -> None:
        tiny.tiny_animatediff(tmp_path / "whole")
        backend = animatediff.create(
            VisualizrSettings(visualizr_model="animatediff", visualizr_weights=str(tmp_path / "whole"))
        )
        backend.load()
        case = Case("animatediff", backend)
        assert len(case.frames(case.shot())) == 4
        assert backend.capabilities.image == "unused"
        backend.close()

    @pytest.mark.parametrize(
        ("scheduler", "kind", "steps", "guidance"),
        [("lcm", "LCMScheduler", 6, 2.0), ("lightning", "EulerDiscreteScheduler", 4, 1.0)],
    )
    def test_schedulers_of_few_steps(
        self, weights: Path, scheduler: str, kind: str, steps: int, guidance: float
    ) -> None:
        backend = built(weights, "animatediff", visualizr_scheduler=scheduler)
        preset = backend.capabilities.presets["standard"]
        assert (preset.steps, preset.guidance) == (steps, guidance)
        case = Case("animatediff", backend)
        film = case.film(case.shot(steps=preset.steps, guidance=preset.guidance))
        assert film.metadata["scheduler"] == kind
        assert np.isfinite(watched(film).frames).all()
        backend.close()


class TestLoading:
    """What loading says when it cannot."""

    @pytest.mark.parametrize("name", ["svd", "animatediff"])
    def test_weights_that_are_not_named(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="VISUALIZR_WEIGHTS"):
            MAKERS[name](VisualizrSettings(visualizr_model=name, chatacter_home=tmp_path)).load()

    def test_weights_where_a_cluster_mounts_them(self, weights: Path, tmp_path: Path) -> None:
        (tmp_path / "models").symlink_to(weights / "svd")
        backend = svd.create(VisualizrSettings(visualizr_model="svd", chatacter_home=tmp_path))
        backend.load()
        case = Case("svd", backend)
        assert len(case.frames(case.shot(steps=1))) == 4
        backend.close()

    def test_a_folder_that_is_not_there(self, weights: Path) -> None:
        with pytest.raises(Misconfigured, match="no folder"):
            built(weights, "svd", visualizr_weights="/nowhere/at/all")

    def test_a_folder_of_something_else(self, weights: Path, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="VISUALIZR_WEIGHTS"):
            built(weights, "svd", visualizr_weights=str(tmp_path))

    def test_a_scheduler_that_svd_does_not_know(self, weights: Path) -> None:
        with pytest.raises(Misconfigured, match="VISUALIZR_SCHEDULER"):
            built(weights, "svd", visualizr_scheduler="lcm")

    def test_a_lora_that_is_none(self, weights: Path, tmp_path: Path) -> None:
        with pytest.raises(Misconfigured, match="VISUALIZR_LORAS"):
            built(weights, "animatediff", visualizr_loras=str(tmp_path))
