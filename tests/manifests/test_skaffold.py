"""skaffold.yaml fits the chart and the Dockerfile: it builds what is deployed and deploys what it builds."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from scripts.manifests import helm
from scripts.manifests.helm import Manifest
from tests.dockerfile import Dockerfile

pytestmark = pytest.mark.manifests

ROOT = Path(__file__).parents[2]
FILE: dict[str, Any] = yaml.safe_load((ROOT / "skaffold.yaml").read_text("utf-8"))
ARTIFACTS: list[dict[str, Any]] = FILE["build"]["artifacts"]
PROFILES = {profile["name"]: profile for profile in FILE["profiles"]}
RELEASES: dict[str, dict[str, Any]] = {
    name: profile["deploy"]["helm"]["releases"][0] for name, profile in {"": FILE, **PROFILES}.items()
}
# Kinds in which Skaffold replaces images without being told. Source: Skaffold, "Resource Selector".
KNOWN = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod", "ReplicaSet"}
# Read when the tests are collected, since their environment is clean.
SCHEMA = os.environ.get("SKAFFOLD_SCHEMA")


def values_of(release: dict[str, Any]) -> dict[str, Any]:
    """The values that a release sets, templates with their defaults filled in."""
    templates = release["setValueTemplates"]
    filled = {name: re.sub(r'\{\{default "([^"]*)" \.\w+\}\}', r"\1", value) for name, value in templates.items()}
    found: dict[str, Any] = {}
    for path, value in {**release["setValues"], **filled}.items():
        assert "{{" not in value, f"{path} is given by nobody"
        *parents, last = path.split(".")
        place = found
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value
    return found


def deployed(profile: str) -> list[Manifest]:
    release = RELEASES[profile]
    files = [ROOT / name for name in release.get("valuesFiles", [])]
    return helm.objects(helm.template(files, values_of(release)))


def images(value: Any) -> Iterator[str]:
    """Every image that an object names, wherever it does."""
    if isinstance(value, dict):
        if isinstance(value.get("image"), str):
            yield value["image"]
        for each in value.values():
            yield from images(each)
    elif isinstance(value, list):
        for each in value:
            yield from images(each)


def test_it_follows_its_schema() -> None:
    if SCHEMA is None:
        pytest.skip("SKAFFOLD_SCHEMA does not name the schema of its version")
    validator = jsonschema_rs.validator_for(json.loads(Path(SCHEMA).read_text()))
    assert [error.message for error in validator.iter_errors(FILE)] == []


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact["image"].rpartition("-")[2])
def test_what_is_built_is_a_target_of_the_dockerfile(artifact: dict[str, Any]) -> None:
    docker = artifact["docker"]
    file = Dockerfile(ROOT / docker["dockerfile"])
    assert docker["target"] in file.stages
    assert artifact["image"].endswith(f"-{docker['target']}")
    assert set(docker.get("buildArgs", {})) <= file.outer.arguments.keys()


@pytest.mark.parametrize("profile", RELEASES)
def test_every_image_of_ours_is_built_and_every_image_that_is_built_is_deployed(profile: str) -> None:
    used = {image.partition(":")[0] for each in deployed(profile) for image in images(each)}
    assert {image for image in used if "chatacter" in image} == {artifact["image"] for artifact in ARTIFACTS}


@pytest.mark.parametrize("profile", RELEASES)
def test_images_are_replaced_wherever_they_stand(profile: str) -> None:
    allowed = {each["groupKind"] for each in FILE["resourceSelector"]["allow"]}
    assert allowed == {"InferenceService.serving.kserve.io", "ServingRuntime.serving.kserve.io"}
    for each in deployed(profile):
        group = each["apiVersion"].rpartition("/")[0]
        if any("chatacter" in image for image in images(each)):
            assert each["kind"] in KNOWN or f"{each['kind']}.{group}" in allowed, each["kind"]


@pytest.mark.parametrize("profile", RELEASES)
def test_what_is_named_exists(profile: str) -> None:
    release = RELEASES[profile]
    assert (ROOT / release["chartPath"] / "Chart.yaml").is_file()
    assert all((ROOT / name).is_file() for name in release.get("valuesFiles", []))
    services = {each["metadata"]["name"]: each for each in deployed(profile) if each["kind"] == "Service"}
    for forward in FILE["portForward"]:
        ports = {port["port"] for port in services[forward["resourceName"]]["spec"]["ports"]}
        assert forward["port"] in ports


def test_there_is_a_profile_for_each_overlay() -> None:
    assert PROFILES.keys() == {"kind", "eks", "gke"}
    assert PROFILES["kind"]["build"]["local"]["push"] is False


def test_no_secret_passes_through_it() -> None:
    assert not re.search(r"api.?key|password|token", json.dumps(FILE), re.IGNORECASE)
