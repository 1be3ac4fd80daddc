"""Jobs as clients see them: place in line, estimate, attempts, dead letters, events; and what films are made into."""

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest

from chatacter.contracts.video import Rendition, VideoFailed
from chattr.adapters.fakes.media import FILM
from tests.media_rig import Rig, finished
from tests.waiting import until

pytestmark = pytest.mark.integration

STILL = b"\xff\xd8\xff still"
SOUND = {"audio_reference": "data:audio/wav;base64,UklGRg=="}
NEVER = VideoFailed(code="invalid_input", message="Nothing is seen there.", retryable=False)


async def events_of(answer: httpx.Response) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    """The id, the type and the data of each event."""
    event: dict[str, str] = {}
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if line and name:
            event[name] = value
        elif not line and "data" in event:
            yield event.get("id", ""), event["event"], orjson.loads(event["data"])
            event = {}


async def job(rig: Rig, job_id: str) -> dict[str, Any]:
    answer = await rig.web.get(f"/api/v1/jobs/{job_id}")
    assert answer.status_code == 200
    return answer.json()  # type: ignore[no-any-return]


async def test_a_film_s_small_forms_are_kept_and_served(rig: Rig) -> None:
    for variant, kind in (("thumbnail", "image/jpeg"), ("spritesheet", "image/png"), ("preview", "image/webp")):
        data = base64.b64encode(STILL + variant.encode()).decode()
        rig.filmer.renditions.append(Rendition(variant=variant, media_type=kind, data=data))
    video = await rig.openai.videos.create(prompt="Hi.")
    await finished(rig, video.id)
    for variant, kind in (("thumbnail", "image/jpeg"), ("spritesheet", "image/png")):
        content = await rig.openai.videos.download_content(video.id, variant=variant)  # type: ignore[arg-type]
        assert await content.aread() == STILL + variant.encode()
        assert content.response.headers["content-type"] == kind
    assert (await rig.web.get(f"/v1/videos/{video.id}/content?variant=preview")).content == STILL + b"preview"
    assert (await rig.web.get(f"/v1/videos/{video.id}/content?variant=poster")).status_code == 422
    await rig.openai.videos.delete(video.id)
    assert (await rig.web.get(f"/api/v1/media/{video.id}-1-thumbnail")).status_code == 404


