"""Writes what is rendered from the chart and kept: the manifests for kubectl, and the golden renders of the tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from . import helm
from .helm import CHART, Manifest
from .programs import ROOT

HEAD = "# Rendered from charts/chatacter by scripts/render; changes are made there.\n"
# Without Helm nobody gives secrets as values: there is nothing of which a checksum could tell.
HELMS_OWN = ("helm.sh/", "app.kubernetes.io/managed-by", "checksum/secret", "checksum/service-token")
HOOK = "helm.sh/hook"
INFERENCE = Path("inference")
BASE = Path("kustomize") / "base"
GOLDEN = Path("tests") / "manifests" / "golden"
# The renders that are kept whole, by the values file that they are made of.
KEPT = ("values", "values-gpu", "values-dev", "values-knative", "values-airgapped")
# `kubectl apply -k` starts with what Helm must be told, and without policies: a component adds them.
ON_ITS_OWN: dict[str, Any] = helm.merged(helm.LEAST, {"global": {"networkPolicy": {"enabled": False}}})
Files = dict[Path, Callable[[], str]]


class Plain(yaml.SafeDumper):
    """Writes text of several lines as a block, and nothing as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def write_text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


Plain.add_representer(str, write_text)


def dump(manifests: list[Manifest]) -> str:
    """Write objects as YAML documents."""
    return HEAD + yaml.dump_all(manifests, Dumper=Plain, sort_keys=False, width=120, explicit_start=True)


def stripped(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield what belongs into a cluster without Helm: no hooks, no `helm test`, none of Helm's labels."""
    for each in manifests:
        if HOOK not in each["metadata"].get("annotations", {}) and component(each) != "test":
            yield without_helm(each)


def without_helm(node: Any) -> Any:
    if isinstance(node, list):
        return [without_helm(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: without_helm(value) for key, value in node.items() if not key.startswith(HELMS_OWN)}
    if node.get("annotations") and not kept["annotations"]:
        del kept["annotations"]
    return kept


def component(manifest: Manifest) -> str:
    return str(manifest["metadata"]["labels"]["app.kubernetes.io/component"])


def place(manifest: Manifest) -> Path:
    """Say in which file an object lies."""
    name = manifest["metadata"]["name"].removeprefix(f"{helm.RELEASE}-")
    if component(manifest) == "predictor":
        model = manifest["metadata"]["labels"].get("chatacter.ai/model", name)
        folder = "runtimes" if manifest["kind"] == "ServingRuntime" else "services"
        return INFERENCE / folder / f"{model}.yaml"
    return BASE / f"{component(manifest)}.yaml"


def further() -> dict[Path, list[Manifest]]:
    """Give the objects of the models that values-gpu.yaml has beside the default ones.

    Who applies them accepts no licence by that: the setting that says so is left out, and theirs to add.
    """
    gpu = CHART / "values-gpu.yaml"
    models = helm.objects(gpu.read_text("utf-8"))[0]["inference"]["models"]
    own = {key: {"enabled": True, "acceptLicense": True} for key, model in models.items() if "backend" in model}
    files: dict[Path, list[Manifest]] = {}
    for each in stripped(helm.objects(helm.template((gpu,), helm.merged(ON_ITS_OWN, {"inference": {"models": own}})))):
        if each["metadata"]["labels"].get("chatacter.ai/model") in own:
            files.setdefault(place(each), []).append(without_acceptance(each))
    return files


def without_acceptance(node: Any) -> Any:
    if isinstance(node, list):
        return [without_acceptance(each) for each in node if not accepts(each)]
    return {key: without_acceptance(value) for key, value in node.items()} if isinstance(node, dict) else node


def accepts(node: Any) -> bool:
    """Whether this is the variable that accepts licences."""
    return isinstance(node, dict) and node.get("name") == "ACCEPT_MODEL_LICENSES"


def for_kubectl() -> dict[Path, str]:
    """Write the default installation as files for `kubectl apply -k`, and beside it the models that it leaves out."""
    files: dict[Path, list[Manifest]] = {}
    for each in stripped(helm.objects(helm.template((), ON_ITS_OWN))):
        files.setdefault(place(each), []).append(each)
    written = {path: dump(manifests) for path, manifests in sorted(files.items())}
    listed = [str(path.relative_to(INFERENCE)) for path in written if path.is_relative_to(INFERENCE)]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": listed,
    }
    beside = {path: dump(manifests) for path, manifests in sorted(further().items())}
    return {**written, **beside, INFERENCE / "kustomization.yaml": dump([kustomization])}


def golden(values: Path) -> str:
    """Render a values file whole, in an order that does not depend on the templates' names."""
    files = () if values.name == "values.yaml" else (values,)
    manifests = helm.objects(helm.template(files, helm.least(files)))
    return dump(sorted(manifests, key=lambda each: (each["kind"], each["metadata"]["name"])))


def goldens() -> Files:
    """Every golden render that there is a values file for."""
    found = [CHART / f"{name}.yaml" for name in KEPT]
    return {GOLDEN / path.name: lambda path=path: golden(path) for path in found if path.exists()}


def strays(kept: set[Path]) -> list[Path]:
    """Files that were rendered once and no longer are."""
    folders = (INFERENCE / "runtimes", INFERENCE / "services", GOLDEN)
    there = {path.relative_to(ROOT) for folder in folders for path in (ROOT / folder).glob("*.yaml")}
    base = (ROOT / BASE).glob("*.yaml")
    there |= {path.relative_to(ROOT) for path in base if path.read_text("utf-8").startswith(HEAD)}
    return sorted(there - kept)
