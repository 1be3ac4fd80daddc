"""Chattr's door to speech: a chapter is heard to its end, however little `VOCALIZR__TIMEOUT` gives its beginning."""

import asyncio
from pathlib import Path

import httpx
import pytest

from chattr.adapters.fakes.media import SOUND, FakeFilmer, FakeSpeaker
from tests.predictor_server import Seen, predictor_app
from tests.redis_server import RedisServer
from tests.served import served
from tests.service_process import running

pytestmark = pytest.mark.integration


class Unhurried(FakeSpeaker):
    """Takes longer for the whole than is given for the beginning."""

    async def step(self, number: int) -> None:
        """Wait before each piece."""
        await super().step(number)
        await asyncio.sleep(0.8)


def heard(folder: Path, redis: str, voice: str) -> httpx.Response:
    told = {
        "RECORDS__URL": redis,
        "MODEL__URL": voice,
        "MODEL__NAME": "nobody",
        "VOCALIZR__URL": voice,
        "VOCALIZR__TIMEOUT": "2",
        "ENABLE_VIDEO_GENERATION": "false",
        "ENABLE_LONG_TERM_MEMORY": "false",
        "ENABLE_UI": "false",
    }
    asked = {"model": "kokoro", "input": "A chapter.", "voice": "af_heart", "response_format": "wav"}
    with running("chattr", folder, told) as chattr:
        return httpx.post(f"{chattr.url}/v1/audio/speech", json=asked, timeout=30, trust_env=False)


async def test_a_chapter_is_heard_to_its_end(tmp_path: Path, redis_server: RedisServer) -> None:
    async with served(predictor_app(Unhurried(), FakeFilmer(), Seen())) as voice:
        answer = await asyncio.to_thread(heard, tmp_path, redis_server.url, voice)
    assert answer.status_code == 200
    assert answer.content == b"".join(SOUND)