async def test_a_model_that_makes_no_thumbnail_says_so(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.")
    await finished(rig, video.id)
    answer = await rig.web.get(f"/v1/videos/{video.id}/content?variant=thumbnail")
    assert (answer.status_code, answer.json()["error"]["param"]) == (404, "variant")
    assert "portrait, makes none" in answer.json()["error"]["message"]


async def test_a_video_is_remixed(rig: Rig) -> None:
    order = {"prompt": "Hi.", "character": "ada", "size": "128x128", "seed": 5}
    first = (await rig.web.post("/v1/videos", json=order)).json()
    too_early = await rig.web.post(f"/v1/videos/{first['id']}/remix", json={"prompt": "Bye."})
    assert too_early.status_code in {200, 409}
    await finished(rig, first["id"])
    remixed = await rig.openai.videos.remix(first["id"], prompt="Something else.")
    assert remixed.remixed_from_video_id == first["id"]
    await rig.openai.videos.delete(first["id"])  # it stands for itself
    done = await finished(rig, remixed.id)
    assert (done.status, done.prompt, done.remixed_from_video_id) == ("completed", "Something else.", first["id"])
    shot = rig.filmer.requests[-1]
    assert (shot.width, shot.seed) == (128, 5)
    assert shot.image_reference == rig.filmer.requests[0].image_reference
    assert rig.speaker.requests[-1].input == "Something else."
    assert (await rig.web.post("/v1/videos/video_0/remix", json={"prompt": "x"})).status_code == 404
    assert (await rig.web.post(f"/v1/videos/{remixed.id}/remix", json={"prompt": " "})).status_code == 422
    silent = (await rig.web.post("/v1/videos", json=SOUND)).json()
    await finished(rig, silent["id"])
    refused = await rig.web.post(f"/v1/videos/{silent['id']}/remix", json={"prompt": "x"})
    assert (refused.status_code, "sound was sent" in refused.json()["error"]["message"]) == (422, True)


async def test_an_order_s_key_outlives_its_kept_answer(rig: Rig) -> None:
    """The answers that are kept for a key may be evicted; the jobs' own memory of it may not."""
    key = {"idempotency-key": "order-7"}
    first = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    await rig.forget_answers()
    second = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    assert "idempotent-replayed" not in second.headers
    assert first.json()["id"] == second.json()["id"]
    await rig.forget_answers()
    other = await rig.web.post("/v1/videos", json={"prompt": "Bye."}, headers=key)
    assert (other.status_code, other.json()["error"]["param"]) == (422, "Idempotency-Key")
    await finished(rig, first.json()["id"])
    assert rig.filmer.started == 1


async def test_place_in_line_and_estimate_are_told(rig: Rig) -> None:
    for _ in range(3):
        await finished(rig, (await rig.web.post("/v1/videos", json=SOUND)).json()["id"])
    rig.filmer.hold_at = 1
    ids = [(await rig.web.post("/v1/videos", json=SOUND)).json()["id"] for _ in range(3)]
    await until(lambda: rig.filmer.started == 4)
    running, second, third = [await job(rig, job_id) for job_id in ids]
    assert (running["status"], "position" in running) == ("running", False)
    assert (second["position"], third["position"]) == (1, 2)
    assert 0 <= second["estimate"]["begins_in"] < third["estimate"]["begins_in"]
    assert third["estimate"]["begins_in"] < third["estimate"]["ends_in"] < 60
    assert third["estimate"]["samples"] == 3
    rig.filmer.released.set()
    await finished(rig, ids[-1])


async def test_dead_letters_are_listed_inspected_and_tried_again(rig: Rig) -> None:
    rig.filmer.failure = NEVER
    video = (await rig.web.post("/v1/videos", json=SOUND)).json()
    assert (await finished(rig, video["id"])).status == "failed"
    fine = (await rig.web.post("/v1/videos", json={**SOUND, "priority": "low"})).json()
    rig.filmer.failure = None
    listed = (await rig.web.get("/api/v1/jobs?status=failed")).json()["data"]
    assert video["id"] in [each["id"] for each in listed]
    dead = await job(rig, video["id"])
    assert dead["error"] == {"code": "invalid_input", "message": "Nothing is seen there."}
    assert [(each["outcome"], each["worker"], each["error"]["code"]) for each in dead["history"]] == [
        ("failed", "w", "invalid_input")
    ]
    again = await rig.web.post(f"/api/v1/jobs/{video['id']}/retry")
    assert (again.status_code, again.json()["status"], again.json()["attempts"]) == (200, "queued", 0)
    assert (await finished(rig, video["id"])).status == "completed"
    done = await rig.web.post(f"/api/v1/jobs/{video['id']}/retry")
    assert (done.status_code, "completed" in done.json()["detail"]) == (409, True)
    assert (await rig.web.get(f"/api/v1/jobs/{video['id']}/content")).content == FILM
    await finished(rig, fine["id"])


async def test_a_job_is_removed_with_what_it_made(rig: Rig) -> None:
    video = (await rig.web.post("/v1/videos", json=SOUND)).json()
    await finished(rig, video["id"])
    assert (await rig.web.delete(f"/api/v1/jobs/{video['id']}")).json()["deleted"] is True
    assert (await rig.web.get(f"/api/v1/jobs/{video['id']}")).status_code == 404
    assert (await rig.web.get(f"/api/v1/media/{video['id']}-1")).status_code == 404
    for path in ("retry", "cancel"):
        assert (await rig.web.post(f"/api/v1/jobs/{video['id']}/{path}")).status_code == 404
    told = (await rig.web.get(f"/api/v1/jobs/{video['id']}/events")).text  # for a minute those who follow learn of it
    assert told.rstrip().rpartition("event: ")[2].startswith("job.deleted")
    assert (await rig.web.get("/api/v1/jobs/video_0/events")).status_code == 404


async def test_what_was_not_begun_in_time_fails(rig: Rig) -> None:
    rig.filmer.hold_at = 1
    running = (await rig.web.post("/v1/videos", json=SOUND)).json()["id"]
    await until(lambda: rig.filmer.started == 1)
    late = (await rig.web.post("/v1/videos", json={**SOUND, "expires_after": 1})).json()["id"]
    assert (await job(rig, late))["expires_at"] > 0
    await asyncio.sleep(1.1)
    rig.filmer.released.set()
    await finished(rig, running)
    done = await finished(rig, late)
    assert (done.status, done.error and done.error.code) == ("failed", "expired")


async def test_events_are_followed_and_resumed(rig: Rig) -> None:
    rig.filmer.hold_at = 1
    video = (await rig.web.post("/v1/videos", json=SOUND)).json()
    await until(lambda: rig.filmer.started == 1)
    path = f"/api/v1/jobs/{video['id']}/events"
    async with rig.web.stream("GET", path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen = []
        async for event_id, kind, data in events_of(answer):
            seen.append((event_id, kind, data))
            if data.get("phase") == "filming":
                break
    assert [kind for _, kind, _ in seen][:2] == ["job.queued", "job.running"]
    rig.filmer.released.set()
    async with rig.web.stream("GET", path, headers={"last-event-id": seen[-1][0]}) as answer:
        rest = [event async for event in events_of(answer)]
    assert rest[-1][1] == "job.completed"
    assert rest[-1][2]["progress"] == 1.0
    assert not {event_id for event_id, _, _ in rest} & {event_id for event_id, _, _ in seen}
    over = await rig.web.get(path, headers={"last-event-id": rest[-1][0]})
    assert (over.status_code, over.content) == (204, b"")
    assert (await rig.web.get(path, headers={"last-event-id": "$"})).status_code == 422


async def test_those_who_wait_hear_how_they_move_up(rig: Rig) -> None:
    rig.filmer.hold_at = 1
    first = (await rig.web.post("/v1/videos", json=SOUND)).json()["id"]
    await until(lambda: rig.filmer.started == 1)
    waiting = (await rig.web.post("/v1/videos", json=SOUND)).json()["id"]
    async with rig.web.stream("GET", f"/api/v1/jobs/{waiting}/events") as answer, asyncio.timeout(10):
        kinds = []
        async for _, kind, data in events_of(answer):
            kinds.append(kind)
            if kind == "job.position":
                assert data == {"position": 1}
                rig.filmer.released.set()
    assert kinds[:2] == ["job.queued", "job.position"]
    assert kinds[-1] == "job.completed"
    await finished(rig, first)


async def test_an_address_opens_one_file_for_a_while(rig: Rig) -> None:
    video = (await rig.web.post("/v1/videos", json=SOUND)).json()
    done = await finished(rig, video["id"])
    assert done.expires_at - done.completed_at == 30 * 86_400
    link = (await rig.web.post(f"/api/v1/media/{video['id']}-1/link", json={"expires_in": 60})).json()
    answer = await rig.web.get(link["url"])
    assert (answer.status_code, answer.content) == (200, FILM)
    part = await rig.web.get(link["url"], headers={"range": "bytes=0-3"})
    assert (part.status_code, part.content) == (206, FILM[:4])
    for changed in (
        link["url"].replace("-1/signed", "-sound/signed"),
        link["url"].replace("tenant=default", "tenant=other"),
        link["url"].replace("expires=", "expires=9"),
        link["url"][:-1] + ("0" if link["url"][-1] != "0" else "1"),
        link["url"].partition("?")[0],
    ):
        assert (await rig.web.get(changed)).status_code == 401, changed
    short = (await rig.web.post(f"/api/v1/media/{video['id']}-1/link", json={"expires_in": 60})).json()
    assert (await rig.web.get(short["url"])).status_code == 200
    rig.links.ahead = 61
    over = await rig.web.get(short["url"])
    assert (over.status_code, "run out" in over.json()["detail"]) == (401, True)
    rig.links.ahead = 0
    assert (await rig.web.post("/api/v1/media/nothing/link")).status_code == 404
    await rig.openai.videos.delete(video["id"])
    assert (await rig.web.get(link["url"])).status_code == 404
