"""Jobs and records are refused a Redis that may lose them."""

from typing import Any

import pytest
from redis.asyncio import Redis

from chatacter.chassis.errors import Misconfigured, Unavailable
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_durability import disk_must_be_awaited, require_durable
from chattr.adapters.redis_jobs import RedisJobs
from chattr.domain.identity import Owner
from chattr.ports.jobs import NewJob
from tests.redis_server import free_port, has_waitaof, is_valkey, started

pytestmark = pytest.mark.integration

VOLATILE = {"appendonly": "no", "save": ""}
EVICTING = {"maxmemory": "64mb", "maxmemory_policy": "allkeys-lru"}


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({}, None),
        ({"appendonly": "no", "save": "900 1"}, None),
        ({"maxmemory": "64mb", "maxmemory_policy": "noeviction"}, None),
        ({"maxmemory_policy": "allkeys-lru"}, None),  # without a limit nothing is evicted
        (EVICTING, "allkeys-lru"),
        (VOLATILE, "keeps nothing on disk"),
    ],
)
async def test_only_a_server_that_keeps_everything_will_do(options: dict[str, Any], hint: str | None) -> None:
    with started(**options) as server:
        async with connected(server.url) as redis:
            if hint is None:
                await require_durable(redis, "JOBS")
                return
            with pytest.raises(Misconfigured, match=f"JOBS__URL: .*{hint}"):
                await require_durable(redis, "JOBS")


@pytest.mark.parametrize(
    ("appendonly", "vouched", "accepted"), [("yes", False, True), ("no", False, False), ("no", True, True)]
)
async def test_a_managed_server_that_hides_its_settings_is_judged_by_what_it_tells_or_vouched_for(
    appendonly: str, vouched: bool, accepted: bool
) -> None:
    with started(appendonly=appendonly, rename_command="CONFIG HIDDEN") as server:
        async with connected(server.url) as redis:
            if accepted:
                await require_durable(redis, "JOBS", vouched=vouched)
            else:
                with pytest.raises(Misconfigured, match="JOBS__DURABLE=true"):
                    await require_durable(redis, "JOBS", vouched=vouched)


@pytest.mark.parametrize(("options", "hint"), [(EVICTING, "allkeys-lru"), (VOLATILE, "keeps nothing on disk")])
async def test_nobody_can_vouch_for_what_a_server_denies(options: dict[str, Any], hint: str) -> None:
    with started(**options) as server:
        async with connected(server.url) as redis:
            with pytest.raises(Misconfigured, match=hint):
                await require_durable(redis, "JOBS", vouched=True)


async def test_a_user_without_config_and_info_is_not_an_error_of_ours() -> None:
    with started() as server:
        server.command("ACL", "SETUSER", "app", "on", ">secret", "~*", "&*", "+@all", "-config", "-info")
        async with connected(server.url, username="app", password="secret") as redis:
            with pytest.raises(Misconfigured, match="JOBS__DURABLE=true"):
                await require_durable(redis, "JOBS")
            await require_durable(redis, "JOBS", vouched=True)


async def test_a_server_that_is_away_is_not_called_misconfigured() -> None:
    async with connected(f"redis://127.0.0.1:{free_port()}/0") as redis:
        with pytest.raises(Unavailable):
            await require_durable(redis, "JOBS")


# Redis 7.0 has no WAITAOF. Another command that takes any number of words stands in under its name there: what it
# answers is what the test has stored, so that what is done with an answer can be seen.
WITH_A_STAND_IN = {"appendfsync": "everysec", "rename_command": "MGET WAITAOF"}


@pytest.fixture(scope="module")
def newer() -> bool:
    """Whether the server on PATH has a WAITAOF of its own."""
    with started() as server:
        return has_waitaof(server)


