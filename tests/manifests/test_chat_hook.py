"""What `helm test` runs, taken out of the rendered chart and run against a real Chattr."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests.helm import Manifest
from tests.fake_llm_server import FakeLLMServer
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster
from tests.redis_server import RedisServer, free_port
from tests.service_process import ServiceProcess, running

pytestmark = pytest.mark.manifests

TOKEN = "0123456789abcdef"
OPEN = {"auth": {"required": False}}
ADDRESS = "http://chatacter-chattr.chatacter.svc.cluster.local:8000"


def container(**given: Any) -> Manifest:
    pod = Cluster(Installation(given=given).manifests()).find("Pod", "chatacter-test")
    assert pod is not None
    (only,) = pod["spec"]["containers"]
    return dict(only)


def tried(url: str, given: dict[str, Any], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the container's command as Kubernetes would, with the service's address in place of the cluster's."""
    asked = container(**given)
    command = [sys.executable, *asked["command"][1:], *asked["args"]]
    assert ADDRESS in command
    command[command.index(ADDRESS)] = url
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def chattr(
    folder: Path, redis: RedisServer, llm: FakeLLMServer, required: str
) -> AbstractContextManager[ServiceProcess]:
    settings = {
        "RECORDS__URL": redis.url,
        "MODEL__URL": llm.url,
        "MODEL__NAME": "scripted",
        "SERVICE_TOKEN": TOKEN,
        "REQUIRE_API_KEY": required,
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_VOICE_GENERATION": "false",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_UI": "false",
    }
    return running("chattr", folder, settings, wait=False)


@pytest.fixture(scope="module")
def two(
    tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer, llm_server_of_this_run: FakeLLMServer
) -> Iterator[tuple[str, str]]:
    """A Chattr that wants keys, and one that wants none."""
    folder = tmp_path_factory.mktemp("chattr")
    with (
        chattr(folder, redis_server, llm_server_of_this_run, "true") as closed,
        chattr(folder, redis_server, llm_server_of_this_run, "false") as opened,
    ):
        yield closed.url, opened.url


@pytest.fixture
def closed(two: tuple[str, str]) -> str:
    return two[0]


@pytest.fixture
def opened(two: tuple[str, str]) -> str:
    return two[1]


@pytest.fixture(autouse=True)
def llm(llm_server: FakeLLMServer) -> FakeLLMServer:
    """The provider with its first script."""
    return llm_server


def test_it_chats_with_the_services_own_token(closed: str) -> None:
    done = tried(closed, {}, API_KEY=TOKEN)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "without a key: 401, as it should" in done.stdout
    assert "with a wrong key: 401, as it should" in done.stdout
    assert "Hello, Hello! Who are you?!" in done.stdout


def test_it_chats_without_a_key_where_none_is_needed(opened: str) -> None:
    done = tried(opened, OPEN)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "without a key: 200, as it should" in done.stdout
    assert "Who are you?" in done.stdout


def test_a_door_that_stands_open_fails_it(opened: str) -> None:
    done = tried(opened, {}, API_KEY=TOKEN)
    assert done.returncode == 1
    assert "without a key the API answers 200, and keys are required" in done.stderr


def test_a_key_that_does_not_fit_fails_it(closed: str) -> None:
    done = tried(closed, {}, API_KEY="chat-of-somebody-else")
    assert done.returncode == 1
    assert "the characters are not told: 401" in done.stderr


@pytest.mark.parametrize(
    ("deltas", "script", "said"),
    [
        ((), {"status": 401}, "no reply: 50"),
        ((), {"error_after": 2}, "the reply broke off"),
        ((" ",), {}, "the reply is empty"),
    ],
    ids=["refused", "broken", "empty"],
)
def test_a_provider_that_does_not_answer_fails_it(
    opened: str, llm: FakeLLMServer, deltas: tuple[str, ...], script: dict[str, int], said: str
) -> None:
    llm.play(*deltas, **script)
    done = tried(opened, OPEN)
    assert done.returncode == 1
    assert said in done.stderr


def test_nobody_there_fails_it() -> None:
    asked = container(**OPEN)
    command = [sys.executable, *asked["command"][1:], f"http://127.0.0.1:{free_port()}", "false"]
    command[2] = command[2].replace("READY_SECONDS = 120.0", "READY_SECONDS = 0.1")
    done = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "not ready after 0.1 s: ConnectError" in done.stderr


def test_the_key_is_the_operators_else_the_services_own() -> None:
    key = {"existingSecret": "test-key", "existingSecretKey": "key"}
    assert secret(container(tests={"apiKey": key})) == {"name": "test-key", "key": "key"}
    assert secret(container()) == {"name": "chatacter-secrets", "key": "service-token"}
    assert "env" not in container(**OPEN)


def secret(asked: Manifest) -> Manifest:
    (variable,) = asked["env"]
    return dict(variable["valueFrom"]["secretKeyRef"])


def test_it_can_be_left_out() -> None:
    assert not Cluster(Installation(given={"tests": {"enabled": False}}).manifests()).find("Pod", "chatacter-test")
