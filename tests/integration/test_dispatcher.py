"""Jobs survive their workers: leases, fences, hand-backs and one publication, over Redis and in memory."""

import asyncio
import base64
import os
import signal

import pytest

from chattr.adapters.fakes.casting import SVG
from chattr.adapters.fakes.media import FILM, SOUND
from chattr.dispatcher import Pace, until_signalled
from chattr.usecases.filming import finished_wav
from tests.studio import ANNA, Studio
from tests.waiting import until

pytestmark = pytest.mark.integration


async def test_a_character_is_filmed_with_what_it_says(studio: Studio) -> None:
    studio.start(studio.dispatcher())
    video = await studio.order(size="256x320", fps=10, seed=3)
    assert (video.status, video.progress, video.character, video.size) == ("queued", 0, "ada", "256x320")
    job = await studio.reached(video.id, "completed")
    said, shot = studio.speaker.requests[0], studio.filmer.requests[0]
    assert (said.input, said.voice, said.model, said.timings) == ("Hello there.", "af_heart", "kokoro", True)
    assert base64.b64decode(shot.image_reference.partition(",")[2]) == SVG
    assert base64.b64decode(shot.audio_reference.partition(",")[2]) == finished_wav(b"".join(SOUND))
    assert len(shot.phonemes) == 3
    assert (shot.width, shot.height, shot.fps, shot.seed) == (256, 320, 10, 3)
    asset = await studio.film.content(ANNA, video.id)
    assert asset.id == f"{video.id}-1"
    assert b"".join([part async for part in studio.assets.read(ANNA.shared, asset.id)]) == FILM
    seen = await studio.film.get(ANNA, video.id)
    assert (seen.status, seen.progress, seen.seconds, seen.size) == ("completed", 100, "0.3", "512x512")
    assert job.attempts == 1
    assert studio.jobs.completed == [video.id]


async def test_directions_are_acted_and_never_spoken(studio: Studio) -> None:
    """What Chattr has spoken is the text without them; the camera gets the whole, to act it at its words."""
    studio.start(studio.dispatcher())
    written = "[smiles] Good evening! *looks away* It is *very* late, [sad] my friend."
    video = await studio.order(prompt=written)
    await studio.reached(video.id, "completed")
    assert studio.speaker.requests[0].input == "Good evening! It is *very* late, my friend."
    assert studio.filmer.requests[0].prompt == written
    assert (await studio.film.get(ANNA, video.id)).prompt == written


async def test_every_control_of_an_order_reaches_the_predictor(studio: Studio) -> None:
    controls = {
        "negative_prompt": "rain",
        "num_frames": 3,
        "num_inference_steps": 7,
        "guidance_scale": 2.5,
        "motion_strength": 0.25,
        "strength": 0.5,
        "emotion": "sad",
        "emotion_strength": 0.75,
        "gaze": "aside",
        "quality": "draft",
        "fps": 9,
        "seed": 11,
    }
    source = f"data:video/webm;base64,{base64.b64encode(FILM).decode()}"
    studio.start(studio.dispatcher())
    video = await studio.order(video_reference=source, **controls)
    await studio.reached(video.id, "completed")
    shot = studio.filmer.requests[0]
    assert shot.video_reference == source
    assert {name: getattr(shot, name) for name in controls} == controls
    assert (await studio.film.get(ANNA, video.id)).metadata == {"model": "portrait", "seed": 11}
    await studio.film.delete(ANNA, video.id)
    assert await studio.assets.info(ANNA.shared, f"{video.id}-source") is None


async def test_progress_and_phases_are_told(studio: Studio) -> None:
    studio.speaker.hold_at = 1
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "speaking")
    assert (await studio.film.get(ANNA, video.id)).status == "in_progress"
    assert await studio.demand.outstanding() == {("speech", "kokoro"): 1}
    studio.speaker.hold_at = None
    await studio.jobs.delete(ANNA, video.id)
    studio.filmer.hold_at = 2
    second = await studio.order()
    await studio.reached(second.id, "filming")
    async with asyncio.timeout(5):
        while True:
            seen = await studio.film.get(ANNA, second.id)
            if seen.progress >= 38:  # speech is a tenth of it, and a third of the film is done
                break
            await asyncio.sleep(0.01)
    assert (seen.phase, seen.status) == ("filming", "in_progress")


