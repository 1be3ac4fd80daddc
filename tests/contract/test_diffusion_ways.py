"""Few steps for SVD, and IP-Adapter for AnimateDiff: tiny weights of random numbers, through the real loading code."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatacter.chassis.errors import InvalidInput, Misconfigured, TooLarge, Unsupported
from chatacter.contracts.video import VideoGenerationRequest
from tests import diffusion_material as tiny
from tests.diffusion_case import PHOTO, Case, built, psnr
from tests.film_material import data_url, watched
from visualizr.backend import Clip, Film, Picture, Progress
from visualizr.backends.diffusion import animatediff, svd
from visualizr.backends.diffusion.consistency import ConsistencySteps
from visualizr.ordered import check, filled
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.contract

OTHER = tiny.photo(seed=9)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.tiny_svd(folder / "svd")
    tiny.tiny_few_steps(folder / "few")
    tiny.tiny_text_to_image(folder / "sd15")
    tiny.tiny_motion_adapter(folder / "motion")
    tiny.tiny_sparse_control(folder / "sparse")
    tiny.tiny_ip_adapter(folder / "ip")
    return folder


@pytest.fixture(scope="module")
def quick(weights: Path) -> Iterator[Case]:
    backend = built(weights, "svd", visualizr_few_steps=str(weights / "few"), visualizr_acceleration="max")
    yield Case("svd", backend)
    backend.close()


@pytest.fixture(scope="module")
def alike(weights: Path) -> Iterator[Case]:
    adapter = str(weights / "ip/ip-adapter.safetensors")
    backend = built(weights, "animatediff", visualizr_ip_adapter=adapter, visualizr_sparse_control=None)
    yield Case("animatediff", backend)
    backend.close()


class TestFewSteps:
    """`quality=draft` by a UNet distilled for few steps."""

    def draft(self, case: Case, **more: Any) -> Film:
        return case.film(case.shot(quality="draft", **{"steps": 4, "guidance": 1.0, **more}))

    def test_a_draft_takes_them_and_others_do_not(self, quick: Case, weights: Path) -> None:
        asked = VideoGenerationRequest(model="svd", image_reference=data_url(PHOTO.media_type, PHOTO.data))
        preset = filled(asked.model_copy(update={"quality": "draft"}), quick.backend.capabilities, VisualizrSettings())
        assert (preset.steps, preset.guidance) == (4, 1.0)
        assert filled(asked, quick.backend.capabilities, VisualizrSettings()).steps == 25
        draft, standard = self.draft(quick), quick.film(quick.shot(steps=4, guidance=1.0))
        told = [(film.metadata["few_steps"], film.metadata["scheduler"]) for film in (draft, standard)]
        assert told == [(True, "ConsistencySteps"), (False, "EulerDiscreteScheduler")]
        assert (draft.metadata["num_inference_steps"], draft.metadata["blocks_skipped"]) == (4, 0)
        assert not np.array_equal(watched(draft).frames, watched(standard).frames)

    def test_its_unet_has_no_cache_and_that_is_told(self, quick: Case) -> None:
        told = self.draft(quick, steps=16).metadata
        assert (told["cache_interval"], told["blocks_run"], told["blocks_skipped"]) == (1, 0, 0)

    def test_the_same_seed_gives_the_same_frames(self, quick: Case) -> None:
        first, again, other = (watched(self.draft(quick, seed=seed)).frames for seed in (7, 7, 8))
        assert np.array_equal(first, again)
        assert not np.array_equal(first, other)

    def test_cancelling_stops_within_one_step(self, quick: Case) -> None:
        cancelled, steps = threading.Event(), []
        for piece in quick.backend.film(quick.shot(quality="draft", steps=40), cancelled):
            assert isinstance(piece, Progress)
            steps += [piece.step] if piece.step else []
            if piece.step == 2:
                cancelled.set()
        assert steps in ([1, 2], [1, 2, 3])

    def test_a_text_is_drawn_in_as_many_steps_as_its_model_needs(self, quick: Case) -> None:
        film = self.draft(quick, prompt="a red cat")
        assert (film.metadata["text_to_image_steps"], film.metadata["num_inference_steps"]) == (12, 4)

    def test_more_steps_than_it_knows_are_refused(self, quick: Case) -> None:
        with pytest.raises(TooLarge, match="at most 40"):
            self.draft(quick, steps=41)

    def test_without_it_a_draft_takes_the_steps_of_a_draft(self, weights: Path) -> None:
        assert svd.create(VisualizrSettings()).capabilities.presets["draft"].steps == 12

    def test_one_file_is_the_same(self, quick: Case, weights: Path) -> None:
        file = next((weights / "few").glob("*.safetensors"))
        backend = built(weights, "svd", visualizr_few_steps=str(file), visualizr_text_to_image=None)
        assert np.array_equal(watched(self.draft(Case("svd", backend))).frames, watched(self.draft(quick)).frames)
        backend.close()

    @pytest.mark.parametrize("what", ["nowhere", "nowhere.safetensors", "ip/ip-adapter.safetensors"])
    def test_what_is_none_is_refused(self, weights: Path, what: str) -> None:
        with pytest.raises(Misconfigured, match="VISUALIZR_FEW_STEPS"):
            built(weights, "svd", visualizr_few_steps=str(weights / what), visualizr_text_to_image=None)


def test_steps_begin_at_all_noise_and_end_at_none() -> None:
    import torch

    steps = ConsistencySteps()
    steps.generator = torch.Generator().manual_seed(0)
    steps.set_timesteps(4)
    assert steps._sigmas[0] == pytest.approx(700.0)
    assert steps._sigmas[-1] == 0.0
    assert [round(float(each), 3) for each in steps.timesteps] == [1.638, 1.214, 0.654, -0.175]
    finished = torch.randn(1, 2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sample = finished + torch.randn(finished.shape) * steps._sigmas[0]
    for time in steps.timesteps:
        sigma = steps._sigmas[steps._at]
        seen = steps.scale_model_input(sample, time)
        assert 0.5 < float(seen.std()) < 1.5
        # What a UNet says that knows the finished latents: v-prediction with data of 1.
        right = (sample / (sigma**2 + 1) - finished) * (sigma**2 + 1) ** 0.5 / sigma
        sample = steps.step(right, time, sample).prev_sample
    assert torch.allclose(sample, finished, atol=1e-2)


@pytest.mark.parametrize("count", [4, 7, 20, 21, 30, 39, 40])
def test_more_steps_end_with_less_noise(count: int) -> None:
    fewer, more = ConsistencySteps(), ConsistencySteps()
    fewer.set_timesteps(count - 1)
    more.set_timesteps(count)
    assert more._sigmas == sorted(more._sigmas, reverse=True)
    assert more._sigmas[-2] <= fewer._sigmas[-2]


class TestLikeness:
    """Images for AnimateDiff by IP-Adapter."""

    def test_what_is_seen_depends_on_the_image(self, alike: Case) -> None:
        assert alike.backend.capabilities.image == "optional"
        first, again, other = (alike.film(alike.shot(image=image)) for image in (PHOTO, PHOTO, OTHER))
        assert (first.metadata["from"], first.metadata["image_by"]) == ("image", ["ip_adapter"])
        frames, same, others = (watched(film).frames for film in (first, again, other))
        assert np.array_equal(frames, same)
        assert not np.array_equal(frames, others)

    def test_a_text_alone_is_filmed_as_without_it(self, alike: Case, weights: Path) -> None:
        plain = built(weights, "animatediff", visualizr_sparse_control=None)
        alike.film(alike.shot(image=PHOTO))
        alone, without = alike.film(alike.shot()), Case("animatediff", plain).film(alike.shot())
        assert psnr(watched(alone).frames, watched(without).frames) > 50
        assert "image_by" not in alone.metadata
        plain.close()

    def test_a_weight_of_nothing_is_no_image(self, alike: Case, weights: Path) -> None:
        adapter = f"{weights / 'ip/ip-adapter.safetensors'}=0"
        backend = built(weights, "animatediff", visualizr_ip_adapter=adapter, visualizr_sparse_control=None)
        weightless = Case("animatediff", backend)
        assert np.array_equal(weightless.frames(alike.shot(image=PHOTO)), weightless.frames(alike.shot()))
        backend.close()

    def test_a_film_is_made_from_another_one_and_an_image(self, alike: Case) -> None:
        source = alike.film(alike.shot())
        clip = Clip(watched(source).frames[..., ::-1], 8.0, Picture("video/webm", source.data))
        plain, both = (alike.film(alike.shot(clip=clip, frames=None, image=image)) for image in (None, PHOTO))
        assert (both.metadata["from"], both.metadata["image_by"]) == ("video", ["ip_adapter"])
        assert not np.array_equal(watched(plain).frames, watched(both).frames)

    def test_beside_sparse_control_both_see_the_image(self, weights: Path) -> None:
        backend = built(weights, "animatediff", visualizr_ip_adapter=str(weights / "ip/ip-adapter.safetensors"))
        case = Case("animatediff", backend)
        both = case.film(case.shot(image=PHOTO))
        assert both.metadata["image_by"] == ["sparse_control", "ip_adapter"]
        assert len(case.frames(case.shot())) == 4
        backend.close()

    def test_with_sparse_control_alone_it_is_one_or_the_other(self, weights: Path) -> None:
        backend = built(weights, "animatediff")
        case = Case("animatediff", backend)
        clip = Clip(np.zeros((4, 64, 64, 3), np.uint8), 8.0, Picture("video/webm", b""))
        with pytest.raises(InvalidInput, match="VISUALIZR_IP_ADAPTER"):
            case.film(case.shot(clip=clip, image=PHOTO))
        backend.close()

    def test_without_any_an_image_is_refused_with_what_makes_it_possible(self) -> None:
        image = data_url(PHOTO.media_type, PHOTO.data)
        asked = VideoGenerationRequest(model="animatediff", prompt="a cat", image_reference=image)
        with pytest.raises(Unsupported, match=r"VISUALIZR_SPARSE_CONTROL.*VISUALIZR_IP_ADAPTER"):
            check(asked, animatediff.create(VisualizrSettings()).capabilities)

    def test_its_encoder_is_missing(self, weights: Path, tmp_path: Path) -> None:
        alone = tmp_path / "ip-adapter.safetensors"
        alone.write_bytes((weights / "ip/ip-adapter.safetensors").read_bytes())
        with pytest.raises(Misconfigured, match="image_encoder"):
            built(weights, "animatediff", visualizr_ip_adapter=str(alone))

    @pytest.mark.parametrize("what", ["/nowhere.safetensors", "one/two", "/nowhere.safetensors=much"])
    def test_what_is_none_is_refused(self, weights: Path, what: str) -> None:
        with pytest.raises(Misconfigured, match=r"VISUALIZR_IP_ADAPTER.*ip-adapter_sd15"):
            built(weights, "animatediff", visualizr_ip_adapter=what)

    def test_weights_of_something_else(self, weights: Path) -> None:
        folder = weights / "few"
        tiny.eye().save_pretrained(folder / "image_encoder")
        file = next(folder.glob("*.safetensors"))
        with pytest.raises(Misconfigured, match="fits the pipeline"):
            built(weights, "animatediff", visualizr_ip_adapter=str(file))


def test_a_lora_changes_frames_as_much_as_its_weight(alike: Case, weights: Path, tmp_path: Path) -> None:
    lora, plain = tiny.tiny_lora(tmp_path / "lora"), alike.frames(alike.shot())
    found = {}
    for weight in ("", "=0.2", "=0"):
        backend = built(weights, "animatediff", visualizr_loras=f"{lora}{weight}", visualizr_sparse_control=None)
        film = Case("animatediff", backend).film(alike.shot())
        assert film.metadata["loras"] == [f"lora{weight}"]  # its name, not where it lies
        found[weight] = psnr(watched(film).frames, plain)
        backend.close()
    assert found[""] < found["=0.2"] < found["=0"]
    assert found["=0"] > 50
