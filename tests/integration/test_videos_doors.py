"""`/v1/videos` as clients use it: the official SDK, a real server, real Redis."""

from typing import Any

import pytest
from openai import NotFoundError, UnprocessableEntityError

from chatacter.chassis.errors import Busy
from chatacter.contracts.video import Video
from chattr.adapters.fakes.media import FILM
from tests.media_rig import Rig, Rooms, finished
from tests.waiting import eventually

pytestmark = pytest.mark.integration

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


async def test_the_official_client_films_a_prompt(rig: Rig) -> None:
    """`client.videos.create(model="portrait", prompt="…")`, as the OpenAI SDK sends it: multipart, nobody named."""
    video = await rig.openai.videos.create(model="portrait", prompt="Hello there.")
    assert (video.object, video.status, video.model) == ("video", "queued", "portrait")
    done = await rig.openai.videos.poll(video.id, poll_interval_ms=20)
    assert (done.status, done.progress, done.prompt) == ("completed", 100, "Hello there.")
    assert done.completed_at is not None
    assert rig.speaker.requests[0].voice == "af_heart"  # the default character's
    content = await rig.openai.videos.download_content(video.id)
    assert await content.aread() == FILM
    assert content.response.headers["content-type"] == "video/webm"
    gone = await rig.openai.videos.delete(video.id)
    assert gone.deleted
    with pytest.raises(NotFoundError):
        await rig.openai.videos.retrieve(video.id)


async def test_a_character_is_named_beside_openais_fields(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.", extra_body={"character": "ada", "fps": 8})
    assert (await finished(rig, video.id)).status == "completed"
    assert rig.filmer.requests[0].fps == 8
    body = {"model": "portrait", "prompt": "Hi.", "character": "ada", "fps": 9, "size": "128x128"}
    answer = await rig.web.post("/v1/videos", json=body)
    assert answer.status_code == 200
    assert (answer.json()["character"], answer.json()["size"]) == ("ada", "128x128")
    assert answer.headers["openai-poll-after-ms"]
    assert (await finished(rig, answer.json()["id"])).status == "completed"
    assert rig.filmer.requests[1].fps == 9


async def test_a_picture_is_uploaded_as_a_file_or_as_data(rig: Rig) -> None:
    uploaded = await rig.openai.videos.create(prompt="Hi.", input_reference=("me.bin", PNG))
    by_url = "data:image/png;base64,iVBORw0KGgo="
    referred = await rig.openai.videos.create(prompt="Hi.", extra_body={"input_reference": {"image_url": by_url}})
    in_json = {"prompt": "Hi.", "input_reference": {"image_url": by_url}}
    written = Video.model_validate((await rig.web.post("/v1/videos", json=in_json)).json())
    for video in (uploaded, referred, written):
        assert (await finished(rig, video.id)).status == "completed"
    assert rig.filmer.requests[0].image_reference.startswith("data:image/png;base64,iVBOR")
    assert [shot.image_reference for shot in rig.filmer.requests[1:]] == [by_url, by_url]


async def test_a_sound_replaces_the_voice(rig: Rig) -> None:
    sound = "data:audio/wav;base64,UklGRg=="
    answer = await rig.web.post("/v1/videos", json={"audio_reference": sound})
    assert (await finished(rig, answer.json()["id"])).status == "completed"
    assert rig.speaker.started == 0
    assert rig.filmer.requests[0].audio_reference == sound


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({}, 422, "prompt"),
        ({"prompt": "   "}, 422, "prompt"),
        ({"prompt": "*smiles* [nods]"}, 422, "prompt"),
        ({"prompt": "[emotion=hungry] Hm."}, 422, "prompt"),
        ({"prompt": "x", "emotion": "hungry"}, 422, "emotion"),
        ({"prompt": "x" * 5000}, 422, "prompt"),
        ({"prompt": "x", "size": "big"}, 422, "size"),
        ({"prompt": "x", "size": "32x32"}, 422, "size"),
        ({"prompt": "x", "size": "101x101"}, 422, "size"),
        ({"prompt": "x", "seconds": "4"}, 422, "seconds"),
        ({"prompt": "x", "character": "nobody"}, 404, "character"),
        ({"prompt": "x", "character": "voice_only"}, 422, "character"),
        ({"prompt": "x", "model": "sora-2"}, 404, "model"),
        ({"prompt": "x", "input_reference": {"image_url": "https://example.com/a.png"}}, 422, "input_reference"),
        ({"prompt": "x", "input_reference": {"file_id": "file_1"}}, 422, "input_reference"),
        ({"prompt": "x", "image_reference": "data:text/html;base64,AAAA"}, 422, "input_reference"),
    ],
)
async def test_what_cannot_be_filmed_is_refused_at_once(
    rig: Rig, body: dict[str, Any], status: int, param: str
) -> None:
    answer = await rig.web.post("/v1/videos", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)
    assert await rig.jobs.outstanding() == {}
    with pytest.raises((NotFoundError, UnprocessableEntityError)):  # and the same by multipart
        await rig.openai.videos.create(prompt=body.get("prompt", ""), extra_body=body)


