"""checkov finds nothing in what is rendered but what checkov.yaml argues. Predictors are shown to it as Deployments."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.manifests import helm
from scripts.manifests.helm import Manifest
from scripts.manifests.programs import run
from tests.manifests.rendering import Installation, installations
from tests.manifests.schemas import is_custom
from tests.manifests.workloads import Cluster, Pods

pytestmark = pytest.mark.manifests

ARGUED: list[dict[str, Any]] = helm.objects(Path(__file__).with_name("checkov.yaml").read_text("utf-8"))[0]


def shown(installation: Installation) -> Iterator[Manifest]:
    """What checkov understands of an installation."""
    manifests = installation.manifests()
    yield from (each for each in manifests if not is_custom(each))
    for pods in Cluster(manifests).pods():
        if pods.owner.startswith("InferenceService/"):
            yield as_deployment(pods)


def as_deployment(pods: Pods) -> Manifest:
    template = {"metadata": {"labels": pods.labels, "annotations": pods.annotations}, "spec": pods.spec}
    name = f"{pods.owner.partition('/')[2]}-predictor"
    spec = {"replicas": 2, "selector": {"matchLabels": pods.labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


@pytest.fixture(scope="module")
def findings(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str, str]]:
    """Every check that failed: its number, its name, and the object."""
    folder = tmp_path_factory.mktemp("rendered")
    for installation in installations():
        if installation.mode == "own":
            text = yaml.safe_dump_all(shown(installation), sort_keys=False)
            (folder / f"{installation}.yaml").write_text(text, "utf-8")
    arguments = ("--framework", "kubernetes", "--compact", "--quiet", "--skip-download", "--soft-fail")
    done = run("checkov", "--directory", folder, *arguments, "--output", "json")
    told = json.loads(done.stdout)
    assert told["summary"]["parsing_errors"] == 0
    assert told["summary"]["resource_count"] > 100
    return {(f["check_id"], f["check_name"], f["resource"]) for f in told["results"]["failed_checks"]}


def is_argued(check: str, resource: str) -> bool:
    return any(row["check"] == check and re.search(row.get("only", ""), resource) for row in ARGUED)


def test_nothing_is_found_that_is_not_argued(findings: set[tuple[str, str, str]]) -> None:
    assert sorted(each for each in findings if not is_argued(each[0], each[2])) == []


def test_every_argument_is_still_needed(findings: set[tuple[str, str, str]]) -> None:
    assert {(row["check"], row["finding"]) for row in ARGUED} == {(check, name) for check, name, _ in findings}
    assert all(row["reason"] for row in ARGUED)
