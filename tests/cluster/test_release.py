"""An API server takes the release, changes it, takes it back and forgets it. No pod needs to run for it."""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import CHART
from scripts.manifests.programs import ROOT
from tests.cluster.api_server import Cluster

pytestmark = pytest.mark.cluster

# What outlives a release on purpose: the media, and the volumes of the stores.
KEPT = ("PersistentVolumeClaim",)
FILES = ["values.yaml", "values-dev.yaml", "values-gpu.yaml"]


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace that enforces and warns of the restricted Pod Security Standard."""
    name = f"chatacter-test-{secrets.token_hex(4)}"
    levels = [f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn")]
    for command in (("create", "namespace", name), ("label", "namespace", name, *levels)):
        done = cluster.kubectl(*command)
        assert not done.returncode, done.stderr
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def given(file: str, **more: Any) -> str:
    path = CHART / file
    values = helm.objects(path.read_text("utf-8"))[0]
    return json.dumps(helm.merged(helm.least(() if file == "values.yaml" else (path,)), values, more))


def said(cluster: Cluster, namespace: str, *command: str, values: str | None = None) -> str:
    """Run Helm in the namespace; a warning of the API server is a fault."""
    more = ("--values", "-") if values else ()
    done = cluster.helm(*command, "--namespace", namespace, *more, given=values)
    assert not done.returncode, done.stderr
    assert "arning" not in done.stderr, done.stderr
    return done.stdout


def found(cluster: Cluster, namespace: str) -> list[str]:
    """Everything of the release that the API server knows, as Kind/name."""
    kinds = cluster.kubectl("api-resources", "--namespaced", "--verbs=list", "--output=name").stdout.split()
    listed = [kind for kind in kinds if not kind.startswith(("events", "leases"))]
    chosen = ("--namespace", namespace, "--selector", "app.kubernetes.io/part-of=chatacter", "--output", "json")
    done = cluster.kubectl("get", ",".join(listed), *chosen)
    assert not done.returncode, done.stderr
    return [f"{each['kind']}/{each['metadata']['name']}" for each in json.loads(done.stdout)["items"]]


@pytest.mark.parametrize("file", FILES)
def test_the_server_takes_every_object_and_warns_of_none(cluster: Cluster, namespace: str, file: str) -> None:
    text = said(cluster, namespace, "install", "chatacter", str(CHART), "--dry-run=server", values=given(file))
    assert "kind: Deployment" in text
    rendered = said(cluster, namespace, "template", "chatacter", str(CHART), values=given(file))
    checked = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "--namespace", namespace, "-f", "-")
    done = cluster.kubectl(*checked, given=rendered)
    assert not done.returncode, done.stderr
    assert "arning" not in done.stderr, done.stderr


def test_a_release_is_installed_upgraded_rolled_back_and_gone(cluster: Cluster, namespace: str) -> None:
    name, chart = "chatacter", str(CHART)
    said(cluster, namespace, "install", name, chart, values=given("values.yaml"))
    first = sorted(found(cluster, namespace))
    assert "Deployment/chatacter-chattr" in first
    assert "InferenceService/chatacter-voice" in first

    said(cluster, namespace, "upgrade", name, chart, values=given("values.yaml", ui={"enabled": False}))
    assert "Deployment/chatacter-ui" not in found(cluster, namespace)

    said(cluster, namespace, "rollback", name, "1")
    assert sorted(found(cluster, namespace)) == first

    said(cluster, namespace, "uninstall", name)
    assert [each for each in found(cluster, namespace) if not each.startswith(KEPT)] == []


@pytest.mark.parametrize("folder", sorted((ROOT / "kustomize" / "overlays").glob("*/")), ids=lambda folder: folder.name)
def test_the_server_takes_what_kubectl_applies(cluster: Cluster, folder: Path) -> None:
    cluster.kubectl("create", "namespace", "chatacter")
    done = cluster.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-k", str(folder))
    assert not done.returncode, done.stderr
    assert "arning" not in done.stderr, done.stderr