async def test_demand_rises_with_queued_and_running_and_falls_after(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    first = await studio.order()
    second = await studio.order()
    assert (await studio.jobs.outstanding())["video", "portrait"] == 2
    studio.start(studio.dispatcher())
    await studio.reached(first.id, "filming")
    assert (await studio.jobs.outstanding())["video", "portrait"] == 2
    studio.filmer.hold_at = None
    await studio.film.delete(ANNA, first.id)
    await studio.reached(second.id, "completed")
    assert (await studio.jobs.outstanding())["video", "portrait"] == 0
    assert not any((await studio.demand.outstanding()).values())


async def test_a_job_whose_worker_dies_is_taken_up_and_published_once(studio: Studio) -> None:
    studio.filmer.hold_at = 2
    doomed, _ = studio.start(studio.dispatcher("doomed"))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    doomed.cancel()  # as a process that is killed: nothing is handed back
    await asyncio.gather(doomed, return_exceptions=True)
    assert (await studio.job(video.id)).status == "running"
    studio.filmer.hold_at = None
    studio.start(studio.dispatcher("heir"))
    job = await studio.reached(video.id, "completed")
    assert (job.attempts, job.fence) == (2, 2)
    assert studio.jobs.completed == [video.id]
    assert studio.filmer.stopped == 2  # the dead worker's stream was closed too
    assert (await studio.film.content(ANNA, video.id)).id == f"{video.id}-2"


async def test_a_worker_that_stood_still_cannot_publish_late(studio: Studio) -> None:
    """A stopped process wakes after its lease ran out and finishes: refused, and its file is removed."""
    video = await studio.order()
    frozen = await studio.jobs.lease("video", worker="frozen", seconds=0.05)
    studio.start(studio.dispatcher("heir"))
    await studio.reached(video.id, "completed")
    late = studio.dispatcher("late")
    await studio.assets.put(ANNA.shared, f"{video.id}-1", b"late", "video/webm")
    await late._publish(frozen, {"asset": f"{video.id}-1"})
    assert studio.jobs.completed == [video.id]
    assert (await studio.film.content(ANNA, video.id)).id == f"{video.id}-2"
    await until(lambda: f"{video.id}-1" not in studio.assets.ids)


async def test_many_jobs_and_dispatchers_publish_each_once(studio: Studio) -> None:
    for name in range(4):
        studio.start(studio.dispatcher(f"w{name}", concurrency=2))
    videos = [await studio.order() for _ in range(20)]
    for video in videos:
        await studio.reached(video.id, "completed")
    assert sorted(studio.jobs.completed) == sorted(video.id for video in videos)
    films = {asset_id for asset_id in studio.assets.ids if not asset_id.endswith("-image")}
    assert films == {f"{video.id}-1" for video in videos}


@pytest.mark.parametrize("end", ["delete", "cancel"])
async def test_what_is_deleted_or_cancelled_stops_the_predictor(studio: Studio, end: str) -> None:
    studio.filmer.hold_at = 1
    studio.start(studio.dispatcher(pace=Pace(lease=30, heartbeat=0.05)))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    await (studio.film.delete(ANNA, video.id) if end == "delete" else studio.jobs.cancel(ANNA, video.id))
    await until(lambda: studio.filmer.stopped == 1)
    assert studio.filmer.finished == 0
    studio.filmer.hold_at = None
    after = await studio.order()  # the place is free again
    await studio.reached(after.id, "completed")
    assert studio.jobs.completed == [after.id]
    if end == "delete":
        assert not any(asset_id.startswith(video.id) for asset_id in studio.assets.ids)
    else:
        seen = await studio.film.get(ANNA, video.id)
        assert (seen.status, seen.error and seen.error.code) == ("failed", "cancelled")


async def test_a_stopping_dispatcher_finishes_what_runs(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    task, stopping = studio.start(studio.dispatcher())
    video = await studio.order()
    waiting = await studio.order()
    await studio.reached(video.id, "filming")
    stopping.set()
    await asyncio.sleep(0.1)  # longer than a heartbeat
    assert not task.done()
    studio.filmer.released.set()
    await asyncio.wait_for(task, 30)
    assert (await studio.job(video.id)).status == "completed"
    job = await studio.job(waiting.id)
    assert (job.status, job.attempts) == ("queued", 0)  # it leased nothing more


async def test_a_stopping_dispatcher_hands_back_what_does_not_finish(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    task, stopping = studio.start(studio.dispatcher(pace=Pace(lease=60, heartbeat=0.05, grace=0.1)))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    stopping.set()
    await asyncio.wait_for(task, 30)
    job = await studio.job(video.id)
    assert (job.status, job.attempts) == ("queued", 0)
    assert studio.filmer.stopped == 1
    studio.filmer.hold_at = None
    studio.start(studio.dispatcher("next"))
    job = await studio.reached(video.id, "completed", seconds=30)  # soon, not after a lease of a minute
    assert job.attempts == 1


async def test_sigterm_is_obeyed(studio: Studio) -> None:
    studio.filmer.hold_at = 1
    dispatcher = studio.dispatcher(pace=Pace(lease=60, heartbeat=0.05, grace=0.1))
    task = asyncio.create_task(until_signalled(dispatcher.run))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 30)
    assert (await studio.job(video.id)).status == "queued"
