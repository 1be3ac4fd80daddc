"""Redis goes away under a running Chattr: what needs none goes on, the rest is told, and nothing is restarted."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from tests.fake_llm_server import FakeLLMServer
from tests.redis_server import RedisServer, started
from tests.service_process import running

pytestmark = pytest.mark.integration


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with started() as server:
        yield server


def test_a_stateless_reply_survives_and_the_rest_says_what_is_missing(
    redis: RedisServer, llm_server: FakeLLMServer, tmp_path: Path
) -> None:
    settings = {
        "RECORDS__URL": redis.url,
        "MODEL__URL": llm_server.url,
        "MODEL__NAME": "scripted",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    with running("chattr", tmp_path, settings) as chattr, httpx.Client(base_url=chattr.url, timeout=60) as client:
        question = {"message": "Before.", "session_id": "s"}
        assert client.post("/api/v1/chat/message", json=question).status_code == 200
        redis.kill()

        openai = OpenAI(base_url=f"{chattr.url}/v1", api_key="any", max_retries=0)
        with_none = openai.chat.completions.create(model="ada", messages=[{"role": "user", "content": "Hello"}])
        assert with_none.choices[0].message.content == "Hello, Hello!"
        told = str((with_none.model_extra or {})["chatacter"]["told"])
        assert "log is away" in told
        assert "without your changes" in told
        assert client.patch("/api/v1/characters/ada", json={"name": "A."}).status_code == 503

        refused = client.post("/api/v1/chat/message", json={"message": "During.", "session_id": "s"})
        assert refused.status_code == 503
        assert "Redis" in refused.json()["detail"]
        assert int(refused.headers["retry-after"]) >= 1
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert ready.status_code == 200, "all replicas share it: none may leave the balancer"
        assert "Redis" in ready.json()["checks"]["records"]
        assert client.get("/api/v1/health").json()["status"] == "degraded"

        redis.start()
        assert client.post("/api/v1/chat/message", json={"message": "After.", "session_id": "s"}).status_code == 200
        history = client.get("/api/v1/chat/history/s").json()["messages"]
        assert [message["content"] for message in history if message["role"] == "user"] == ["Before.", "After."]
        assert client.get("/api/v1/health").json()["status"] == "ok"


def test_a_redis_that_forgets_is_refused_at_the_start(llm_server: FakeLLMServer, tmp_path: Path) -> None:
    settings = {"MODEL__URL": llm_server.url, "MODEL__NAME": "scripted", "ENABLE_UI": "false"}
    with (
        started(appendonly="no") as forgetful,
        running("chattr", tmp_path, {**settings, "RECORDS__URL": forgetful.url}, wait=False) as chattr,
    ):
        assert chattr.process.wait(60) != 0
        assert "RECORDS__URL: this Redis keeps nothing on disk." in chattr.written()
        assert "Traceback" not in chattr.written()
