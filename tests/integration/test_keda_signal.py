"""KEDA's question, asked exactly as the rendered ScaledObjects say, and answered by the running Chattr."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from scripts.manifests.helm import Manifest
from tests.fake_llm_server import FakeLLMServer
from tests.pods.containers import Secrets
from tests.pods.installed import Operator
from tests.pods.release import Release
from tests.pods.town import Town, built
from tests.waiting import eventually, until

pytestmark = pytest.mark.integration


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
class Keda:
    """What scales each model of a town, by the model's key."""

    town: Town
    triggers: dict[str, Trigger]

    async def numbers(self) -> dict[str, float]:
        return {name: await trigger.value(self.town.web) for name, trigger in self.triggers.items()}

    async def sees(self, **numbers: float) -> None:
        """Wait until it reads these numbers, and 0 wherever none is given."""
        wanted = {**dict.fromkeys(self.triggers, 0), **numbers}

        async def there() -> bool:
            return await self.numbers() == wanted

        try:
            await eventually(there, 20)
        except TimeoutError:
            pytest.fail(f"{await self.numbers()} is not {wanted}")


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    (tmp_path / "pods").mkdir()
    return Operator(tmp_path)


@pytest.fixture
async def keda(operator: Operator, llm_server: FakeLLMServer, tmp_path: Path, models_home: Path) -> AsyncIterator[Keda]:
    async with built(operator, llm_server, tmp_path / "pods", models_home) as town:
        scaled = {each["metadata"]["name"]: each for each in town.release.cluster.of_kind("ScaledObject")}
        triggers = {name.removeprefix("chatacter-"): trigger_of(town.release, each) for name, each in scaled.items()}
        yield Keda(town, triggers)


def speaking(town: Town, model: str) -> asyncio.Task[httpx.Response]:
    body = {"model": model, "voice": "af_heart", "input": "Good evening.", "response_format": "wav"}
    return asyncio.create_task(town.client.post("/v1/audio/speech", json=body))


async def test_the_number_rises_with_work_and_falls_after_it(keda: Keda) -> None:
    town = keda.town
    assert set(keda.triggers) == {"voice", "robot", "portrait"}
    assert all(trigger.target > 0 for trigger in keda.triggers.values())
    await keda.sees()

    town.speaker.hold_at = town.robot.hold_at = 0
    spoken = [speaking(town, "kokoro"), speaking(town, "kokoro"), speaking(town, "robot-1")]
    await keda.sees(voice=2, robot=1)
    town.robot.released.set()
    await keda.sees(voice=2)
    town.speaker.released.set()
    await keda.sees()
    assert [(await each).status_code for each in spoken] == [200, 200, 200]

    town.filmer.hold_at = 2
    jobs = [await town.order() for _ in range(4)]
    await keda.sees(portrait=4)  # nobody has taken one up yet
    await asyncio.to_thread(town.release.ready, "dispatcher")
    await until(lambda: town.filmer.started == 2, 20)
    await keda.sees(portrait=4)
    await town.client.post(f"/api/v1/jobs/{jobs[-1]}/cancel")  # one that waits: two run at a time
    await keda.sees(portrait=3)
    town.filmer.released.set()
    await keda.sees()
    assert town.filmer.finished == 3


async def test_the_number_is_for_the_token_alone(keda: Keda) -> None:
    trigger, web = keda.triggers["voice"], keda.town.web
    assert (await trigger.ask(web)).status_code == 200
    assert (await trigger.ask(web, "another-token-0123456789")).status_code == 401
    assert (await web.get(trigger.url)).status_code == 401
    assert (await keda.town.client.get(trigger.url)).status_code == 403, "a person's key does not open what is inside"
