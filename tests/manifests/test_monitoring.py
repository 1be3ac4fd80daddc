"""Prometheus is told where metrics are and with which token; each alert speaks of metrics that are really there."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scripts.manifests import helm
from scripts.manifests.helm import NAMESPACE
from tests.fake_llm_server import Script
from tests.fake_llm_server import started as llm_started
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster
from tests.redis_server import started as redis_started
from tests.three_services import three_services
from tests.waiting import until

pytestmark = pytest.mark.manifests

WATCHED: dict[str, Any] = {
    "global": {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
}
TOKEN = "0123456789abcdef"
NAME = re.compile(r"\b[a-z]+(?:_[a-z]+)+(?=[{\[])")
LABEL = re.compile(r"(\w+)(?:=~|!=|=)\"|label_replace\(.*?\"\$1\", \"(\w+)\"", re.DOTALL)


def watched(*given: dict[str, Any]) -> Cluster:
    return Cluster(Installation(given=helm.merged(WATCHED, *given)).manifests())


def alerts() -> dict[str, str]:
    (rule,) = watched().of_kind("PrometheusRule")
    return {each["alert"]: each["expr"] for group in rule["spec"]["groups"] for each in group["rules"]}


def test_nothing_is_made_without_the_operator() -> None:
    assert Cluster(Installation().manifests()).of_kind("PodMonitor", "ServiceMonitor", "PrometheusRule") == []


@pytest.mark.parametrize("name", ["chattr", "dispatcher", "ui"])
def test_the_token_reads_the_metrics(name: str) -> None:
    monitor = watched().find("PodMonitor", f"chatacter-{name}")
    assert monitor is not None
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    token = {"name": "chatacter-secrets", "key": "service-token"}
    assert endpoint["authorization"] == {"type": "Bearer", "credentials": token}


def test_parts_that_do_not_run_are_not_missed() -> None:
    there = watched({"dispatcher": {"enabled": False}, "ui": {"enabled": False}})
    assert not there.find("PodMonitor", "chatacter-ui")
    (rule,) = there.of_kind("PrometheusRule")
    named = [each["alert"] for group in rule["spec"]["groups"] for each in group["rules"]]
    assert [name for name in named if name.endswith("Down")] == ["ChatacterChattrDown"]


def test_each_alert_names_a_job_that_a_monitor_makes() -> None:
    """Without a label for it, the operator calls a PodMonitor's job NAMESPACE/NAME."""
    jobs = {f"{NAMESPACE}/{each['metadata']['name']}" for each in watched().of_kind("PodMonitor")}
    named = {job for expression in alerts().values() for job in re.findall(r'job="([^"]+)"', expression)}
    assert named
    assert named <= jobs


def test_what_every_replica_tells_alike_is_never_added_up() -> None:
    counted = [each for each in alerts().values() if "chatacter_jobs_outstanding" in each]
    assert counted
    for expression in counted:
        before, _, _ = expression.partition("chatacter_jobs_outstanding")
        assert re.findall(r"\b(sum|max|count|avg)\b", before)[-1] == "max"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """What Chattr and Visualizr tell at `/metrics` after a chat and a film."""
    folder = tmp_path_factory.mktemp("metrics")
    with (
        redis_started() as redis,
        llm_started(Script()) as llm,
        three_services(folder, redis, llm, SERVICE_TOKEN=TOKEN) as (chattr, _, visualizr),
    ):
        yield worked(chattr.url) + read(visualizr.url)


def worked(url: str) -> str:
    asked = {"model": "robin", "messages": [{"role": "user", "content": "Hello!"}]}
    with httpx.Client(base_url=url, timeout=30) as client:
        assert client.post("/v1/chat/completions", json=asked).is_success
        film = client.post("/v1/videos", json={"prompt": "Good day.", "character": "robin"}).raise_for_status().json()
        asyncio.run(until(lambda: client.get(f"/v1/videos/{film['id']}").json()["status"] == "completed", 60))
    return read(url)


def read(url: str) -> str:
    return httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}, timeout=30).raise_for_status().text


def test_the_alerts_speak_of_metrics_that_are_there(told: str) -> None:
    samples = {line.partition("{")[0].partition(" ")[0] for line in told.splitlines() if not line.startswith("#")}
    known = samples | {line.split()[2] for line in told.splitlines() if line.startswith("# TYPE")}
    suffixed = {f"{name}{suffix}" for name in known for suffix in ("", "_count", "_bucket")}
    named = {name for expression in alerts().values() for name in NAME.findall(expression)}
    assert "chatacter_jobs_outstanding" in named
    assert named - suffixed == set()


def test_the_alerts_speak_of_labels_that_are_there(told: str) -> None:
    ours = {"job", "namespace", "model"}
    labels = {name for match in LABEL.finditer("\n".join(alerts().values())) for name in match.groups() if name}
    assert "chatacter_model" in labels
    assert {name for name in labels - ours if f'{name}="' not in told} == set()


def test_the_time_to_the_first_text_has_a_bucket_at_the_alerts_limit(told: str) -> None:
    limit = float(alerts()["ChatacterSlowReplies"].rpartition(">")[2])
    buckets = re.findall(r'gen_ai_server_time_to_first_token_seconds_bucket\{.*?le="([0-9.]+)"', told)
    assert limit in {float(bucket) for bucket in buckets}
    assert sum(float(bucket) < limit for bucket in buckets) >= 3
