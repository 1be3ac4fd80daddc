"""Chattr and its dispatchers as rendered, and predictors that wait for a test's word."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chattr.adapters.fakes.media import FakeFilmer, FakeSpeaker
from tests.fake_llm_server import FakeLLMServer
from tests.pods.installed import Operator, installed, world
from tests.pods.release import Release
from tests.predictor_server import Seen, predictor_app
from tests.served import served

ORDER = {"model": "portrait", "prompt": "Good evening.", "character": "ada"}
VALUES: dict[str, Any] = {
    "inference": {"models": {"robot": {"modality": "speech", "backend": "kokoro", "servedName": "robot-1"}}},
    "dispatcher": {"concurrency": 2, "shutdownGrace": 2},
    "qdrant": {"enabled": False},
    "longTermMemory": {"enabled": False},
}


@dataclass
class Town:
    """`web` asks as anybody, `client` as a person with a key. The dispatchers are for the test to start."""

    release: Release
    speaker: FakeSpeaker
    robot: FakeSpeaker
    filmer: FakeFilmer
    web: httpx.AsyncClient
    client: httpx.AsyncClient

    async def order(self) -> str:
        """Order a film; returns the job's id."""
        return str((await self.client.post("/v1/videos", json=ORDER)).raise_for_status().json()["id"])

    async def job(self, job_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = (await self.client.get(f"/api/v1/jobs/{job_id}")).raise_for_status().json()
        return found


@asynccontextmanager
async def built(operator: Operator, llm: FakeLLMServer, folder: Path, models: Path) -> AsyncIterator[Town]:
    speaker, robot, filmer = FakeSpeaker(["kokoro"]), FakeSpeaker(["robot-1"]), FakeFilmer()
    async with AsyncExitStack() as stack:
        voices = await stack.enter_async_context(served(predictor_app(speaker, filmer, Seen())))
        robots = await stack.enter_async_context(served(predictor_app(robot, FakeFilmer([]), Seen())))
        near, far = voices.removeprefix("http://"), robots.removeprefix("http://")
        around = world(llm, voice=near, portrait=near, robot=far)
        pods = installed(operator.values(**VALUES), folder, models, {"chattr": 1, "dispatcher": 2}, around)
        release = await asyncio.to_thread(pods.__enter__)
        stack.push_async_callback(asyncio.to_thread, pods.__exit__, None, None, None)
        await asyncio.to_thread(release.ready, "chattr")
        web = await stack.enter_async_context(httpx.AsyncClient(timeout=20))
        base = f"http://{release.addresses.reached('chatacter-chattr', 8000)}"
        headers = {"authorization": f"Bearer {operator.key}"}
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=base, headers=headers, timeout=60))
        yield Town(release, speaker, robot, filmer, web, client)
        for fake in (speaker, robot, filmer):
            fake.released.set()
