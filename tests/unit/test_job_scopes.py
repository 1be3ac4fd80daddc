"""A key sees and touches jobs of the kinds that it may order."""

import pytest

from chatacter.chassis.auth import Principal
from chatacter.chassis.errors import Forbidden
from chattr.adapters.fakes.jobs import FakeJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import NewJob
from chattr.routes.jobs import permitted, router
from chattr.routes.kinds import require_scope

pytestmark = pytest.mark.unit

ANNA = Owner("acme", "anna")
VIDEOS, SPEECH = (Principal(key_id=name, tenant="acme", scopes=frozenset({name})) for name in ("videos", "speech"))


async def test_a_key_for_speech_touches_no_film() -> None:
    jobs = FakeJobs()
    await jobs.enqueue(ANNA, NewJob("video_1", "video", "svd", {}, {}))
    await permitted("video_1", VIDEOS, ANNA, jobs)
    with pytest.raises(Forbidden, match="videos"):
        await permitted("video_1", SPEECH, ANNA, jobs)
    await permitted("gone", SPEECH, ANNA, jobs)
    with pytest.raises(Forbidden):
        require_scope(VIDEOS, "speech")


def test_every_door_to_one_job_asks() -> None:
    doors = [route for route in router.routes if "{job_id}" in getattr(route, "path", "")]
    assert len(doors) == 6
    for route in doors:
        assert permitted in [one.dependency for one in route.dependencies], route  # type: ignore[attr-defined]
