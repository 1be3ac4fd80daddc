"""A router in its own small wheel is mounted under the same keys, with no edit here."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from chatacter.chassis.auth import new_key
from tests.redis_server import RedisServer
from tests.service_process import running

pytestmark = pytest.mark.integration

GUESTBOOK = Path(__file__).parents[1] / "plugins" / "guestbook"


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps"], check=True, timeout=120)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder in which the wheel is installed."""
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(GUESTBOOK))
    wheel = next(tmp_path.glob("*.whl"))
    pip("install", "--no-index", "--target", str(tmp_path / "site"), str(wheel))
    return tmp_path / "site"


def test_a_products_router_stands_behind_the_same_keys(site: Path, redis_server: RedisServer, tmp_path: Path) -> None:
    secret, key = new_key("guest", "acme", ["chat"])
    (tmp_path / "keys.json").write_text(json.dumps([key.model_dump(mode="json")]))
    settings = {
        "PYTHONPATH": str(site),
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": "http://127.0.0.1:9/v1",
        "MODEL__NAME": "none",
        "REQUIRE_API_KEY": "true",
        "API_KEYS_FILE": str(tmp_path / "keys.json"),
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    with running("chattr", tmp_path, settings) as chattr:
        door = f"{chattr.url}/api/v1/guestbook"
        assert httpx.get(door).status_code == 401
        answer = httpx.get(door, headers={"authorization": f"Bearer {secret}"})
        schema = httpx.get(f"{chattr.url}/openapi.json", headers={"authorization": f"Bearer {secret}"}).json()
    assert answer.json() == {"signed_by": "acme"}
    assert "/api/v1/guestbook" in schema["paths"]
