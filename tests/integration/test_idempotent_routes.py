"""`Idempotency-Key` at a door: whose kept answer is given again, and what a store that goes away changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI

from chatacter.chassis.app import Service, build
from chatacter.chassis.auth import new_key, scope
from chatacter.chassis.errors import Unavailable
from chatacter.chassis.health import Health
from chatacter.chassis.settings import ServiceSettings
from chatacter.chassis.telemetry import telemetry_of
from chattr.adapters.fakes.cache import FakeIdempotency
from chattr.domain.identity import Owner
from chattr.ports.cache import KeptAnswer
from chattr.routes.idempotency import IdempotentRoute
from tests.served import served

pytestmark = pytest.mark.integration

KEY = {"idempotency-key": "1"}


class Away(FakeIdempotency):
    """A store that goes away once a key is claimed."""

    async def finish(self, owner: Owner, key: str, fingerprint: str, answer: KeptAnswer) -> None:
        raise Unavailable("The cache is away.")

    async def abandon(self, owner: Owner, key: str) -> None:
        raise Unavailable("The cache is away.")


def counting(settings: ServiceSettings, store: FakeIdempotency) -> FastAPI:
    """An application with one door that counts its calls."""
    router = APIRouter(route_class=IdempotentRoute, dependencies=[Depends(scope("chat"))])
    calls = iter(range(1, 100))

    @router.post("/count")
    async def count() -> dict[str, int]:
        return {"calls": next(calls)}

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        yield {"idempotency": store}

    telemetry = telemetry_of("test", settings)
    return build(Service("test", "Test", "0", Health(), lifespan, [router], telemetry), settings)


@asynccontextmanager
async def door(settings: ServiceSettings, store: FakeIdempotency) -> AsyncIterator[httpx.AsyncClient]:
    app = await asyncio.to_thread(counting, settings, store)
    async with served(app) as url, httpx.AsyncClient(base_url=url, timeout=60) as client:
        yield client


async def test_a_kept_answer_is_given_to_its_own_caller_only(tmp_path: Path) -> None:
    secrets, records = zip(
        *(
            new_key(name, "acme", scopes)
            for name, scopes in {"one": ["chat"], "two": ["chat"], "no": ["videos"]}.items()
        ),
        strict=True,
    )
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([record.model_dump(mode="json") for record in records]))
    one, two, no = ({**KEY, "authorization": f"Bearer {secret}"} for secret in secrets)
    async with door(ServiceSettings(require_api_key=True, api_keys_file=file), FakeIdempotency()) as client:
        answers = [
            await client.post("/count", headers=headers)
            for headers in (one, one, two, {**one, "x-chatacter-person": "bob"}, no)
        ]
    assert [answer.json().get("calls") for answer in answers] == [1, 1, 2, 3, None]
    assert answers[-1].status_code == 403


async def test_a_store_that_goes_away_does_not_cost_the_answer() -> None:
    async with door(ServiceSettings(), Away()) as client:
        answer = await client.post("/count", headers=KEY)
    assert (answer.status_code, answer.json()) == (200, {"calls": 1})


async def test_a_form_that_is_sent_again_is_the_same_whatever_its_boundary() -> None:
    async with door(ServiceSettings(), FakeIdempotency()) as client:

        async def sent(text: str) -> httpx.Response:  # each request draws its own boundary
            return await client.post("/count", headers=KEY, data={"prompt": text}, files={"picture": b"pixels"})

        first, again, other = await sent("Hi."), await sent("Hi."), await sent("Hello.")
    assert (first.json(), again.json(), other.status_code) == ({"calls": 1}, {"calls": 1}, 422)
    assert first.request.headers["content-type"] != again.request.headers["content-type"]
