"""What `kubectl apply -k` sends is as sound as what Helm sends, for each overlay and each combination of components."""

from functools import cache
from pathlib import Path

import pytest
import yaml

from scripts.manifests import components, helm
from scripts.manifests.helm import Manifest
from scripts.manifests.programs import ROOT, run
from tests.manifests import schemas
from tests.manifests.conformity import faults

pytestmark = pytest.mark.manifests

KUSTOMIZE = ROOT / "kustomize"
FOLDERS = [
    KUSTOMIZE / "base",
    *sorted(path for group in ("overlays", "tests") for path in (KUSTOMIZE / group).iterdir()),
]

every = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


@cache
def built(folder: Path) -> list[Manifest]:
    done = run("kubectl", "kustomize", folder)
    assert not done.returncode, done.stderr
    assert not done.stderr, done.stderr
    return helm.objects(done.stdout)


@every
def test_kubernetes_knows_every_field(folder: Path) -> None:
    core = [each for each in built(folder) if not schemas.is_custom(each)]
    assert core
    assert [fault for each in core for fault in schemas.faults(each)] == []


@every
def test_the_operators_know_every_field(folder: Path) -> None:
    schemas.custom_schemas_or_skip()
    assert [fault for each in built(folder) if schemas.is_custom(each) for fault in schemas.faults(each)] == []


@every
def test_names_ports_selectors_and_security_hold(folder: Path) -> None:
    read = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    names = [Path(each).name for each in read.get("components", [])]
    values = helm.merged(helm.defaults(), helm.LEAST, *map(components.values_of, names))
    assert faults(built(folder), values, release=False) == []


@every
def test_nothing_of_helm_is_left(folder: Path) -> None:
    told = yaml.safe_dump_all(built(folder))
    assert "helm.sh/" not in told
    assert "managed-by: Helm" not in told
    assert "kind: Secret\n" not in told
