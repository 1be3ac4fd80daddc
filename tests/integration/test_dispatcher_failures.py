"""What passes is tried again, what stays fails the job, and a busy predictor is waited for."""

import pytest

from chatacter.chassis.errors import Busy, Unavailable, Unsupported, UpstreamFailed
from chatacter.contracts.video import VideoFailed
from chattr.dispatcher import Pace
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


async def test_a_job_does_not_wait_for_ever(studio: Studio) -> None:
    studio.filmer.refusals += [Unavailable("Visualizr cannot be reached.", retry_after=0.1)] * 99
    studio.start(studio.dispatcher(patience=0.0, pace=Pace(lease=5, heartbeat=0.05, give_up=0.3)))
    video = await studio.order()
    await studio.reached(video.id, "failed")
    seen = await studio.film.get(ANNA, video.id)
    assert seen.error is not None
    assert seen.error.code == "unavailable"
