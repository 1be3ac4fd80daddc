"""A chapter is said in the background, through the machinery of all jobs."""

import asyncio
from typing import Any

import pytest

from chatacter.chassis.errors import Busy, UpstreamFailed
from chattr.adapters.fakes.media import SOUND
from tests.media_rig import Rig, Rooms
from tests.waiting import until

pytestmark = pytest.mark.integration

SENTENCE = "The rain fell on the harbour, and nobody went out. "
CHAPTER = SENTENCE * 100  # 5,100 characters: three passages
ORDER: dict[str, Any] = {"model": "kokoro", "input": CHAPTER, "voice": "af_heart", "response_format": "pcm"}


async def ended(rig: Rig, job_id: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            job: dict[str, Any] = (await rig.web.get(f"/api/v1/jobs/{job_id}")).json()
            if job["status"] not in {"queued", "running"}:
                return job
            await asyncio.sleep(0.02)


async def test_a_chapter_is_said_passage_by_passage(rig: Rig) -> None:
    answer = await rig.web.post("/api/v1/jobs/speech", json=ORDER)
    assert answer.status_code == 202
    made = answer.json()
    assert (made["modality"], made["model"], made["status"]) == ("speech", "kokoro", "queued")
    assert answer.headers["location"] == f"/api/v1/jobs/{made['id']}"
    done = await ended(rig, made["id"])
    assert (done["status"], done["progress"]) == ("completed", 1.0)
    content = await rig.web.get(f"/api/v1/jobs/{made['id']}/content")
    assert (content.status_code, content.headers["content-type"]) == (200, "audio/pcm")
    assert content.content == b"".join(SOUND) * 3
    said = [request.input for request in rig.speaker.requests]
    assert " ".join(said) == CHAPTER.strip()
    assert max(len(part) for part in said) <= 2000
    assert [each["id"] for each in (await rig.web.get("/api/v1/jobs?modality=speech")).json()["data"]] == [made["id"]]
    assert (await rig.web.get(f"/v1/videos/{made['id']}")).status_code == 404
    assert (await rig.web.delete(f"/api/v1/jobs/{made['id']}")).status_code == 200
    for name in ("1", "text"):
        assert (await rig.web.get(f"/api/v1/media/{made['id']}-{name}")).status_code == 404


async def test_a_busy_speaker_is_waited_for_and_a_lost_one_asked_again(rig: Rig) -> None:
    rig.speaker.refusals += [Busy("Full.", retry_after=0.05)] * 2
    rig.speaker.lost_at = (1, UpstreamFailed("Lost."))
    made = (await rig.web.post("/api/v1/jobs/speech", json=ORDER)).json()
    await until(lambda: rig.speaker.stopped >= 1)
    rig.speaker.lost_at = None
    done = await ended(rig, made["id"])
    assert done["status"] == "completed"
    assert (await rig.web.get(f"/api/v1/jobs/{made['id']}/content")).content == b"".join(SOUND) * 3


async def test_progress_is_told_and_cancelling_hangs_up(rig: Rig) -> None:
    rig.speaker.hold_at = 1
    made = (await rig.web.post("/api/v1/jobs/speech", json=ORDER)).json()
    await until(lambda: rig.speaker.started == 1)
    assert (await rig.web.get("/api/v1/demand?modality=speech")).json()["outstanding"] == 1
    await rig.web.post(f"/api/v1/jobs/{made['id']}/cancel")
    await until(lambda: rig.speaker.stopped == 1)
    assert (await ended(rig, made["id"]))["status"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"input": " \n"}, 422, "input"),
        ({"input": "x" * 60_001}, 422, "input"),
        ({"response_format": "flac"}, 422, "response_format"),
        ({"model": "nothing"}, 404, "model"),
    ],
)
async def test_what_cannot_be_said_is_refused_at_once(
    rig: Rig, change: dict[str, Any], status: int, param: str
) -> None:
    answer = await rig.web.post("/api/v1/jobs/speech", json={**ORDER, **change})
    assert (answer.status_code, param in answer.text) == (status, True)
    assert await rig.jobs.outstanding() == {}


async def test_a_repeated_order_is_one_job(rig: Rig) -> None:
    key = {"idempotency-key": "chapter-1"}
    first = (await rig.web.post("/api/v1/jobs/speech", json=ORDER, headers=key)).json()
    await rig.forget_answers()
    second = (await rig.web.post("/api/v1/jobs/speech", json=ORDER, headers=key)).json()
    assert first["id"] == second["id"]
    await ended(rig, first["id"])
    assert rig.speaker.started == 3


async def test_without_voices_it_says_so(rooms: Rooms) -> None:
    async with rooms.rig(enabled=False) as rig:
        answer = await rig.web.post("/api/v1/jobs/speech", json=ORDER)
        assert (answer.status_code, "ENABLE_VOICE_GENERATION" in answer.text) == (422, True)
