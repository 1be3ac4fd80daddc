"""Diffusion on a real Ray, tiny and of random weights: AnimateDiff as its service's replica, SVD as KubeRay runs it."""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

import httpx
import pytest

from tests.diffusion_material import photo, tiny_animatediff, tiny_svd
from tests.film_material import data_url, events, film_in, watched
from tests.ray_node import ray_node
from tests.service_process import running

pytest.importorskip("ray")

pytestmark = pytest.mark.e2e

PHOTO = photo()
SMALL = {"width": 64, "height": 64, "num_frames": 4, "num_inference_steps": 3, "fps": 8, "seed": 5}
ASKED: dict[str, dict[str, Any]] = {
    "svd": {"model": "svd", "image_reference": data_url(PHOTO.media_type, PHOTO.data), **SMALL},
    "animatediff": {"model": "animatediff", "prompt": "a cat walks", **SMALL},
}
SETTINGS = {
    "VISUALIZR_ENGINE": "ray",
    "ACCEPT_MODEL_LICENSES": "stable-video-diffusion-community",
    "RAY_REPLICA_CPUS": "1",
    "OMP_NUM_THREADS": "1",
}
SERVED: dict[str, Any] = {
    "proxy_location": "EveryNode",
    "http_options": {"host": "127.0.0.1", "port": 8002},
    "applications": [
        {"name": "visualizr", "route_prefix": "/", "import_path": "visualizr.rayservice:application"},
    ],
}


@pytest.fixture(scope="module", params=["animatediff", "svd"])
def film(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A model's name, and where it is asked for films."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    {"svd": tiny_svd, "animatediff": tiny_animatediff}[name](folder / "weights")
    settings = {**SETTINGS, "VISUALIZR_MODEL": name, "VISUALIZR_WEIGHTS": str(folder / "weights")}
    if name == "animatediff":
        with running("visualizr", folder, settings) as process:
            yield name, process.url
        return
    settings |= {"HOME": str(folder), "CHATACTER_HOME": str(folder / "home"), "RAY_USAGE_STATS_ENABLED": "0"}
    with ray_node(settings, {"num-cpus": "2", "object-store-memory": "134217728"}, folder) as node:
        node.deploy(SERVED)
        node.until(f"{node.served}/v2/models/svd/ready")
        yield name, node.served


def asked(film: tuple[str, str], **more: Any) -> httpx.Response:
    name, url = film
    return httpx.post(f"{url}/v1/video/generations", json={**ASKED[name], **more}, timeout=120, trust_env=False)


def test_a_replica_films_and_tells_each_step_as_it_comes(film: tuple[str, str]) -> None:
    first, again = (events(asked(film)) for _ in range(2))
    steps = [event for event in first[:-1] if "step" in event]
    assert [event["step"] for event in steps] == [1, 2, 3]
    assert all(event["preview"].startswith("data:image/webp") for event in steps)
    frames = watched(film_in(first)).frames
    assert frames.shape == (4, 64, 64, 3)
    assert (frames == watched(film_in(again)).frames).all()


def test_steps_come_before_the_film_and_who_leaves_frees_the_replica(film: tuple[str, str]) -> None:
    name, url = film
    long = {**ASKED[name], "num_inference_steps": 200}
    with httpx.stream("POST", f"{url}/v1/video/generations", json=long, timeout=120, trust_env=False) as answer:
        steps = (line for line in answer.iter_lines() if '"step"' in line)
        seen = [time.monotonic() for _ in islice(steps, 10)]
    each = (seen[-1] - seen[0]) / (len(seen) - 1)
    began = time.monotonic()
    assert events(asked(film))[-1]["type"] == "video.completed"
    # Of the 190 steps that were left, most were never made.
    assert time.monotonic() - began < 100 * each + 1


def test_what_a_replica_refuses_is_told_as_itself(film: tuple[str, str]) -> None:
    refused = asked(film, num_inference_steps=201)
    assert (refused.status_code, "200" in refused.json()["error"]["message"]) == (413, True)
