"""Objects against the schemas of their kinds: Kubernetes' own from `kubernetes-validate`, custom ones from a folder."""

import json
import os
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts.manifests.helm import Manifest
from scripts.manifests.programs import ROOT

# The oldest release that the chart takes, and the newest whose schemas are known.
RELEASES = ("v1.32", "v1.37")
# Kinds of one vendor's cloud, who publishes no schemas of them.
UNJUDGED = frozenset({"networking.gke.io/v1"})
# A test's environment is clean, so this is read before.
CUSTOM = Path(os.environ.get("KUBE_SCHEMAS") or ROOT.parent / "shared" / "kube-schemas")


def core_folder(release: str) -> Any:
    """The strict schemas of one release of Kubernetes."""
    kept = files("kubernetes_validate") / "kubernetes-json-schema"
    return next(each for each in kept.iterdir() if each.name.startswith(release) and each.name.endswith("-strict"))


@cache
def core_definitions(release: str) -> Any:
    return json.loads((core_folder(release) / "_definitions.json").read_text("utf-8"))


@cache
def core_validator(release: str, api_version: str, kind: str) -> Any | None:
    """A validator of one of Kubernetes' own kinds; None where this release does not know it."""
    group, _, version = api_version.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], version) if part)
    file = core_folder(release) / f"{name}.json"
    if not file.is_file() or not is_core(group):
        return None
    schema = json.loads(file.read_text("utf-8"))
    registry = jsonschema_rs.Registry([("urn:x/_definitions.json", core_definitions(release))])
    return jsonschema_rs.Draft202012Validator(schema, registry=registry, base_uri="urn:x/schema.json")


def is_core(group: str) -> bool:
    """Whether a group belongs to Kubernetes itself, so that nothing but its own schemas may speak for it."""
    return "." not in group or (group.endswith(".k8s.io") and group != "gateway.networking.k8s.io")


@cache
def custom_validator(api_version: str, kind: str) -> Any | None:
    group, _, version = api_version.partition("/")
    file = CUSTOM / group / f"{kind.lower()}_{version}.json"
    if not file.is_file():
        return None
    return jsonschema_rs.Draft7Validator(json.loads(file.read_text("utf-8"), object_hook=readable))


def readable(schema: dict[str, Any]) -> dict[str, Any]:
    """Leave out a pattern with a flag in its middle, which Go reads and JSON Schema does not know."""
    return {key: value for key, value in schema.items() if key != "pattern" or "(?i)" not in str(value)}


def without_session_persistence(route: Manifest) -> Manifest:
    """A route without the one field that only the Gateway API's experimental channel knows (`httpRoute` says so)."""
    rules = [{k: v for k, v in rule.items() if k != "sessionPersistence"} for rule in route["spec"]["rules"]]
    return {**route, "spec": {**route["spec"], "rules": rules}}


EXPERIMENTAL = {"HTTPRoute": without_session_persistence}


def is_custom(manifest: Manifest) -> bool:
    return not is_core(manifest["apiVersion"].rpartition("/")[0])


def validators(manifest: Manifest) -> list[Any | None]:
    """Whoever knows this kind; a core kind must be known to every release that the chart takes."""
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    if is_custom(manifest):
        return [custom_validator(api_version, kind)]
    return [core_validator(release, api_version, kind) for release in RELEASES]


def faults(manifest: Manifest) -> list[str]:
    """What is wrong with an object by the schema of its kind; an unknown kind is a fault."""
    manifest = EXPERIMENTAL.get(manifest["kind"], lambda each: each)(manifest)
    identity = f"{manifest['kind']}/{manifest['metadata'].get('name')}"
    found = set()
    for validator in validators(manifest) if manifest["apiVersion"] not in UNJUDGED else ():
        if validator is None:
            found.add(f"{identity}: no schema knows {manifest['apiVersion']} {manifest['kind']}")
        else:
            for error in validator.iter_errors(manifest):
                found.add(f"{identity} {'.'.join(map(str, error.instance_path))}: {error.message}")
    return sorted(found)


def custom_schemas_or_skip() -> None:
    """Skip, and say so, where the schemas of custom resources are not at hand."""
    if not CUSTOM.is_dir():
        pytest.skip("custom resources are not judged: KUBE_SCHEMAS names no folder of their schemas")