@pytest.mark.parametrize(
    ("options", "awaited", "hint"),
    [
        ({"appendfsync": "always"}, False, None),
        ({"appendfsync": "everysec"}, None, "--appendfsync always"),
        ({"appendfsync": "no"}, None, "Redis 7.2"),
        ({"appendonly": "no", "save": "900 1"}, None, "--appendonly yes"),
        (WITH_A_STAND_IN, True, None),
        ({**WITH_A_STAND_IN, "appendfsync": "no"}, None, "Redis 7.2"),
        ({**WITH_A_STAND_IN, "appendfsync": "always"}, False, None),
        ({"rename_command": "CONFIG HIDDEN"}, None, "JOBS__DURABLE=true"),
    ],
)
async def test_jobs_want_a_server_that_answers_after_its_disk(
    options: dict[str, str], awaited: bool | None, hint: str | None, newer: bool
) -> None:
    if newer:
        pytest.skip("this Redis has a WAITAOF of its own")
    with started(**options) as server:
        async with connected(server.url) as redis:
            await judged(redis, awaited, hint)


@pytest.mark.parametrize(
    ("options", "awaited", "hint"),
    [
        ({"appendfsync": "always"}, False, None),
        ({"appendfsync": "everysec"}, True, None),
        ({"appendfsync": "no"}, None, "--appendfsync everysec"),
        ({"appendonly": "no", "save": "900 1"}, None, "--appendonly yes"),
    ],
)
async def test_one_that_can_be_waited_for(
    options: dict[str, str], awaited: bool | None, hint: str | None, newer: bool
) -> None:
    if not newer:
        pytest.skip("the redis-server on PATH has no WAITAOF (Redis 7.2)")
    with started(**options) as server:
        if awaited and is_valkey(server):
            awaited, hint = None, "not Valkey"
        async with connected(server.url) as redis:
            await judged(redis, awaited, hint)


async def judged(redis: Redis, awaited: bool | None, hint: str | None) -> None:
    if hint is None:
        assert await disk_must_be_awaited(redis, "JOBS") is awaited
        return
    with pytest.raises(Misconfigured, match=f"JOBS__URL: .*{hint}"):
        await disk_must_be_awaited(redis, "JOBS")


async def test_a_disk_that_is_too_slow_is_told_as_that(newer: bool) -> None:
    """A server that never syncs: what is heard is its answer to WAITAOF, not a connection that ran out of patience."""
    if not newer:
        pytest.skip("the redis-server on PATH has no WAITAOF (Redis 7.2)")
    with started(appendfsync="no") as server:
        async with connected(server.url) as redis:
            with pytest.raises(Unavailable, match="disk"):
                await RedisJobs(redis, wait_for_disk=True).enqueue(
                    Owner("acme", "anna"), NewJob("job_1", "video", "svd", {}, {})
                )


async def test_one_that_says_nothing_can_be_vouched_for_and_one_that_denies_cannot(newer: bool) -> None:
    if newer:
        pytest.skip("this Redis has a WAITAOF of its own")
    with started(rename_command="CONFIG HIDDEN") as server:
        async with connected(server.url) as redis:
            assert await disk_must_be_awaited(redis, "JOBS", vouched=True) is False
    with started(appendfsync="everysec") as server:
        async with connected(server.url) as redis:
            with pytest.raises(Misconfigured, match="answers before"):
                await disk_must_be_awaited(redis, "JOBS", vouched=True)


async def test_a_job_is_accepted_once_the_disk_has_it(newer: bool) -> None:
    if newer:
        pytest.skip("this Redis has a WAITAOF of its own")
    anna, job = Owner("acme", "anna"), NewJob("job_1", "video", "svd", {}, {})
    with started(**WITH_A_STAND_IN) as server:
        async with connected(server.url) as redis:
            jobs = RedisJobs(redis, wait_for_disk=True)
            with pytest.raises(Unavailable, match="disk"):
                await jobs.enqueue(anna, job)
            await redis.set("1", b"1")  # from here on the stand-in says that one disk has it
            assert (await jobs.enqueue(anna, job)).id == "job_1"  # said again: the same job
            assert len(await jobs.list(anna, "video")) == 1
            lease = await jobs.lease("video", worker="w", seconds=5)
            assert lease is not None
            await redis.delete("1")
            with pytest.raises(Unavailable):
                await jobs.complete(lease, {"asset": "a"})
            await redis.set("1", b"1")
            await jobs.complete(lease, {"asset": "a"})
            found = await jobs.get(anna, "job_1")
            assert found is not None
            assert (found.status, found.result) == ("completed", {"asset": "a"})