@pytest.mark.parametrize("model", ["portrait", "svd"])
async def test_a_length_in_seconds_is_refused_with_what_decides_it(rig: Rig, model: str) -> None:
    rig.filmer.served.append("svd")
    answer = await rig.web.post("/v1/videos", json={"prompt": "x", "model": model, "seconds": "4"})
    told = answer.json()["error"]["message"]
    assert all(named in told for named in ("what is said", "`num_frames` at `fps`", "leave `seconds` out"))


async def test_an_upload_that_is_no_picture_is_refused(rig: Rig) -> None:
    with pytest.raises(UnprocessableEntityError):
        await rig.openai.videos.create(prompt="Hi.", input_reference=("a.png", b"#!/bin/sh"))
    cut = await rig.web.post("/v1/videos", content=b"{", headers={"content-type": "application/json"})
    assert (cut.status_code, "not JSON" in cut.json()["error"]["message"]) == (422, True)
    broken = {"content-type": "multipart/form-data; boundary=x"}
    assert (await rig.web.post("/v1/videos", content=b"--y", headers=broken)).status_code in {400, 422}


async def test_while_the_predictor_sleeps_the_job_waits(rooms: Rooms) -> None:
    async with rooms.rig() as rig:
        rig.filmer.refusals += [Busy("Full.", retry_after=0.2)]
        video = await rig.openai.videos.create(prompt="Hi.")

        async def waits() -> bool:
            return bool((await rig.web.get(f"/v1/videos/{video.id}")).json()["phase"] == "waiting_for_gpu")

        await eventually(waits)
        answer = await rig.web.get(f"/v1/videos/{video.id}/content")
        assert (answer.status_code, "not finished" in answer.json()["error"]["message"]) == (409, True)
        assert (await finished(rig, video.id)).status == "completed"


async def test_videos_are_listed_in_pages(rig: Rig) -> None:
    ids = [(await rig.openai.videos.create(prompt=f"Film {number}.")).id for number in range(5)]
    for video_id in ids:
        await finished(rig, video_id)
    listed = [video.id async for video in rig.openai.videos.list(limit=2)]
    assert listed == ids[::-1]
    page = await rig.openai.videos.list(limit=2, order="asc")
    assert ([video.id for video in page.data], page.has_more, page.last_id) == (ids[:2], True, ids[1])
    assert (await rig.web.get("/v1/videos?limit=0")).status_code == 422
    unknown = await rig.web.get("/v1/videos?after=video_0")
    assert (unknown.status_code, unknown.json()["error"]["param"]) == (404, "after")
    met = []
    async for video in rig.openai.videos.list(limit=2):  # as people clear up
        met.append(video.id)
        await rig.openai.videos.delete(video.id)
    assert met == ids[::-1]


async def test_a_film_is_read_in_parts(rig: Rig) -> None:
    video = await rig.openai.videos.create(prompt="Hi.")
    await finished(rig, video.id)
    path = f"/v1/videos/{video.id}/content"
    whole = await rig.web.get(path)
    assert (whole.status_code, whole.content, whole.headers["accept-ranges"]) == (200, FILM, "bytes")
    assert "sandbox" in whole.headers["content-security-policy"]
    size = len(FILM)
    for asked, status, content in (
        ("bytes=0-3", 206, FILM[:4]),
        ("bytes=4-", 206, FILM[4:]),
        ("bytes=-3", 206, FILM[-3:]),
        (f"bytes=2-{size + 99}", 206, FILM[2:]),
        (f"bytes=0-{size - 1}", 200, FILM),
        ("bytes=0-1,3-4", 200, FILM),
        ("nonsense", 200, FILM),
    ):
        part = await rig.web.get(path, headers={"range": asked})
        assert (part.status_code, part.content) == (status, content), asked
    assert (await rig.web.get(path, headers={"range": "bytes=1-2"})).headers["content-range"] == f"bytes 1-2/{size}"
    beyond = await rig.web.get(path, headers={"range": f"bytes={size}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{size}")
    same = await rig.web.get(path, headers={"if-none-match": whole.headers["etag"]})
    assert same.status_code == 304
    other = await rig.web.get(path, headers={"range": "bytes=0-1", "if-range": '"another"'})
    assert other.status_code == 200
    asset_id = f"{video.id}-1"
    assert (await rig.web.get(f"/api/v1/media/{asset_id}")).content == FILM
    assert (await rig.web.get("/api/v1/media/nothing")).status_code == 404
    assert (await rig.web.get("/api/v1/media/..%2f..%2fetc")).status_code == 404


async def test_another_tenant_or_nobody_gets_nothing(rig: Rig) -> None:
    assert (await rig.web.get("/v1/videos/video_0/content")).status_code == 404
    assert (await rig.web.delete("/v1/videos/video_0")).status_code == 404
    assert (await rig.web.get("/api/v1/jobs/video_0")).status_code == 404


async def test_a_repeated_order_is_one_film(rig: Rig) -> None:
    key = {"idempotency-key": "order-1"}
    first = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    second = await rig.web.post("/v1/videos", json={"prompt": "Hello."}, headers=key)
    assert first.json()["id"] == second.json()["id"]
    await finished(rig, first.json()["id"])
    assert rig.filmer.started == 1
