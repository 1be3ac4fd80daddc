"""What passes is tried again, what stays fails the job, and a busy predictor is waited for."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from chatacter.chassis.errors import Busy, Unavailable, Unsupported, UpstreamFailed
from chatacter.contracts.video import VideoFailed
from chattr.dispatcher import Pace, pause
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset
from chattr.usecases.filming import FILMING, WAITING, Report, patient
from chattr.usecases.job_files import made_id
from tests.studio import ANNA, Studio
from tests.waiting import until

pytestmark = pytest.mark.integration


async def test_a_failure_that_passes_is_tried_again(studio: Studio) -> None:
    studio.filmer.lost_at = (2, UpstreamFailed("Visualizr was lost in the middle of its answer."))
    studio.start(studio.dispatcher())
    video = await studio.order()
    await until(lambda: studio.filmer.stopped == 1)
    studio.filmer.lost_at = None
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 2


async def test_attempts_end(studio: Studio) -> None:
    studio.filmer.failure = VideoFailed(code="upstream_failed", message="The renderer crashed.", retryable=True)
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert (seen.error.code, seen.error.message) == ("upstream_failed", "The renderer crashed.")
    assert studio.filmer.started == 3


@pytest.mark.parametrize("where", ["before", "inside"])
async def test_a_failure_that_stays_fails_the_job_at_once(studio: Studio, where: str) -> None:
    if where == "before":
        studio.filmer.refusals.append(Unsupported("This portrait has no mouth."))
    else:
        studio.filmer.failure = VideoFailed(code="out_of_memory", message="Too large.", retryable=False)
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    told = {"before": ("unsupported", "This portrait has no mouth."), "inside": ("out_of_memory", "Too large.")}
    assert (seen.error.code, seen.error.message) == told[where]
    assert studio.filmer.started <= 1


async def test_a_predictor_that_goes_away_in_the_middle_costs_an_attempt(studio: Studio) -> None:
    """Otherwise a job that kills its predictor would be tried for ever."""
    studio.filmer.lost_at = (2, Unavailable("Shutting down."))
    studio.start(studio.dispatcher())
    video = await studio.order()
    job = await studio.reached(video.id, "failed")
    assert job.attempts == job.max_attempts


async def test_a_bug_fails_the_job_and_not_the_dispatcher(studio: Studio, caplog: pytest.LogCaptureFixture) -> None:
    studio.filmer.refusals += [ZeroDivisionError("secret")] * 3  # type: ignore[list-item]
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    after = await studio.order()
    await studio.reached(after.id, "completed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert seen.error.code == "internal"
    assert "secret" not in seen.error.message
    assert "a job's work failed unexpectedly" in caplog.messages


async def test_a_busy_predictor_is_asked_again_in_the_same_attempt(studio: Studio) -> None:
    studio.filmer.refusals += [Busy("Full.", retry_after=0.05), Busy("Full.", retry_after=0.4)]
    studio.speaker.refusals += [Busy("Full.", retry_after=0.05)]
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "waiting_for_gpu")
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 1
    assert studio.speaker.started == 1  # what was spoken is not spoken again


async def test_a_predictor_that_stays_away_lets_others_pass_and_costs_no_attempt(studio: Studio) -> None:
    studio.filmer.refusals.append(Unavailable("Visualizr cannot be reached.", retry_after=0.3))
    studio.start(studio.dispatcher(patience=0.1))
    video = await studio.order()
    after = await studio.order()
    await studio.reached(after.id, "completed")
    assert (await studio.film.get(ANNA, video.id)).phase == "waiting_for_gpu"
    job = await studio.reached(video.id, "completed")
    assert job.attempts == 1
    assert studio.jobs.completed == [after.id, video.id]


async def test_a_cold_predictor_lets_films_of_another_model_pass_at_once(studio: Studio) -> None:
    """One film at a time, and the patience for a predictor is longer than this test."""
    studio.filmer.served.append("svd")
    cold = [Unavailable("Visualizr (svd) cannot be reached.", retry_after=30)] * 3
    studio.filmer.refusals += [*cold]
    jobs = [await studio.order(model="svd") for _ in cold]
    studio.start(studio.dispatcher(patience=60.0))
    for job in jobs:
        await studio.reached(job.id, "waiting_for_gpu")
    after = await studio.order()
    await studio.reached(after.id, "completed")
    assert (await studio.jobs.outstanding())["video", "svd"] == 3


async def test_what_was_spoken_is_kept_while_the_camera_comes_back(studio: Studio) -> None:
    studio.filmer.refusals += [Unavailable("Visualizr cannot be reached.", retry_after=0.05)] * 2
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "completed")
    assert studio.speaker.started == 1


async def test_a_speech_model_without_timings_is_heard_without(studio: Studio) -> None:
    studio.speaker.refusals.append(Unsupported("timings: this model does not tell.", param="timings"))
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "completed")
    assert [request.timings for request in studio.speaker.requests] == [True, False]


async def test_another_thing_that_a_speech_model_cannot_do_fails_the_job(studio: Studio) -> None:
    studio.speaker.refusals.append(Unsupported("language: this model speaks en.", param="language"))
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "failed")
    assert studio.speaker.started == 0


async def test_a_character_is_filmed_with_the_model_of_its_voice(studio: Studio) -> None:
    studio.speaker.served.append("xtts")
    studio.start(studio.dispatcher())
    for character in ("ada", "clara"):
        video = await studio.order(character=character)
        await studio.reached(video.id, "completed")
    assert [(said.model, said.voice) for said in studio.speaker.requests] == [
        ("kokoro", "af_heart"),
        ("xtts", "Claribel Dervla"),
    ]


async def test_a_predictor_that_takes_long_to_begin_is_told_as_waited_for() -> None:
    """A balancer may hold the request while a replica starts; the film is not under way then."""
    report, may = Report(), asyncio.Event()

    async def slow() -> AsyncGenerator[int]:
        await may.wait()
        yield 1

    report.at(FILMING, 0.1)
    items = patient(slow, report, FILMING, busy=1, slow=0.05)
    first = asyncio.ensure_future(anext(items))
    await until(lambda: report.phase == WAITING)
    may.set()
    assert await first == 1
    assert (report.phase, report.progress) == (FILMING, 0.1)
    await items.aclose()


@pytest.mark.parametrize(("told", "age", "seconds"), [(2, 0, 2), (2, 80, 10), (20, 80, 20), (2, 86_400, 30)])
async def test_who_has_waited_long_is_asked_for_less_often(told: float, age: float, seconds: float) -> None:
    assert pause(told, age) == seconds


async def test_a_job_does_not_wait_for_ever(studio: Studio) -> None:
    studio.filmer.refusals += [Unavailable("Visualizr cannot be reached.", retry_after=0.1)] * 99
    studio.start(studio.dispatcher(patience=0.0, pace=Pace(lease=5, heartbeat=0.05, give_up=0.3)))
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert seen.error.code == "unavailable"


async def test_a_store_that_answers_with_an_error_does_not_end_the_work(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease, errors = studio.jobs.lease, [RuntimeError("ERR user_script: attempt to compare nil with number")] * 2

    async def failing(*given: Any, **named: Any) -> Any:
        if errors:
            raise errors.pop()
        return await lease(*given, **named)

    monkeypatch.setattr(studio.jobs, "lease", failing, raising=False)
    studio.start(studio.dispatcher())
    video = await studio.order()
    await studio.reached(video.id, "completed")


@pytest.mark.parametrize(
    ("method", "places", "told"),
    [("sweep", 1, "jobs cannot be swept"), ("wait_for_work", 2, "jobs cannot be waited for")],
)
async def test_what_a_store_cannot_do_between_jobs_is_told(
    studio: Studio,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    places: int,
    told: str,
) -> None:
    async def failing(*_: Any) -> None:
        raise RuntimeError("ERR user_script: attempt to concatenate a boolean value")

    monkeypatch.setattr(studio.jobs, method, failing, raising=False)
    studio.filmer.hold_at = 1
    studio.start(studio.dispatcher(concurrency=places))
    video = await studio.order()
    await studio.reached(video.id, "filming")
    await until(lambda: told in caplog.messages)
    studio.filmer.released.set()
    await studio.reached(video.id, "completed")


async def test_what_waited_long_in_line_may_still_wait_for_its_predictor(studio: Studio) -> None:
    studio.filmer.refusals.append(Unavailable("Visualizr cannot be reached.", retry_after=0.05))
    video = await studio.order()
    await asyncio.sleep(0.3)
    studio.start(studio.dispatcher(patience=0.0, pace=Pace(lease=5, heartbeat=0.05, give_up=0.2)))
    await studio.reached(video.id, "completed")


async def test_a_job_that_was_given_back_often_is_tidied_up_at_once(studio: Studio) -> None:
    video = await studio.order()
    for _ in range(50):
        lease = await studio.jobs.lease("video", worker="w", seconds=60)
        await studio.jobs.hand_back(lease)
    removed: list[str] = []
    delete = studio.assets.delete

    async def counted(owner: Any, name: str) -> bool:
        removed.append(name)
        return await delete(owner, name)

    studio.assets.delete = counted  # type: ignore[method-assign]
    studio.start(studio.dispatcher())
    await studio.reached(video.id, "completed")
    await studio.film.delete(ANNA, video.id)
    assert len(removed) < 16


async def test_who_publishes_removes_what_a_lost_lease_had_put_away(studio: Studio) -> None:
    video = await studio.order()
    lost = await studio.jobs.lease("video", worker="dead", seconds=0.2)
    left = made_id(video.id, lost.fence)
    await studio.assets.put(ANNA.shared, left, b"half a film", "video/webm")
    studio.start(studio.dispatcher())
    await studio.reached(video.id, "completed")
    await until_gone(studio, left)
    assert await studio.assets.info(ANNA.shared, made_id(video.id, lost.fence + 1)) is not None


async def test_who_loses_a_lease_removes_what_it_has_put_away(studio: Studio) -> None:
    """Its film is stored already, and its job is cancelled before it can publish it."""
    video = await studio.order()
    stored, put = asyncio.Event(), studio.assets.put

    async def slow(owner: Owner, name: str, data: bytes, media_type: str) -> Asset:
        asset = await put(owner, name, data, media_type)
        stored.set()
        await asyncio.Event().wait()
        return asset

    studio.assets.put = slow  # type: ignore[method-assign]
    studio.start(studio.dispatcher())
    async with asyncio.timeout(8):
        await stored.wait()
    assert await studio.assets.info(ANNA.shared, made_id(video.id, 1)) is not None
    await studio.jobs.cancel(ANNA, video.id)
    await until_gone(studio, made_id(video.id, 1))


async def until_gone(studio: Studio, name: str) -> None:
    async with asyncio.timeout(8):
        while await studio.assets.info(ANNA.shared, name) is not None:
            await asyncio.sleep(0.01)


async def test_with_every_place_taken_it_still_tells_what_was_lost_and_what_is_too_late(studio: Studio) -> None:
    """The only dispatcher may be busy for half an hour; nobody is to learn only then what was sure long before."""
    lost = await studio.order()
    dead = await studio.jobs.lease("video", worker="dead", seconds=60)
    studio.filmer.hold_at = 1
    running = await studio.order()
    studio.start(studio.dispatcher(pace=Pace(lease=30, heartbeat=0.05)))
    await studio.reached(running.id, "filming")
    await studio.jobs.heartbeat(replace(dead, seconds=0.1), progress=0.0, phase="filming")  # its last one
    late = await studio.order(expires_after=1)
    assert (await studio.reached(late.id, "failed", seconds=5)).error is not None
    await studio.reached(lost.id, "queued")
    assert (await studio.job(running.id)).status == "running"
