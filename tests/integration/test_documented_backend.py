"""The backend that docs/adding-a-backend.md shows, as it stands there: it speaks through Vocalizr's door."""

import io
import re
import wave
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.architecture.repository import ROOT
from tests.served import served
from vocalizr.app import application
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.integration

BLOCK = re.compile(r"^## A speech backend\n\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def app() -> FastAPI:
    """Vocalizr around the page's backend."""
    found = BLOCK.search((ROOT / "docs" / "adding-a-backend.md").read_text("utf-8"))
    assert found, "the page has no example"
    names: dict[str, Any] = {}
    exec(compile(found[1], "docs/adding-a-backend.md", "exec", dont_inherit=True), names)
    settings = VocalizrSettings(vocalizr_model="hum")
    return application(settings, names["create"](settings))


async def test_the_documented_backend_speaks(app: FastAPI) -> None:
    speech = {"model": "hum", "voice": "hum", "input": "Good evening.", "response_format": "wav"}
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        answer = await client.post("/v1/audio/speech", json=speech)
        refused = await client.post("/v1/audio/speech", json={**speech, "speed": 2})
    assert answer.status_code == 200, answer.text
    with wave.open(io.BytesIO(answer.content)) as sound:
        assert sound.getframerate() == 24_000
        assert len(sound.readframes(10**6)) // 2 >= 0.08 * 24_000 * len("Goodevening.")
    assert refused.status_code == 422
