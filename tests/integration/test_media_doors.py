"""The doors to speech, jobs, demand and KServe as clients use them."""

import pytest
from openai import NotFoundError

from chattr.adapters.fakes.media import SOUND
from tests.media_rig import Rig, Rooms
from tests.waiting import eventually, until

pytestmark = pytest.mark.integration


async def test_jobs_are_seen_and_cancelled(rig: Rig) -> None:
    rig.filmer.hold_at = 1
    video = await rig.openai.videos.create(prompt="Hi.")
    await until(lambda: rig.filmer.started == 1)
    job = (await rig.web.get(f"/api/v1/jobs/{video.id}")).json()
    assert (job["object"], job["modality"], job["status"], job["attempts"]) == ("job", "video", "running", 1)
    cancelled = (await rig.web.post(f"/api/v1/jobs/{video.id}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    await until(lambda: rig.filmer.stopped == 1)  # the hang-up reached the predictor
    assert rig.filmer.finished == 0
    seen = await rig.openai.videos.retrieve(video.id)
    assert (seen.status, seen.error and seen.error.code) == ("failed", "cancelled")
    listed = (await rig.web.get("/api/v1/jobs")).json()
    assert [each["id"] for each in listed["data"]] == [video.id]
    assert (await rig.web.post("/api/v1/jobs/video_0/cancel")).status_code == 404


async def test_demand_is_one_number_for_a_model(rig: Rig) -> None:
    rig.filmer.hold_at = rig.speaker.hold_at = 1
    assert (await rig.web.get("/api/v1/demand")).json() == {"outstanding": 0, "models": []}
    say = {"model": "kokoro", "input": "Hello.", "voice": "af_heart", "response_format": "pcm"}
    async with rig.web.stream("POST", "/v1/audio/speech", json=say) as speaking:
        assert speaking.status_code == 200
        for _ in range(2):
            await rig.web.post("/v1/videos", json={"audio_reference": "data:audio/wav;base64,UklGRg=="})
        asked = "/api/v1/demand?modality=video&model=portrait"
        assert (await rig.web.get(asked)).json()["outstanding"] == 2
        assert (await rig.web.get("/api/v1/demand?modality=speech&model=kokoro")).json()["outstanding"] == 1
        assert (await rig.web.get("/api/v1/demand")).json()["outstanding"] == 3
    rig.filmer.released.set()

    async def nothing_left() -> bool:
        return bool((await rig.web.get("/api/v1/demand")).json()["outstanding"] == 0)

    await eventually(nothing_left)


async def test_speech_streams_and_a_hang_up_stops_it(rig: Rig) -> None:
    async with rig.openai.audio.speech.with_streaming_response.create(
        model="kokoro", voice="ada", input="Hello.", response_format="wav"
    ) as response:
        assert b"".join([part async for part in response.iter_bytes()]) == b"".join(SOUND)
        assert response.headers["content-type"] == "audio/wav"
    assert rig.speaker.requests[0].voice == "af_heart"  # a character's voice
    await rig.openai.audio.speech.create(model="kokoro", voice="bm_george", input="Hello.")
    assert rig.speaker.requests[1].voice == "bm_george"
    rig.speaker.hold_at = 1
    stopped = rig.speaker.stopped
    async with rig.openai.audio.speech.with_streaming_response.create(
        model="kokoro", voice="ada", input="Hello."
    ) as response:
        await anext(response.iter_bytes(4))
        assert rig.speaker.stopped == stopped
    await until(lambda: rig.speaker.stopped == stopped + 1)
    assert rig.speaker.finished == 2


async def test_speech_comes_as_events_too(rig: Rig) -> None:
    body = {"model": "kokoro", "voice": "ada", "input": "Hello.", "stream_format": "sse", "response_format": "pcm"}
    answer = await rig.web.post("/v1/audio/speech", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("speech.audio.delta") == 3
    assert "speech.audio.done" in answer.text


@pytest.mark.parametrize("model", ["", "tts-1"])
async def test_an_empty_or_unknown_speech_model_lists_those_served(rig: Rig, model: str) -> None:
    with pytest.raises(NotFoundError, match="kokoro"):
        await rig.openai.audio.speech.create(model=model, voice="ada", input="Hello.")


async def test_voices_are_listed(rig: Rig) -> None:
    voices = (await rig.web.get("/v1/audio/voices")).json()
    assert [voice["id"] for voice in voices["data"]] == ["af_heart", "bm_george"]


async def test_kserves_protocols_pass_through_and_are_counted(rig: Rig) -> None:
    rig.kserve.hold_at = 1
    body = b'{"instances": [{"input": "Hi."}]}'
    async with rig.web.stream("POST", "/v1/models/kokoro:predict", content=body) as answer:
        chunks = answer.aiter_bytes()
        assert await anext(chunks) == b"POST /v1/models/kokoro:predict "
        assert await rig.demand.outstanding() == {("speech", "kokoro"): 1}
        rig.kserve.released.set()
        assert await anext(chunks) == body

    async def nothing_held() -> bool:
        return not await rig.demand.outstanding()

    await eventually(nothing_held)
    for path, told in (
        ("/v2/models/kokoro", b"GET /v2/models/kokoro "),
        ("/v2/models/kokoro/ready", b"GET /v2/models/kokoro/ready "),
    ):
        assert (await rig.web.get(path)).content == told
    tensors = {"content-type": "application/octet-stream", "inference-header-content-length": "9"}
    await rig.web.post("/v2/models/portrait/infer", content=b"12345", headers=tensors)
    method, path, sent, headers = rig.kserve.requests[-1]
    assert (method, path, sent) == ("POST", "/v2/models/portrait/infer", b"12345")
    assert headers["inference-header-content-length"] == "9"
    assert (await rig.web.get("/v2/models")).json() == {"models": ["kokoro", "portrait"], "away": {}}
    missing = await rig.web.post("/v2/models/bert/infer", content=b"{}")
    assert (missing.status_code, "kokoro, portrait" in missing.json()["detail"]) == (404, True)


async def test_a_hang_up_stops_a_prediction(rig: Rig) -> None:
    rig.kserve.hold_at = 1
    async with rig.web.stream("POST", "/v1/models/kokoro:predict", content=b"{}") as answer:
        await anext(answer.aiter_bytes())
    await until(lambda: rig.kserve.stopped == 1)
    assert rig.kserve.finished == 0


async def test_switched_off_says_so_and_looks_for_nobody(rooms: Rooms) -> None:
    async with rooms.rig(enabled=False) as rig:
        say = {"model": "kokoro", "input": "Hello.", "voice": "ada"}
        for answer in (
            await rig.web.post("/v1/audio/speech", json=say),
            await rig.web.get("/v1/audio/voices"),
            await rig.web.post("/v1/videos", json={"prompt": "Hello."}),
            await rig.web.post("/v2/models/kokoro/infer", content=b"{}"),
        ):
            assert answer.status_code == 422
            assert "switched off" in answer.text
        assert (await rig.web.get("/v1/videos")).json()["data"] == []
        assert not rig.speaker.requests
        assert not rig.kserve.requests
