"""Jobs and records are refused a Redis that may lose them."""

from typing import Any

import pytest

from chatacter.chassis.errors import Misconfigured, Unavailable
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_durability import require_durable
from tests.redis_server import free_port, started

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
