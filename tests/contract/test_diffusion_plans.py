"""How diffusion models are run: what is decided from settings, device and memory, and that a loaded model obeys.

What is decided for a GPU is decided here without one; nothing ran on it.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chatacter.chassis.errors import Misconfigured
from tests import diffusion_material as tiny
from tests.diffusion_case import Case, built, psnr
from tests.film_material import watched
from visualizr.backends.diffusion.compiling import all_compiled
from visualizr.backends.diffusion.plan import GIB, Plan, attending, planned
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.contract

GPU = "cuda"
PLENTY, LITTLE = 80 * GIB, 8 * GIB


def decided(device: str = GPU, room: int | None = PLENTY, **more: Any) -> Plan:
    return planned(VisualizrSettings(**more), device, free_bytes=room)


@pytest.mark.parametrize("device", ["cpu", GPU])
def test_none_is_diffusers_as_it_comes(device: str) -> None:
    assert decided(device, visualizr_acceleration="none") == Plan(device=device)


@pytest.mark.parametrize(
    ("acceleration", "device", "room", "told"),
    [
        ("safe", "cpu", None, {"precision": "float32", "decode_chunk": 8, "offload": "off", "compiled": False}),
        ("safe", GPU, PLENTY, {"precision": "float16", "decode_chunk": 8, "offload": "off", "channels_last": True}),
        ("safe", GPU, LITTLE, {"precision": "float16", "offload": "model", "vae_slicing": True, "cache_interval": 1}),
        ("max", "cpu", None, {"cache_interval": 3, "compiled": False, "precision": "float32"}),
        ("max", GPU, PLENTY, {"cache_interval": 3, "compiled": True, "offload": "off"}),
        ("max", GPU, LITTLE, {"cache_interval": 3, "compiled": False, "offload": "model"}),
    ],
)
def test_what_is_decided_is_told(acceleration: Any, device: str, room: int | None, told: dict[str, Any]) -> None:
    metadata = decided(device, room, visualizr_acceleration=acceleration).told()
    assert {name: metadata[name] for name in told} == told


def test_each_part_of_a_plan_is_told() -> None:
    assert set(Plan(device="cpu").told()) == set(Plan.__slots__)


def test_when_memory_runs_out_less_of_it_is_needed() -> None:
    roomy, short = decided(), decided(room=LITTLE)
    assert (roomy.cheaper().offload, short.cheaper().offload) == ("model", "model")
    assert decided("cpu", None).cheaper().offload == "off"
    for plan in (roomy, short):
        cheap = plan.cheaper()
        assert (cheap.decode_chunk, cheap.vae_slicing, cheap.vae_tiling) == (1, True, True)
        assert (cheap.precision, cheap.compiled) == (plan.precision, plan.compiled)


@pytest.mark.parametrize("acceleration", ["none", "safe", "max"])
def test_a_precision_and_an_attention_that_are_named_hold(acceleration: Any) -> None:
    plan = decided(visualizr_acceleration=acceleration, visualizr_precision="bfloat16", visualizr_attention="efficient")
    assert (plan.precision, plan.attention) == ("bfloat16", "efficient")


def test_half_precision_is_refused_where_nothing_computes_in_it() -> None:
    with pytest.raises(Misconfigured, match="bfloat16"):
        decided("cpu", None, visualizr_precision="float16")


@pytest.mark.parametrize(("attention", "flash"), [("auto", True), ("math", False), ("flash", True), ("cudnn", False)])
def test_a_kernel_is_chosen_for_a_film_and_no_longer(attention: Any, flash: bool) -> None:
    import torch

    with attending(Plan(device="cpu", attention=attention)):
        assert torch.backends.cuda.flash_sdp_enabled() is flash
        assert torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


@pytest.mark.parametrize(("compiled", "more"), [(True, True), (False, False)])
def test_all_versions_of_a_block_are_compiled_in_the_thread_that_films(compiled: bool, more: bool) -> None:
    from torch._dynamo import config

    seen = []

    def filmed() -> None:
        before = config.recompile_limit
        with all_compiled(Plan(device="cpu", compiled=compiled)):
            seen.append(config.recompile_limit > before)

    thread = threading.Thread(target=filmed)
    thread.start()
    thread.join()
    assert seen == [more]


def test_without_a_compiler_nothing_is_compiled_and_that_is_said(tmp_path: Path) -> None:
    asked = "from visualizr.backends.diffusion.compiling import compiles; print(compiles('cpu'))"
    nowhere = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    environment = {**os.environ, **nowhere, "OMP_NUM_THREADS": "1"}
    said = subprocess.run(
        [sys.executable, "-c", asked], env=environment, capture_output=True, text=True, check=True, timeout=120
    )
    assert said.stdout.strip() == "False"
    assert "nothing is compiled" in said.stderr


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.tiny_svd(folder / "svd")
    tiny.tiny_text_to_image(folder / "sd15")
    tiny.tiny_motion_adapter(folder / "motion")
    tiny.tiny_sparse_control(folder / "sparse")
    return folder


@pytest.fixture(scope="module", params=["svd", "animatediff"])
def case(request: pytest.FixtureRequest, weights: Path) -> Iterator[Case]:
    backend = built(weights, request.param)
    yield Case(request.param, backend)
    backend.close()


def test_a_loaded_model_computes_in_the_precision_that_is_named(case: Case, weights: Path) -> None:
    half = Case(case.name, built(weights, case.name, visualizr_precision="bfloat16"))
    first, again = (half.film(half.shot(steps=4)) for _ in range(2))
    assert first.metadata["precision"] == "bfloat16"
    assert str(half.backend._model.unet.dtype) == "torch.bfloat16"
    assert np.array_equal(watched(first).frames, watched(again).frames)
    assert 15 < psnr(watched(first).frames, case.frames(case.shot(steps=4))) < float("inf")
    half.backend.close()


def test_a_film_is_made_by_the_kernel_that_is_named(case: Case, weights: Path) -> None:
    import torch

    plain = Case(case.name, built(weights, case.name, visualizr_attention="math"))
    seen = []
    plain.backend._model.unet.register_forward_pre_hook(lambda *_: seen.append(torch.backends.cuda.flash_sdp_enabled()))
    film = plain.film(plain.shot())
    assert (film.metadata["attention"], set(seen)) == ("math", {False})
    assert torch.backends.cuda.flash_sdp_enabled()
    assert psnr(watched(film).frames, case.frames(case.shot())) > 30
    plain.backend.close()


def test_parts_that_take_turns_make_the_same_film(case: Case) -> None:
    plain = case.frames(case.shot())
    model = case.backend._model
    model.settle(Plan(device="cpu", offload="model"))
    try:
        assert np.array_equal(plain, case.frames(case.shot()))
    finally:
        model.settle(Plan(device="cpu"))
    assert np.array_equal(plain, case.frames(case.shot()))
