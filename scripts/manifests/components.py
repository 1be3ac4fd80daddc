"""Writes kustomize's components: what the chart renders otherwise with a component's values, as patches on the base."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import helm
from .helm import CHART, Manifest
from .programs import ROOT
from .rendered import ON_ITS_OWN, dump, stripped

KUSTOMIZE = Path("kustomize")
COMPONENTS = KUSTOMIZE / "components"
SOURCE = "values.yaml"
OBJECTS = "objects.yaml"
# Lists that kustomize merges by a key in a pod's template, so that components can change the same list.
MERGED_BY = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
RULES = {"/spec/ingress", "/spec/egress"}
WITH_POD_TEMPLATE = {"Deployment", "StatefulSet"}
# What may stand beside a component and is changed by it, too.
BESIDE = {"scale-to-zero": ("network-policies", "gpu-l4"), "network-policies": ()}
# What the overlays are made of: the chart's ready-made values for a kind of cluster.
CLUSTERS = {"kind": "values-dev.yaml", "eks": "values-eks.yaml", "gke": "values-gke.yaml"}

Identity = tuple[str, str, str]
Objects = dict[Identity, Manifest]
Operation = dict[str, Any]


def installed(*values: dict[str, Any]) -> Objects:
    """Render the chart with values over those of the base, without what only Helm needs."""
    manifests = helm.objects(helm.template((), helm.merged(ON_ITS_OWN, *values)))
    return {identity(each): each for each in stripped(manifests)}


def identity(manifest: Manifest) -> Identity:
    return manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"]


def source(name: str) -> Path:
    """Say where the values of a component stand."""
    return CHART / CLUSTERS[name] if name in CLUSTERS else ROOT / COMPONENTS / name / SOURCE


def values_of(name: str) -> dict[str, Any]:
    """Read the values that make a component."""
    return dict(yaml.safe_load(source(name).read_text("utf-8")))


def names() -> list[str]:
    """Every component, by its folder."""
    return sorted({*CLUSTERS, *(path.parent.name for path in (ROOT / COMPONENTS).glob(f"*/{SOURCE}"))})


def operation(op: str, path: str, value: Any) -> Operation:
    # The value does not come last: kustomize cuts the end of a patch, and with it the last line's end of a text.
    return {"op": op, "value": value, "path": path}


def operations(before: Any, after: Any, path: str = "") -> Iterator[Operation]:
    """Yield JSON Patch operations (RFC 6902) that make the one into the other; a list is replaced whole."""
    if before == after:
        return
    if path in RULES and any(rule in before for rule in after):
        # Rules add up, so several components can append theirs. One that is left over leads where nothing is installed.
        yield from (operation("add", f"{path}/-", rule) for rule in after if rule not in before)
        return
    if not (isinstance(before, dict) and isinstance(after, dict)):
        yield operation("replace", path, after)
        return
    for key in before.keys() | after.keys():
        below = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in after:
            yield {"op": "remove", "path": below}
        elif key not in before:
            yield operation("add", below, after[key])
        else:
            yield from operations(before[key], after[key], below)


def merge_patch(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return the strategic merge patch that makes the one into the other."""
    patch: dict[str, Any] = {}
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key) == after.get(key):
            continue
        if key not in after:
            patch[key] = None
        elif key in MERGED_BY and key in before:
            patch[key] = merged_items(before[key], after[key], MERGED_BY[key])
        elif isinstance(before.get(key), dict) and isinstance(after[key], dict):
            patch[key] = merge_patch(before[key], after[key])
        else:
            patch[key] = after[key]
    return patch


def merged_items(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Return the part of a strategic merge patch for a list whose items have a key."""
    old = {each[key]: each for each in before}
    new = {each[key]: each for each in after}
    items = [{"$patch": "delete", key: name} for name in old if name not in new]
    for name, each in new.items():
        if name not in old:
            items.append(each)
        elif old[name] != each:
            items.append({key: name, **merge_patch(old[name], each)})
    return items


def change_of(before: Manifest, after: Manifest | None) -> Any:
    """Return a patch that makes the one into the other, of the kind that fits; nothing if nothing is to be changed."""
    version, kind, name = identity(before)
    head = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    if after is None:
        return {"$patch": "delete", **head}
    if kind in WITH_POD_TEMPLATE:
        return helm.merged(head, change) if (change := merge_patch(before, after)) else None
    return sorted(operations(before, after), key=lambda each: each["path"])


def patch(changed: Identity, change: Any) -> dict[str, Any]:
    """Return an item of kustomize's `patches`. It names its target, so that it is idle where that is not installed."""
    version, kind, name = changed
    group, _, version = version.rpartition("/")
    target = {"group": group, "version": version, "kind": kind, "name": name}
    return {"target": {key: value for key, value in target.items() if value}, "patch": text(change)}


def text(body: Any) -> str:
    return dump([body]).split("---\n", 1)[1]


def component(name: str) -> dict[Path, str]:
    """Write one component."""
    # Where what stands beside it is not installed, its patches find nothing.
    beside = [values_of(each) for each in BESIDE.get(name, ("network-policies",))]
    before, after = installed(*beside), installed(*beside, values_of(name))
    added = [after[each] for each in after if each not in before]
    changes = ((each, change_of(before[each], after.get(each))) for each in before)
    patches = [patch(each, change) for each, change in changes if change]
    folder = COMPONENTS / name
    kustomization: dict[str, Any] = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    files = {}
    if added:
        kustomization["resources"] = [OBJECTS]
        files[folder / OBJECTS] = dump(added)
    if patches:
        kustomization["patches"] = patches
    return {**files, folder / "kustomization.yaml": dump([kustomization])}


def written() -> dict[Path, str]:
    """Write every component."""
    return {path: content for name in names() for path, content in component(name).items()}
