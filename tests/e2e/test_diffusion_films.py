"""Stable Video Diffusion, tiny and of random weights, in a real Visualizr: asked itself, and through Chattr's jobs."""

import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.diffusion_material import photo, tiny_svd
from tests.film_material import data_url, events, film_in, shot, watched
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running
from visualizr.backend import Film
from visualizr.backends.remote_videos import RemoteVideos
from visualizr.settings import VisualizrSettings

pytestmark = pytest.mark.e2e

PHOTO = photo()
SMALL = {"num_frames": 4, "num_inference_steps": 3, "fps": 8, "seed": 5}
GENERATIONS = "/v1/video/generations"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("svd")
    tiny_svd(made / "weights")
    return made


@pytest.fixture(scope="module")
def visualizr(folder: Path) -> Iterator[ServiceProcess]:
    settings = {
        "VISUALIZR_MODEL": "svd",
        "VISUALIZR_WEIGHTS": str(folder / "weights"),
        "VISUALIZR_ACCELERATION": "max",
        "ACCEPT_MODEL_LICENSES": "stable-video-diffusion-community",
        "OMP_NUM_THREADS": "1",
    }
    with running("visualizr", folder, settings) as process:
        yield process


def body(**more: Any) -> dict[str, Any]:
    picture = data_url(PHOTO.media_type, PHOTO.data)
    return {"model": "svd", "image_reference": picture, "width": 64, "height": 64, **SMALL, **more}


def test_it_films_over_http(visualizr: ServiceProcess) -> None:
    first, again = (events(httpx.post(visualizr.url + GENERATIONS, json=body(), timeout=120)) for _ in range(2))
    assert [event["step"] for event in first[:-1] if "step" in event] == [1, 2, 3]
    assert all(event["preview"].startswith("data:image/webp") for event in first[:-1] if "step" in event)
    assert watched(film_in(first)).frames.shape == (4, 64, 64, 3)
    assert (watched(film_in(first)).frames == watched(film_in(again)).frames).all()
    assert first[-1]["metadata"]["num_inference_steps"] == 3


def test_hanging_up_frees_the_model(visualizr: ServiceProcess) -> None:
    with httpx.stream("POST", visualizr.url + GENERATIONS, json=body(num_inference_steps=200), timeout=60) as answer:
        next(answer.iter_lines())
    began = time.monotonic()
    assert events(httpx.post(visualizr.url + GENERATIONS, json=body(), timeout=120))[-1]["type"] == "video.completed"
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    ("more", "status", "names"),
    [
        ({"strength": 0.5}, 422, "motion_strength"),
        ({"negative_prompt": "rain"}, 422, "num_frames"),
        ({"video_reference": "data:video/webm;base64,AAAA"}, 422, "leave it out"),
        ({"image_reference": None}, 422, "image_reference"),
        ({"width": 100}, 422, "multiple of 8"),
        ({"num_frames": 65}, 413, "64"),
        ({"num_inference_steps": 201}, 413, "200"),
    ],
)
def test_what_it_cannot_do_is_refused_with_what_it_can(
    visualizr: ServiceProcess, more: dict[str, Any], status: int, names: str
) -> None:
    refused = httpx.post(visualizr.url + GENERATIONS, json=body(**more), timeout=60)
    assert refused.status_code == status
    assert names in refused.json()["error"]["message"]


def test_kserves_protocol_takes_the_same_fields(visualizr: ServiceProcess) -> None:
    row = {name: value for name, value in body().items() if name != "model"}
    answer = httpx.post(f"{visualizr.url}/v1/models/svd:predict", json={"instances": [row]}, timeout=120)
    film = answer.json()["predictions"][0]
    assert (film["metadata"]["seed"], film["fps"]) == (5, 8)
    assert len(film["renditions"]) == 3


def test_chattr_films_with_it_through_a_job(visualizr: ServiceProcess, folder: Path, redis_server: RedisServer) -> None:
    settings = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": "http://127.0.0.1:9/v1",
        "MODEL__NAME": "none",
        "VISUALIZR__URLS": f'{{"svd": "{visualizr.url}"}}',
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    order = {"model": "svd", "prompt": "it comes to life", "size": "64x64", **{k: str(v) for k, v in SMALL.items()}}
    with running("chattr", folder, settings) as chattr, httpx.Client(base_url=chattr.url, timeout=60) as client:
        made = client.post("/v1/videos", data=order, files={"input_reference": ("a.png", PHOTO.data, "image/png")})
        assert made.status_code == 200, made.text
        video = made.json()
        deadline = time.monotonic() + 60
        while video["status"] not in {"completed", "failed"} and time.monotonic() < deadline:
            time.sleep(0.2)
            video = client.get(f"/v1/videos/{video['id']}").json()
        assert video["status"] == "completed", video
        told = {name: video["metadata"][name] for name in ("model", "num_inference_steps", "seed", "prompt_used")}
        assert told == {"model": "svd", "num_inference_steps": 3, "seed": 5, "prompt_used": False}
        film = client.get(f"/v1/videos/{video['id']}/content").content
        still = client.get(f"/v1/videos/{video['id']}/content", params={"variant": "thumbnail"})
        again = ordered_from(chattr.url)
    assert watched(film).frames.shape == (4, 64, 64, 3)
    assert watched(again).frames.shape == (4, 64, 64, 3)
    assert Image.MIME[still_format(still.content)] == still.headers["content-type"] == "image/webp"


def ordered_from(chattr: str) -> Film:
    """Have a backend of another Visualizr order a film from Chattr's own doors."""
    fields = "fps,num_frames,num_inference_steps,seed"
    there = {"visualizr_remote_url": f"{chattr}/v1", "visualizr_remote_model": "svd", "visualizr_remote_fields": fields}
    backend = RemoteVideos(VisualizrSettings(visualizr_model="remote-videos", **there))
    backend.load()
    wanted = shot(PHOTO, None, prompt="it comes to life", width=64, height=64, fps=8, seed=5, frames=4, steps=3)
    *_, film = backend.film(wanted, threading.Event())
    backend.close()
    left = httpx.get(f"{chattr}/v1/videos").json()["data"]
    assert len(left) == 1  # the one that was ordered before
    assert isinstance(film, Film)
    return film


def still_format(data: bytes) -> str:
    with Image.open(io.BytesIO(data)) as picture:
        return str(picture.format)


def test_weights_wait_for_the_acceptance_of_their_licence(folder: Path) -> None:
    settings = {"VISUALIZR_MODEL": "svd", "VISUALIZR_WEIGHTS": str(folder / "weights")}
    with running("visualizr", folder, settings, wait=False) as process:
        told = ""
        deadline = time.monotonic() + 60
        while "failed" not in told and time.monotonic() < deadline:
            time.sleep(0.2)
            try:
                told = httpx.get(f"{process.url}/readyz").text
            except httpx.TransportError:
                continue
        refused = httpx.post(process.url + GENERATIONS, json=body(), timeout=60)
    assert "ACCEPT_MODEL_LICENSES=stable-video-diffusion-community" in told
    assert refused.status_code == 503
    assert "stable-video-diffusion-community" in refused.json()["error"]["message"]
