"""Voices of one's own at KServe's doors: the tenant's, as at OpenAI's."""

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.tone_people import ears
from tests.vocalizr_server import vocalizr
from vocalizr.backends.fake import FakeSpeech

pytestmark = pytest.mark.integration

TENANT = {"x-chatacter-tenant": "acme"}
OTHER = {"x-chatacter-tenant": "evil"}
BLEND = {"name": "Middle", "blend": {"high": 1, "low": 1}}


async def predicted(client: httpx.AsyncClient, row: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    """Ask by the first protocol."""
    return await client.post("/v1/models/fake:predict", json={"instances": [row]}, headers=headers)


async def inferred(client: httpx.AsyncClient, row: dict[str, Any], headers: dict[str, str]) -> httpx.Response:
    """Ask by the second."""
    tensors = [{"name": name, "shape": [1], "datatype": "BYTES", "data": [value]} for name, value in row.items()]
    return await client.post("/v2/models/fake/infer", json={"inputs": tensors}, headers=headers)


@pytest.mark.parametrize("asked", [predicted, inferred])
async def test_a_row_may_name_a_voice_of_the_tenants_own(asked: Any, tmp_path: Path) -> None:
    async with vocalizr(FakeSpeech(), ears=ears(), vocalizr_voices_url=tmp_path.as_uri()) as client:
        voice = (await client.post("/v1/audio/voices", json=BLEND, headers=TENANT)).json()["id"]
        row = {"input": "Hello there.", "voice": voice, "response_format": "pcm"}
        said = await client.post("/v1/audio/speech", json={"model": "fake", **row}, headers=TENANT)
        answer = await asked(client, row, TENANT)
        assert answer.status_code == 200, answer.text
        assert base64.b64encode(said.content).decode() in answer.text
        for headers in (OTHER, {}):
            assert (await asked(client, row, headers)).status_code == 404
