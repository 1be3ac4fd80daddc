"""KEDA's question, asked exactly as the rendered ScaledObjects say, and answered by the running Chattr."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from chattr.adapters.fakes.media import FakeFilmer, FakeSpeaker
from scripts.manifests.helm import Manifest
from tests.fake_llm_server import FakeLLMServer
from tests.pods.containers import Secrets
from tests.pods.installed import Operator, installed, world
from tests.pods.release import Release, World
from tests.predictor_server import Seen, predictor_app
from tests.served import served
from tests.waiting import eventually

pytestmark = pytest.mark.integration

VALUES = {
    "inference": {"models": {"robot": {"modality": "speech", "backend": "kokoro", "servedName": "robot-1"}}},
    "dispatcher": {"concurrency": 2},
    "qdrant": {"enabled": False},
    "longTermMemory": {"enabled": False},
}


@dataclass(frozen=True)
class Trigger:
    """One `metrics-api` trigger, with the token that its TriggerAuthentication names."""

    url: str
    location: str
    target: float
    token: str

    async def ask(self, web: httpx.AsyncClient, token: str | None = None) -> httpx.Response:
        return await web.get(self.url, headers={"authorization": f"Bearer {token or self.token}"})

    async def value(self, web: httpx.AsyncClient) -> float:
        """What KEDA would scale by."""
        found = (await self.ask(web)).raise_for_status().json()
        for part in self.location.split("."):
            found = found[part]
        assert isinstance(found, int | float)
        assert not isinstance(found, bool)
        return found


def trigger_of(release: Release, scaled: Manifest) -> Trigger:
    (trigger,) = scaled["spec"]["triggers"]
    told: Mapping[str, str] = trigger["metadata"]
    assert (trigger["type"], told["format"], told["authMode"]) == ("metrics-api", "json", "bearer")
    authentication = release.cluster.find("TriggerAuthentication", trigger["authenticationRef"]["name"])
    assert authentication is not None
    (secret,) = authentication["spec"]["secretTargetRef"]
    assert secret["parameter"] == "token"
    token = Secrets(release.cluster, {}).value("Secret", secret)
    assert token is not None
    url = release.addresses.substituted(told["url"])
    return Trigger(url, told["valueLocation"], float(told["targetValue"]), token)


@dataclass
class Town:
    """Chattr and the dispatcher as rendered, and predictors that wait for a test's word."""

    release: Release
    speaker: FakeSpeaker
    robot: FakeSpeaker
    filmer: FakeFilmer
    triggers: dict[str, Trigger]
    web: httpx.AsyncClient
    client: httpx.AsyncClient

    async def numbers(self) -> dict[str, float]:
        return {name: await trigger.value(self.web) for name, trigger in self.triggers.items()}

    async def become(self, **numbers: float) -> None:
        """Wait for these numbers, and for 0 wherever none is given."""
        wanted = {**dict.fromkeys(self.triggers, 0), **numbers}

        async def there() -> bool:
            return await self.numbers() == wanted

        try:
            await eventually(there, 20)
        except TimeoutError:
            pytest.fail(f"{await self.numbers()} is not {wanted}")

    def say(self, model: str) -> asyncio.Task[httpx.Response]:
        body = {"model": model, "voice": "af_heart", "input": "Good evening.", "response_format": "wav"}
        return asyncio.create_task(self.client.post("/v1/audio/speech", json=body))


@contextmanager
def placed(operator: Operator, folder: Path, models: Path, around: World) -> Iterator[Release]:
    with installed(operator.values(**VALUES), folder, models, {"chattr": 1, "dispatcher": 1}, around) as release:
        release.ready("chattr")
        yield release


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "pods").mkdir()
    return Operator(tmp_path)


@pytest.fixture
async def town(operator: Operator, llm_server: FakeLLMServer, tmp_path: Path, models_home: Path) -> AsyncIterator[Town]:
    speaker, robot, filmer = FakeSpeaker(["kokoro"]), FakeSpeaker(["robot-1"]), FakeFilmer()
    async with AsyncExitStack() as stack:
        voices = await stack.enter_async_context(served(predictor_app(speaker, filmer, Seen())))
        robots = await stack.enter_async_context(served(predictor_app(robot, FakeFilmer([]), Seen())))
        near, far = voices.removeprefix("http://"), robots.removeprefix("http://")
        around = world(llm_server, voice=near, portrait=near, robot=far)
        pods = placed(operator, tmp_path / "pods", models_home, around)
        release: Release = await asyncio.to_thread(pods.__enter__)
        stack.push_async_callback(asyncio.to_thread, pods.__exit__, None, None, None)
        scaled = release.cluster.of_kind("ScaledObject")
        triggers = {each["metadata"]["name"].removeprefix("chatacter-"): trigger_of(release, each) for each in scaled}
        web = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        base = f"http://{release.addresses.reached('chatacter-chattr', 8000)}"
        headers = {"authorization": f"Bearer {operator.key}"}
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
        yield Town(release, speaker, robot, filmer, triggers, web, client)
        for fake in (speaker, robot, filmer):
            fake.released.set()


async def test_the_number_rises_with_work_and_falls_after_it(town: Town) -> None:
    assert set(town.triggers) == {"voice", "robot", "portrait"}
    assert all(trigger.target > 0 for trigger in town.triggers.values())
    await town.become()

    town.speaker.hold_at = town.robot.hold_at = 0
    speaking = [town.say("kokoro"), town.say("kokoro"), town.say("robot-1")]
    await town.become(voice=2, robot=1)
    town.robot.released.set()
    await town.become(voice=2)
    town.speaker.released.set()
    await town.become()
    assert [(await each).status_code for each in speaking] == [200, 200, 200]

    town.filmer.hold_at = 2
    order = {"model": "portrait", "prompt": "Good evening.", "character": "ada"}
    jobs = [(await town.client.post("/v1/videos", json=order)).raise_for_status().json()["id"] for _ in range(4)]
    await town.become(portrait=4)  # nobody has taken one up yet
    await asyncio.to_thread(town.release.ready, "dispatcher")
    await eventually(lambda: running(town, 2), 20)
    await town.become(portrait=4)
    await town.client.post(f"/api/v1/jobs/{jobs[-1]}/cancel")  # one that waits: two run at a time
    await town.become(portrait=3)
    town.filmer.released.set()
    await town.become()
    assert town.filmer.finished == 3


async def running(town: Town, number: int) -> bool:
    return town.filmer.started >= number


async def test_the_number_is_for_the_token_alone(town: Town) -> None:
    trigger = town.triggers["voice"]
    assert (await trigger.ask(town.web)).status_code == 200
    assert (await trigger.ask(town.web, "another-token-0123456789")).status_code == 401
    assert (await town.web.get(trigger.url)).status_code == 401
    assert (await town.client.get(trigger.url)).status_code == 403, "a person's key does not open what is inside"
