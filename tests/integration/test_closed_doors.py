"""REQUIRE_API_KEY=true closes every door of all three services; only the probes, which tell nothing, stay open."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chatacter.chassis.auth import ALL_SCOPES, new_key
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

SECRET, KEY = new_key("tester", "acme", sorted(ALL_SCOPES))
CHATTY, CHATTY_KEY = new_key("chatty", "acme", ["chat"])
# A key a kind of file, and a file of that kind.
FILES = {
    "videos": (*new_key("films", "acme", ["videos"]), f"video_{'0' * 32}-1-thumbnail"),
    "speech": (*new_key("sounds", "acme", ["speech"]), f"speech_{'0' * 32}-1"),
    "characters": (*new_key("cast", "acme", ["characters"]), f"portrait_ada_{'0' * 32}"),
}
OPEN = {"/livez", "/readyz"}
HIDDEN = {("get", "/metrics"), ("get", "/openapi.json"), ("get", "/api/v1/demand")}
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def services(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, ServiceProcess]]:
    folder = tmp_path_factory.mktemp("closed")
    file = folder / "keys.json"
    keys = [KEY, CHATTY_KEY, *(key for _, key, _ in FILES.values())]
    file.write_text(json.dumps([key.model_dump(mode="json") for key in keys]))
    shared = {"REQUIRE_API_KEY": "true", "API_KEYS_FILE": str(file)}
    chattr = {
        "RECORDS__URL": redis_server.url,
        "MODEL__URL": llm_server_of_this_run.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
    }
    with (
        running("vocalizr", folder, {**shared, "VOCALIZR_MODEL": "fake"}) as vocalizr,
        running("visualizr", folder, {**shared, "VISUALIZR_MODEL": "fake"}) as visualizr,
        running("chattr", folder, {**shared, **chattr}) as started,
    ):
        yield {"chattr": started, "vocalizr": vocalizr, "visualizr": visualizr}


def doors(service: ServiceProcess) -> list[tuple[str, str]]:
    """Every method and path of a service's OpenAPI document, parameters filled in."""
    answer = httpx.get(f"{service.url}/openapi.json", headers={"authorization": f"Bearer {SECRET}"})
    paths = answer.json()["paths"]
    found = [(method, path) for path, item in paths.items() for method in item if method in METHODS]
    return [(method, re.sub(r"\{[^}]+\}", "x", path)) for method, path in found]


@pytest.mark.parametrize("name", ["chattr", "vocalizr", "visualizr"])
def test_every_door_refuses_a_missing_and_a_wrong_key(services: dict[str, ServiceProcess], name: str) -> None:
    service = services[name]
    found = {*doors(service), *(HIDDEN if name == "chattr" else HIDDEN - {("get", "/api/v1/demand")})}
    assert len(found) > 5
    with httpx.Client(base_url=service.url) as client:
        for method, path in sorted(found):
            missing = client.request(method, path)
            wrong = client.request(method, path, headers={"authorization": "Bearer chat-wrong"})
            assert (missing.status_code, wrong.status_code) == (401, 401), f"{method} {path}"
            assert missing.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["chattr", "vocalizr", "visualizr"])
def test_probes_stay_open(services: dict[str, ServiceProcess], name: str) -> None:
    for path in OPEN:
        assert httpx.get(services[name].url + path).status_code == 200


def test_a_key_opens_only_what_its_scopes_say(services: dict[str, ServiceProcess]) -> None:
    headers = {"authorization": f"Bearer {CHATTY}"}
    with httpx.Client(base_url=services["chattr"].url, headers=headers) as client:
        assert client.get("/v1/models").status_code == 200
        for path in ("/api/v1/demand", "/metrics", "/api/v1/characters", "/v1/videos", "/v1/audio/voices"):
            assert client.get(path).status_code == 403, path


@pytest.mark.parametrize("kind", FILES)
def test_a_stored_file_asks_for_the_scope_of_its_kind(services: dict[str, ServiceProcess], kind: str) -> None:
    with httpx.Client(base_url=services["chattr"].url, headers={"authorization": f"Bearer {FILES[kind][0]}"}) as client:
        for other, (_, _, file) in FILES.items():
            expected = 404 if other == kind else 403  # none of them is there
            assert client.get(f"/api/v1/media/{file}").status_code == expected, file
            assert client.post(f"/api/v1/media/{file}/link").status_code == expected, file


def test_the_live_session_needs_a_key_too(services: dict[str, ServiceProcess]) -> None:
    address = services["chattr"].url.replace("http", "ws") + "/api/v1/ws/chat"
    for headers in ({}, {"authorization": "Bearer chat-wrong"}):
        with pytest.raises(InvalidStatus) as refused, connect(address, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    with connect(address, subprotocols=["chatacter.v1", f"chatacter-api-key.{SECRET}"]) as socket:
        assert socket.subprotocol == "chatacter.v1"
        socket.send(json.dumps({"type": "message.create", "message": "Hello", "character": "ada"}))
        kinds = [json.loads(socket.recv(timeout=60))["type"]]
        while kinds[-1] != "reply.completed":
            kinds.append(json.loads(socket.recv(timeout=60))["type"])
        socket.send("nonsense")
        assert json.loads(socket.recv(timeout=60))["code"] == "invalid_input"
    assert kinds[0] == "reply.created"
    assert "reply.delta" in kinds
