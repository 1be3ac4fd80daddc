"""Two tenants at the door of two replicas behind a balancer, for tests of characters."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chatacter.chassis.auth import new_key
from tests.card_material import apng, chunk_of, in_png, v3
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.round_robin import balanced
from tests.service_process import running

SCOPES = ["characters", "chat", "speech", "videos"]
ANN, ANN_KEY = new_key("ann", "acme", SCOPES)
EVE, EVE_KEY = new_key("eve", "evil", SCOPES)
MAT, MAT_KEY = new_key("mat", "many", SCOPES)
PATH = "/api/v1/characters"
FAQ = {
    "id": "my_character",
    "name": "My Character",
    "personality": "Friendly and helpful",
    "system_prompt": "You are a friendly assistant...",
}
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("characters")


@pytest.fixture(scope="module")
def door(redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, home: Path) -> Iterator[str]:
    keys = home / "keys.json"
    keys.write_text(json.dumps([key.model_dump(mode="json") for key in (ANN_KEY, EVE_KEY, MAT_KEY)]))
    files = home / "cast.yaml"
    files.write_text("id: gwen\nname: Gwen\npersonality: Dry.\ntags: [Élan, calm]\n", encoding="utf-8")
    given = {
        "REQUIRE_API_KEY": "true",
        "API_KEYS_FILE": str(keys),
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "MODEL__ALTERNATIVES": "large, small",
        "CHARACTER_CONFIG_PATH": str(files),
        "ASSETS_URL": f"file://{home}/assets",
        "VISUALIZR__URL": "http://127.0.0.1:9",
        "RUN_DISPATCHER": "false",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
    }
    with running("vocalizr", home, {"VOCALIZR_MODEL": "fake"}) as voices:
        given |= {"VOCALIZR__URL": voices.url, "VOCALIZR__MODEL": "fake", "VOCALIZR__VOICE": "high"}
        with (
            running("chattr", home, given) as one,
            running("chattr", home, given) as two,
            balanced([one.url, two.url]) as at,
        ):
            yield at


def client(door: str, secret: str) -> httpx.Client:
    return httpx.Client(base_url=door, headers={"authorization": f"Bearer {secret}"}, timeout=60)


@pytest.fixture
def ann(door: str, redis_url: str) -> Iterator[httpx.Client]:
    with client(door, ANN) as opened:
        yield opened


@pytest.fixture
def eve(door: str, redis_url: str) -> Iterator[httpx.Client]:
    with client(door, EVE) as opened:
        yield opened


def made(web: httpx.Client, **more: Any) -> httpx.Response:
    answer = web.post(PATH, json={**FAQ, **more})
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"{PATH}/{answer.json()['id']}"
    return answer


def everybody(web: httpx.Client, **query: Any) -> list[str]:
    return [one["id"] for one in web.get(PATH, params={"limit": 100, **query}).raise_for_status().json()["data"]]


def pictured(web: httpx.Client, name: str) -> dict[str, Any]:
    answer = web.post(
        f"{PATH}/import",
        content=in_png(chunk_of("ccv3", v3()), picture=apng()),
        headers={"content-type": "image/png"},
        params={"id": name},
    )
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    assert web.get(f"{PATH}/{name}").headers["etag"] == answer.headers["etag"]
    return found
