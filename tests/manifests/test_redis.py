"""The rendered Redis runs: a real server, started by the pod's command with its files, environment and probes."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from random import randbytes
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from chatacter.chassis.errors import Misconfigured
from chattr.adapters.redis_connection import connected
from chattr.adapters.redis_durability import require_durable
from scripts.manifests import helm
from scripts.manifests.helm import Manifest
from tests.manifests.rendered_redis import RenderedRedis, running
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster
from tests.pods.installed import until_listening
from tests.pods.release import Release, World
from tests.pods.rooms import refusal
from tests.redis_server import STARTING_SECONDS

pytestmark = pytest.mark.manifests

# Every character that a shell, redis.conf or a URL might take for its own, and one that is not ASCII.
PASSWORD = "@:/#\"'\\ $HOME`id`%40{}*\tü"
AUTH = {"redis": {"auth": {"password": PASSWORD}}}
RECORDS = ("StatefulSet", "chatacter-redis")
CACHE = ("Deployment", "chatacter-redis-cache")


def manifests(given: dict[str, Any] | None = None) -> list[Manifest]:
    return Installation(given=helm.merged(AUTH, given or {})).manifests()


@pytest.fixture(scope="module")
def rendered() -> list[Manifest]:
    return manifests({"redis": {"cache": {"enabled": True}}})


@pytest.fixture
def records(rendered: list[Manifest], tmp_path: Path) -> Iterator[RenderedRedis]:
    with running(rendered, *RECORDS, tmp_path) as server:
        server.wait_until_ready()
        yield server


@pytest.fixture
def cache(rendered: list[Manifest], tmp_path: Path) -> Iterator[RenderedRedis]:
    with running(rendered, *CACHE, tmp_path) as server:
        server.wait_until_ready()
        yield server


def client(server: RenderedRedis, password: str | None = PASSWORD) -> Redis:
    at_once = Retry(NoBackoff(), 0)
    return Redis(port=server.port, password=password, decode_responses=True, socket_timeout=5, retry=at_once)


@pytest.mark.parametrize("password", [None, "", "wrong", PASSWORD[:-1], PASSWORD.strip('"')[1:]])
def test_only_the_password_opens(records: RenderedRedis, password: str | None) -> None:
    with client(records) as redis:
        assert redis.ping()
    with client(records, password) as redis, pytest.raises(AuthenticationError):
        redis.ping()


def test_the_password_stands_nowhere_where_it_could_be_read(records: RenderedRedis) -> None:
    assert records.process is not None
    of_process = Path("/proc") / str(records.process.pid)
    for kept in ("cmdline", "environ"):
        assert PASSWORD.encode() not in (of_process / kept).read_bytes()
    for place in records.folder.rglob("*"):
        assert not place.is_file() or PASSWORD.encode() not in place.read_bytes(), place
    with client(records) as redis:
        assert PASSWORD not in str(redis.config_get("*"))
    (config,) = (each for each in records.cluster.of_kind("ConfigMap") if each["metadata"]["name"] == RECORDS[1])
    assert PASSWORD not in str(config)


def test_what_is_acknowledged_is_on_disk(records: RenderedRedis) -> None:
    with client(records) as redis:
        found = redis.config_get("appendonly", "appendfsync", "maxmemory-policy", "maxmemory", "protected-mode", "save")
    assert found == {
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory-policy": "noeviction",
        "maxmemory": str(512 * 1024**2),
        "protected-mode": "yes",
        "save": "",
    }


async def test_the_project_takes_it_for_records_and_jobs(records: RenderedRedis) -> None:
    async with connected(records.url, password=PASSWORD) as redis:
        await require_durable(redis, "RECORDS__URL")


async def test_the_project_refuses_the_cache_for_records(cache: RenderedRedis) -> None:
    async with connected(cache.url, password=PASSWORD) as redis:
        with pytest.raises(Misconfigured, match="throws data away"):
            await require_durable(redis, "RECORDS__URL")


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_pass_while_it_serves_and_fail_when_it_is_gone(records: RenderedRedis, probe: str) -> None:
    assert records.asked(probe)
    assert records.end() == 0
    assert not records.asked(probe)


def test_a_stop_keeps_what_was_written(records: RenderedRedis) -> None:
    with client(records) as redis:
        redis.set("kept", "yes")
    assert records.end() == 0
    records.start()
    records.wait_until_ready()
    with client(records) as redis:
        assert redis.get("kept") == "yes"


def test_it_is_alive_but_not_ready_while_it_reads_its_log(tmp_path: Path) -> None:
    # It takes 5 ms for each of 4,000 keys, and answers after each KiB: long enough to be asked, too long to wait for.
    slowly = {"key-load-delay": 5_000, "loading-process-events-interval-bytes": 1024}
    with running(manifests({"redis": {"config": slowly}}), *RECORDS, tmp_path) as server:
        server.wait_until_ready()
        with client(server) as redis:
            redis.mset({f"key:{number}": randbytes(1024) for number in range(4_000)})
            redis.bgrewriteaof()
            until_rewritten(redis)
        assert server.end() == 0
        server.start()
        server.wait_for(lambda: is_loading(server))
        assert not server.asked("startupProbe")
        assert not server.asked("readinessProbe")
        assert server.asked("livenessProbe")
        assert is_loading(server)


def until_rewritten(redis: Redis) -> None:
    until = time.monotonic() + STARTING_SECONDS
    while redis.info("persistence")["aof_rewrite_in_progress"]:
        assert time.monotonic() < until
        time.sleep(0.01)


def is_loading(server: RenderedRedis) -> bool:
    try:
        with client(server) as redis:
            redis.ping()
    except BusyLoadingError:
        return True
    except RedisConnectionError:
        pass
    return False


def test_a_long_log_is_not_taken_for_a_dead_server() -> None:
    workload = Cluster(manifests({"redis": {"startupSeconds": 1800}})).find(*RECORDS)
    assert workload is not None
    probe = workload["spec"]["template"]["spec"]["containers"][0]["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 1800


def test_the_cache_forgets_and_evicts(cache: RenderedRedis) -> None:
    with client(cache) as redis:
        found = redis.config_get("appendonly", "maxmemory-policy", "maxmemory", "save")
        redis.set("kept", "no")
    assert found == {
        "appendonly": "no",
        "maxmemory-policy": "allkeys-lru",
        "maxmemory": str(256 * 1024**2),
        "save": "",
    }
    with client(cache, "wrong") as redis, pytest.raises(AuthenticationError):
        redis.ping()
    assert cache.end() == 0
    cache.start()
    cache.wait_until_ready()
    with client(cache) as redis:
        assert redis.get("kept") is None


def test_further_directives_reach_the_server(tmp_path: Path) -> None:
    given = {"activerehashing": False, "slowlog-max-len": 10_000_000, "notify-keyspace-events": "Ex"}
    with running(manifests({"redis": {"config": given}}), *RECORDS, tmp_path) as server:
        server.wait_until_ready()
        with client(server) as redis:
            found = redis.config_get(*given)
    assert found == {"activerehashing": "no", "slowlog-max-len": "10000000", "notify-keyspace-events": "xE"}


@pytest.mark.parametrize("directive", ["appendfsync", "maxmemory-policy", "save", "dir", "requirepass", "user", "port"])
def test_directives_that_keep_the_data_are_not_to_be_changed(directive: str) -> None:
    with pytest.raises(helm.Refused, match=directive):
        manifests({"redis": {"config": {directive: "no"}}})


def test_a_secret_of_the_operator_takes_the_place_of_a_made_one() -> None:
    own = {"existingSecret": "mine", "existingSecretKey": "word"}
    cluster = Cluster(manifests({"redis": {"auth": own}}))
    assert cluster.find("Secret", RECORDS[1]) is None
    workload = cluster.find(*RECORDS)
    assert workload is not None
    (variable,) = workload["spec"]["template"]["spec"]["containers"][0]["env"]
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "mine", "key": "word"}


@pytest.mark.parametrize("given", [{"config": {"lazyfree-lazy-expire": True}}, {"auth": {"password": "another"}}])
def test_a_change_of_configuration_or_password_rolls_the_pods(given: dict[str, Any]) -> None:
    both = {
        "redis": {**given, "cache": {"enabled": True, **({"config": given["config"]} if "config" in given else {})}}
    }
    before = {
        pods.owner: pods.annotations for pods in Cluster(manifests({"redis": {"cache": {"enabled": True}}})).pods()
    }
    after = {pods.owner: pods.annotations for pods in Cluster(manifests(both)).pods()}
    for owner in map("/".join, (RECORDS, CACHE)):
        assert before[owner] != after[owner]


@pytest.mark.skipif(refusal() is not None, reason=f"no container can be made here: {refusal()}")
@pytest.mark.parametrize("part", ["redis", "redis-cache"])
def test_it_serves_as_the_pods_user_with_nothing_to_write_to_but_its_volume(
    rendered: list[Manifest], part: str, tmp_path: Path
) -> None:
    with Release(rendered, tmp_path, tmp_path, {part: 1}, World()) as release:
        pod = release.start(part)
        until_listening(pod)
        status = Path(f"/proc/{pod.pid}/status").read_text()
        assert re.search(r"^Uid:\t10001\t10001", status, re.MULTILINE)
        assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        host, _, port = pod.url.removeprefix("http://").partition(":")
        with Redis(host, int(port), password=PASSWORD, socket_timeout=5) as redis:
            assert redis.set("key", "value")
            if part == "redis":
                redis.bgrewriteaof()
                until_rewritten(redis)
                assert redis.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        pod.terminate()
        assert pod.ended() == 0
