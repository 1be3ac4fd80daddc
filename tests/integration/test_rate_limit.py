"""`API_RATE_LIMIT` over two replicas: counted together, a key each, told and refused as the draft and our doors say."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI, RateLimitError
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from chatacter.chassis.auth import ALL_SCOPES, new_key
from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, started
from tests.round_robin import balanced
from tests.scripted_chattr import settings
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.integration

KEYS = [new_key(name, tenant, ALL_SCOPES) for name, tenant in (("ann", "acme"), ("bob", "acme"))]
(ANN, _), (BOB, _) = KEYS
LIMIT = 5
TOKEN = "shared-by-the-services"


def keys_file(folder: Path) -> str:
    path = folder / "keys.json"
    path.write_text(json.dumps([json.loads(key.model_dump_json()) for _, key in KEYS]))
    return str(path)


@pytest.fixture(scope="module")
def replicas(
    redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[ServiceProcess]]:
    folder = tmp_path_factory.mktemp("replicas")
    given = settings(
        redis_server,
        llm_server_of_this_run,
        API_RATE_LIMIT=str(LIMIT),
        REQUIRE_API_KEY="true",
        API_KEYS_FILE=keys_file(folder),
        SERVICE_TOKEN=TOKEN,
    )
    with running("chattr", folder, given) as one, running("chattr", folder, given) as two:
        yield [one, two]


@pytest.fixture
def url(replicas: list[ServiceProcess], redis_url: str, llm_server: FakeLLMServer) -> Iterator[str]:
    with balanced([replica.url for replica in replicas]) as made:
        yield made


def asked(url: str, path: str, key: str | None = ANN) -> httpx.Response:
    return httpx.get(url + path, headers={"authorization": f"Bearer {key}"} if key else {})


def test_requests_are_counted_together_and_the_rest_refused(url: str) -> None:
    taken = [asked(url, "/v1/models") for _ in range(LIMIT)]
    assert {answer.status_code for answer in taken} == {200}
    assert {answer.headers["x-replica"] for answer in taken} == {"0", "1"}
    assert {answer.headers["ratelimit-policy"] for answer in taken} == {'"requests";q=5;w=60'}
    assert [answer.headers["ratelimit"].split(";")[1] for answer in taken] == ["r=4", "r=3", "r=2", "r=1", "r=0"]
    refused = asked(url, "/v1/models")
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert refused.json()["error"]["type"] == "rate_limit_error"
    plain = asked(url, "/api/v1/characters")
    assert plain.status_code == 429
    assert plain.headers["content-type"].startswith("application/problem+json")
    assert "5 requests in 60 seconds" in plain.json()["detail"]


def test_another_key_and_what_is_free_go_on(url: str) -> None:
    for _ in range(LIMIT + 1):
        asked(url, "/v1/models")
    assert asked(url, "/v1/models", BOB).status_code == 200
    for _ in range(LIMIT + 1):
        assert asked(url, "/v1/models", None).status_code == 401
        assert "ratelimit" not in asked(url, "/v1/models", "wrong").headers
        assert asked(url, "/livez", None).status_code == 200
        assert asked(url, "/api/v1/health").status_code == 200
        assert asked(url, "/v1/models", TOKEN).status_code == 200


def test_the_openai_client_knows_what_happened(url: str, llm_server: FakeLLMServer) -> None:
    client = OpenAI(base_url=f"{url}/v1", api_key=ANN, max_retries=0)
    with client:
        for _ in range(LIMIT):
            client.chat.completions.create(model="ada", messages=[{"role": "user", "content": "Hello"}])
        with pytest.raises(RateLimitError):
            client.chat.completions.create(model="ada", messages=[{"role": "user", "content": "Hello"}])
    assert len(llm_server.requests) == LIMIT


def test_what_is_said_over_a_socket_counts_too(replicas: list[ServiceProcess], url: str) -> None:
    address = replicas[0].url.replace("http", "ws") + "/api/v1/ws/chat"
    headers = {"authorization": f"Bearer {ANN}"}
    with connect(address, additional_headers=headers) as socket:
        kinds = []
        for _ in range(LIMIT):
            socket.send(json.dumps({"type": "message.create", "message": "Hello", "character": "ada"}))
            while (event := json.loads(socket.recv(10)))["type"] not in {"reply.completed", "error"}:
                pass
            kinds.append(event.get("code", event["type"]))
    assert kinds == ["reply.completed"] * (LIMIT - 1) + ["busy"]
    with pytest.raises(InvalidStatus), connect(address, additional_headers=headers):
        pass


def test_while_nobody_can_count_nobody_is_refused(
    redis_server: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    with started() as cache:
        given = settings(redis_server, llm_server, API_RATE_LIMIT="1", CACHE__URL=cache.url)
        with running("chattr", tmp_path, given) as process:
            assert [asked(process.url, "/v1/models").status_code for _ in range(2)] == [200, 429]
            cache.stop()
            answers = [asked(process.url, "/v1/models") for _ in range(3)]
            assert {answer.status_code for answer in answers} == {200}
            assert all("ratelimit" not in answer.headers for answer in answers)
