"""What rolls which of Chattr's, the dispatcher's and the page's pods, and how."""

from typing import Any

import pytest

from scripts.manifests import helm
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

PARTS = ("chattr", "dispatcher", "ui")
ONE_CHATTR: dict[str, Any] = {
    "chattr": {"replicas": 1, "autoscaling": {"enabled": False}},
    "dispatcher": {"enabled": False},
}


def deployments(given: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cluster = Cluster(Installation(given=given).manifests())
    found = {part: cluster.find("Deployment", f"chatacter-{part}") for part in PARTS}
    return {part: each["spec"] for part, each in found.items() if each is not None}


def rolled(given: dict[str, Any], before: dict[str, Any] | None = None) -> set[str]:
    old, new = deployments(before or {}), deployments(helm.merged(before or {}, given))
    return {part for part in PARTS if old[part]["template"] != new[part]["template"]}


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({"global": {"serviceToken": {"value": "another-token-of-ours"}}}, {"chattr", "dispatcher", "ui"}),
        ({"redis": {"auth": {"password": "another"}}}, {"chattr", "dispatcher"}),
        ({"secrets": {"apiKeys": '{"keys": []}'}}, {"chattr"}),
        ({"qdrant": {"auth": {"apiKey": "another"}}}, {"chattr"}),
        ({"characters": {"files": {"ada.yaml": {"name": "Ada"}}}}, {"chattr"}),
    ],
)
def test_a_change_rolls_those_who_read_it_and_nobody_else(given: dict[str, Any], parts: set[str]) -> None:
    before: dict[str, Any] = {
        "global": {"serviceToken": {"value": "a-token-of-16-signs"}},
        "redis": {"auth": {"password": "word"}},
        "qdrant": {"auth": {"apiKey": "key"}},
        "secrets": {"apiKeys": "{}"},
        "characters": {"files": {"bob.yaml": {"name": "Bob"}}},
    }
    assert rolled(given, before) == parts


@pytest.mark.parametrize(
    ("assets", "strategy"),
    [
        ({"persistence": {"accessMode": "ReadWriteMany"}}, "RollingUpdate"),
        ({"persistence": {"accessMode": "ReadWriteOnce"}}, "Recreate"),
        ({"persistence": {"accessMode": "ReadWriteOnce", "existingClaim": "mine"}}, "Recreate"),
        ({"persistence": {"accessMode": "ReadWriteOnce"}, "url": "s3://bucket"}, "RollingUpdate"),
    ],
)
def test_a_volume_for_one_node_is_let_go_before_the_next_pod_takes_it(assets: dict[str, Any], strategy: str) -> None:
    assert deployments({**ONE_CHATTR, "assets": assets})["chattr"]["strategy"]["type"] == strategy


@pytest.mark.parametrize("mode", ["own", "plain"])
def test_another_version_of_the_chart_alone_rolls_nobody(mode: str) -> None:
    pods = Cluster(Installation(mode=mode).manifests()).pods()
    assert any("chatacter.ai/model" in each.labels for each in pods)
    assert [each.owner for each in pods if "helm.sh/chart" in each.labels and not each.owner.startswith("Pod/")] == []
