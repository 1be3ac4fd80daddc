"""What an upgrade rolls, and what it leaves alone."""

import hashlib
import re
import shutil
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import CHART, Manifest
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

WHOLE = helm.merged(helm.LEAST, {"redis": {"cache": {"enabled": True}}})


def pods(manifests: list[Manifest]) -> dict[str, Any]:
    """What the pods of each workload are, by its name: whoever differs is rolled."""
    return {each.owner: (each.labels, each.annotations, each.spec) for each in Cluster(manifests).pods()}


def rolled(before: list[Manifest], after: list[Manifest]) -> set[str]:
    old, new = pods(before), pods(after)
    return {owner for owner in old.keys() & new.keys() if old[owner] != new[owner] and not owner.startswith("Pod/")}


def with_version(folder: Path, version: str) -> Path:
    """A copy of the chart and its parts with another version."""
    copy = Path(shutil.copytree(CHART, folder / version / CHART.name))
    for file in copy.rglob("Chart.yaml"):
        file.write_text(
            re.sub(r"(?m)^(\s*)version: .*$", rf"\g<1>version: {version}", file.read_text("utf-8")), "utf-8"
        )
    return copy


def test_a_new_version_of_the_chart_alone_rolls_nothing(tmp_path: Path) -> None:
    first, second = (
        helm.objects(helm.template((), WHOLE, chart=with_version(tmp_path, version))) for version in ("7.0.0", "7.0.1")
    )
    assert [each["metadata"]["labels"]["helm.sh/chart"] for each in second if each["kind"] == "Service"]
    assert rolled(first, second) == set()


@pytest.mark.parametrize(
    ("changed", "rolls"),
    [
        ({"redis": {"config": {"timeout": "60"}}}, {"StatefulSet/chatacter-redis"}),
        ({"redis": {"cache": {"config": {"timeout": "60"}}}}, {"Deployment/chatacter-redis-cache"}),
        (
            {"otel-collector": {"export": {"endpoint": "https://otlp.example.org"}}},
            {"Deployment/chatacter-otel-collector"},
        ),
        ({"characters": {"files": {"a.yaml": "name: A"}}}, {"Deployment/chatacter-chattr"}),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_a_changed_configuration_rolls_who_reads_it(changed: Mapping[str, Any], rolls: set[str]) -> None:
    before, after = (helm.objects(helm.template((), each)) for each in (WHOLE, helm.merged(WHOLE, changed)))
    assert rolled(before, after) == rolls


# Every secret as a value, and none elsewhere.
GIVEN = {
    "global": {"existingSecret": "", "serviceToken": {"value": "0123456789abcdef"}},
    "secrets": {"modelApiKey": "key", "apiKeys": "{}"},
    "redis": {"auth": {"password": "one"}},
    "qdrant": {"auth": {"apiKey": "one"}},
}


def given(path: str, value: str) -> list[Manifest]:
    """Render the chart with one secret, at a dotted path, changed."""
    changed: Any = value
    for step in reversed(path.split(".")):
        changed = {step: changed}
    return helm.objects(helm.template((), helm.merged(WHOLE, GIVEN, changed)))


@pytest.mark.parametrize(
    ("path", "value", "rolls"),
    [
        ("global.serviceToken.value", "f" * 16, "SERVICE_TOKEN"),
        ("secrets.modelApiKey", "another", "MODEL__API_KEY"),
        ("redis.auth.password", "two", "redis-password"),
        ("qdrant.auth.apiKey", "two", "qdrant-api-key"),
    ],
)
def test_a_changed_secret_rolls_everyone_who_was_given_it(path: str, value: str, rolls: str) -> None:
    before = helm.objects(helm.template((), helm.merged(WHOLE, GIVEN)))
    named = {owner for owner, (_, _, spec) in pods(before).items() if rolls in str(spec)}
    assert named
    assert rolled(before, given(path, value)) == named - {"Pod/chatacter-test"}


def alike(text: str, count: int) -> list[str]:
    """Other texts whose hash begins with the same 16 bits."""
    hashes = (
        (guess, hashlib.sha256(f'"{guess}"'.encode()).hexdigest()) for guess in map("{:016d}".format, range(10**7))
    )
    wanted = hashlib.sha256(f'"{text}"'.encode()).hexdigest()[:4]
    return list(islice((guess for guess, found in hashes if found.startswith(wanted)), count))


@pytest.mark.parametrize(
    "path",
    [
        "global.serviceToken.value",
        "secrets.modelApiKey",
        "secrets.apiKeys",
        "redis.auth.password",
        "qdrant.auth.apiKey",
        "qdrant.auth.readOnly.apiKey",
    ],
)
def test_no_annotation_betrays_a_secret_to_who_guesses(path: str) -> None:
    """Of a list of guesses many fit what is told: pods are the same with any of them."""
    first, *others = alike("a weak password", 3)
    for other in others:
        assert rolled(given(path, first), given(path, other)) == set()
