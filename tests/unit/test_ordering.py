"""An order's files stay as long as its job may be stored, and go where it was refused."""

import asyncio
import time
from typing import Any

import pytest

from chatacter.chassis.errors import ChatacterError, InvalidInput, Unavailable
from chatacter.contracts.video_job import VideoOrder
from chattr.adapters.fakes.assets import FakeAssets
from chattr.adapters.fakes.casting import FakeCasting
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.adapters.fakes.media import FakeFilmer
from chattr.domain.identity import Owner
from chattr.ports.jobs import Job, NewJob
from chattr.usecases.film import Film

pytestmark = pytest.mark.unit

ANNA = Owner("acme", "anna")
ORDER = VideoOrder(prompt="Hi.", image_reference="data:image/png;base64,iVBORw0KGgo=")


class Lossy(FakeJobs):
    """A store that takes a job and whose answer is lost, or that refuses it."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error

    async def enqueue(self, owner: Owner, job: NewJob) -> Job:
        if isinstance(self.error, InvalidInput):
            raise self.error
        made = await super().enqueue(owner, job)
        if self.error is not None:
            raise self.error
        return made


async def names(assets: FakeAssets) -> list[str]:
    return [name async for _, name in assets.names(before=time.time() + 60)]


def film(jobs: FakeJobs, assets: Any) -> Film:
    return Film(FakeFilmer(), jobs, assets, FakeCasting(), speech_model="kokoro")


@pytest.mark.parametrize("error", [Unavailable("Not on disk in time."), asyncio.CancelledError(), OSError()])
async def test_a_job_whose_answer_was_lost_keeps_its_files(error: BaseException) -> None:
    jobs, assets = Lossy(error), FakeAssets()
    with pytest.raises(type(error)):
        await film(jobs, assets).create(ANNA, ORDER)
    (job,) = await jobs.list(ANNA, "video")
    assert await names(assets) == [job.request["image"]]


async def test_a_remix_whose_answer_was_lost_keeps_its_files() -> None:
    jobs, assets = Lossy(Unavailable("Not on disk in time.")), FakeAssets()
    lost, jobs.error = jobs.error, None
    made = await film(jobs, assets).create(ANNA, ORDER)
    lease = await jobs.lease("video", worker="w", seconds=60)
    assert lease is not None
    await jobs.complete(lease, {"asset": "a", "seconds": 1.0})
    jobs.error = lost
    with pytest.raises(Unavailable):
        await film(jobs, assets).remix(ANNA, made.id, "Hello.")
    assert len(await names(assets)) == 2


async def test_an_order_that_was_refused_leaves_nothing() -> None:
    jobs, assets = Lossy(InvalidInput("This key was used for something else.")), FakeAssets()
    with pytest.raises(ChatacterError):
        await film(jobs, assets).create(ANNA, ORDER)
    assert await names(assets) == []


async def test_a_remix_with_one_key_is_one() -> None:
    jobs, assets = FakeJobs(), FakeAssets()
    made = await film(jobs, assets).create(ANNA, ORDER)
    lease = await jobs.lease("video", worker="w", seconds=60)
    assert lease is not None
    await jobs.complete(lease, {"asset": "a", "seconds": 1.0})
    first, again = [await film(jobs, assets).remix(ANNA, made.id, "Hello.", key="k") for _ in range(2)]
    assert first.id == again.id
    with pytest.raises(InvalidInput):
        await film(jobs, assets).remix(ANNA, made.id, "Goodbye.", key="k")
    assert len(await names(assets)) == 2
