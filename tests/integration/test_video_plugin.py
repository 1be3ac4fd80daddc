"""A video model in its own small wheel films through Visualizr's doors, with no edit here."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.diffusion_material import photo
from tests.film_material import data_url, events, film_in, watched
from tests.service_process import running

pytestmark = pytest.mark.integration

SLIDESHOW = Path(__file__).parents[1] / "plugins" / "slideshow"


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps"], check=True, timeout=120)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which the wheel is installed."""
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(SLIDESHOW))
    pip("install", "--no-index", "--target", str(tmp_path / "site"), str(next(tmp_path.glob("*.whl"))))
    return tmp_path / "site"


def test_a_video_model_of_somebody_elses(site: Path, tmp_path: Path) -> None:
    picture = photo()
    body = {"model": "slideshow", "image_reference": data_url(picture.media_type, picture.data)}
    with running("visualizr", tmp_path, {"PYTHONPATH": str(site), "VISUALIZR_MODEL": "slideshow"}) as visualizr:
        door = f"{visualizr.url}/v1/video/generations"
        plain = events(httpx.post(door, json=body, timeout=60))
        short = events(httpx.post(door, json={**body, "quality": "draft", "num_frames": 3}, timeout=60))
        refused = httpx.post(door, json={**body, "guidance_scale": 3})
        large = httpx.post(door, json={**body, "width": 700})
    seen = watched(film_in(plain))
    assert seen.frames.shape == (20, 240, 320, 3)
    assert [small["variant"] for small in plain[-1]["renditions"]] == ["thumbnail", "spritesheet", "preview"]
    assert watched(film_in(short)).frames.shape == (3, 120, 160, 3)
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "guidance_scale")
    assert "num_frames" in refused.json()["error"]["message"]
    assert (large.status_code, "640" in large.json()["error"]["message"]) == (413, True)
