"""Several speech models in one process: a request names the one that speaks, and memory holds as many as it may."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from chatacter.serving.licences import Licence
from tests.served import served
from tests.vocalizr_server import Held, until_answered
from tests.waiting import until
from vocalizr.app import create_app, shared
from vocalizr.backend import SpeechBackend
from vocalizr.backends.fake import FakeSpeech
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.integration

ASKED = {"input": "Hello there.", "voice": "high", "response_format": "pcm"}


@asynccontextmanager
async def serving(backends: dict[str, SpeechBackend], **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    told = VocalizrSettings(vocalizr_model=",".join(f"{name}=fake" for name in backends), **settings)
    app = await asyncio.to_thread(shared, told, backends)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as client:
        await until_answered(client, "/readyz", "200")
        yield client


async def speak(client: httpx.AsyncClient, model: str) -> httpx.Response:
    return await client.post("/v1/audio/speech", json={"model": model, **ASKED})


async def test_each_model_is_listed_ready_and_asked_by_name_at_every_door() -> None:
    backends = {name: FakeSpeech(name) for name in ("one", "two")}
    async with serving(dict(backends)) as client:
        assert (await client.get("/v1/models")).json()["models"] == ["one", "two"]
        for name, backend in backends.items():
            assert (await client.get(f"/v2/models/{name}/ready")).status_code == 200
            assert (await speak(client, name)).status_code == 200
            row = {"instances": [{**ASKED, "response_format": "wav"}]}
            assert (await client.post(f"/v1/models/{name}:predict", json=row)).status_code == 200
            assert backend.begun == 2
        refused = await speak(client, "three")
        assert (refused.status_code, "one, two" in refused.text) == (404, True)
        voices = (await client.get("/v1/audio/voices")).json()
        assert {voice["model"] for voice in voices["data"]} == {"one", "two"}


async def test_only_as_many_as_may_are_in_memory() -> None:
    one, two = FakeSpeech("one"), FakeSpeech("two")
    async with serving({"one": one, "two": two}, vocalizr_models_loaded=1) as client:
        assert (one.loaded, two.loaded) == (1, 0)
        voices = (await client.get("/v1/audio/voices")).json()
        assert ({voice["model"] for voice in voices["data"]}, list(voices["away"])) == ({"one"}, ["two"])
        assert (await speak(client, "two")).status_code == 200
        assert (one.closed, two.loaded) == (1, 1)
        assert (await speak(client, "one")).status_code == 200
        assert (one.loaded, two.closed) == (2, 1)
        assert (await client.get("/v2/health/ready")).status_code == 200


async def test_a_model_that_may_not_be_loaded_takes_nobodys_place() -> None:
    one, restricted = FakeSpeech("one"), FakeSpeech("restricted")
    licence = Licence("NOT-FOR-SALE", "forbids commercial use")
    restricted.capabilities = replace(restricted.capabilities, licence=licence)
    async with serving({"one": one, "restricted": restricted}, vocalizr_models_loaded=1) as client:
        row = {"instances": [{**ASKED, "response_format": "wav"}]}
        predicted = await client.post("/v1/models/restricted:predict", json=row)
        for refused in (await speak(client, "restricted"), predicted):
            assert (refused.status_code, "ACCEPT_MODEL_LICENSES=NOT-FOR-SALE" in refused.text) == (503, True)
        assert "ACCEPT_MODEL_LICENSES" in (await client.get("/v2/models/restricted/ready")).text
        assert "ACCEPT_MODEL_LICENSES" in (await client.get("/v1/audio/voices")).json()["away"]["restricted"]
        assert (await client.get("/v2/health/ready")).status_code == 200
        assert (one.closed, restricted.loaded) == (0, 0)


class Slow(FakeSpeech):
    """A model that loads until it may end."""

    may = threading.Event()

    def load(self) -> None:
        assert self.may.wait(20)
        super().load()


async def test_while_a_request_loads_a_model_the_service_stays_ready_for_the_others() -> None:
    slow = Slow("slow")
    async with serving({"fake": FakeSpeech(), "slow": slow}, vocalizr_models_loaded=1) as client:
        asked = asyncio.create_task(speak(client, "slow"))
        await until_answered(client, "/v2/models/slow/ready", "loading")
        assert (await client.get("/v2/health/ready")).status_code == 200
        ready = await client.get("/readyz")
        slow.may.set()
        assert (ready.status_code, ready.json()["checks"]["slow"]) == (200, "loading")
        assert (await asked).status_code == 200


async def test_who_speaks_is_heard_to_the_end_before_another_takes_its_place() -> None:
    speaking, other = Held(), FakeSpeech("other")
    async with serving({"held": speaking, "other": other}, vocalizr_models_loaded=1) as client:
        first = asyncio.create_task(speak(client, "held"))
        await until(lambda: speaking.reached == 0)
        refused = await speak(client, "other")
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        speaking.may.release(10)
        assert (await first).status_code == 200
        assert (await speak(client, "other")).status_code == 200


def test_names_backends_and_weights_are_told_apart() -> None:
    told = VocalizrSettings(
        vocalizr_model="kokoro, narrator=coqui", vocalizr_weights="narrator=/srv/vits", vocalizr_queue=3
    )
    assert told.served == {"kokoro": "kokoro", "narrator": "coqui"}
    narrator = told.for_model("narrator")
    assert (narrator.vocalizr_model, narrator.served_name, narrator.weights) == ("coqui", "narrator", "/srv/vits")
    assert (told.for_model("kokoro").weights, narrator.vocalizr_queue) == (None, 3)
    single = VocalizrSettings(vocalizr_model="coqui", vocalizr_served_name="tts-1", vocalizr_weights="/srv/a=b,c")
    assert single.served == {"tts-1": "coqui"}
    assert single.for_model("tts-1").weights == "/srv/a=b,c"


@pytest.mark.parametrize("weights", ["/srv/vits", "narrator=/srv/vits"])
def test_a_single_model_with_a_name_may_have_its_weights_by_either_form(weights: str) -> None:
    told = VocalizrSettings(vocalizr_model="narrator=coqui", vocalizr_weights=weights)
    assert told.for_model("narrator").weights == "/srv/vits"


@pytest.mark.parametrize(
    ("models", "weights"),
    [("kokoro,xtts", "/srv/xtts"), ("kokoro,xtts", "xtss=/srv/xtts"), ("narrator=coqui", "narator=/srv/vits")],
)
def test_weights_that_are_nobodys_are_refused(models: str, weights: str) -> None:
    with pytest.raises(ValidationError, match="NAME=WEIGHTS"):
        VocalizrSettings(vocalizr_model=models, vocalizr_weights=weights)


def test_a_named_model_runs_on_ray_by_its_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = VocalizrSettings(vocalizr_model="narrator=fake", vocalizr_engine="ray")
    found: list[str] = []
    monkeypatch.setattr("vocalizr.app.application", lambda only, _: found.append(only.served_name))
    create_app(settings)
    assert found == ["narrator"]


@pytest.mark.parametrize(
    "more", [{"vocalizr_served_name": "tts-1"}, {"vocalizr_engine": "ray"}, {"vocalizr_model": "kokoro,remote"}]
)
def test_what_several_models_cannot_have_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        VocalizrSettings(**{"vocalizr_model": "kokoro,bark", **more})


@pytest.mark.parametrize("models", [",", "=coqui", "kokoro,kokoro", "kokoro, =coqui"])
def test_each_model_has_a_name_of_its_own(models: str) -> None:
    with pytest.raises(ValidationError, match="name each model once"):
        VocalizrSettings(vocalizr_model=models)


def test_a_device_on_which_no_model_computes_is_refused() -> None:
    with pytest.raises(ValidationError, match="leave it out"):
        VocalizrSettings(vocalizr_model="kokoro", vocalizr_device="cuda")
    assert VocalizrSettings(vocalizr_model="kokoro,bark", vocalizr_device="cuda").vocalizr_device == "cuda"
