"""What people read after `helm install`: commands that fit this installation, what is off, what to mind."""

import json
import re
from importlib.metadata import entry_points
from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import CHART, LEAST, NAMESPACE, RELEASE
from scripts.manifests.programs import run
from tests.manifests.rendering import MODES, Installation
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

DOOR: dict[str, Any] = {"ingress": {"enabled": True, "host": "chat.example.org"}}
ROUTE: dict[str, Any] = {"httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["a.example"]}}


def notes(*given: dict[str, Any]) -> str:
    values = json.dumps(helm.merged(LEAST, *given))
    command = ("install", RELEASE, CHART, "--namespace", NAMESPACE, "--dry-run=client", "--values", "-")
    done = run("helm", *command, given=values)
    assert done.returncode == 0, done.stderr
    return done.stdout.partition("NOTES:\n")[2]


def named(text: str, kind: str) -> set[str]:
    return set(re.findall(rf"\b{kind}/([a-z0-9-]+)", text))


@pytest.mark.parametrize(
    "given", [{}, DOOR, ROUTE, {"ui": {"enabled": False}}], ids=["plain", "ingress", "route", "api"]
)
def test_what_is_named_is_there(given: dict[str, Any]) -> None:
    text, there = notes(given), Cluster(Installation(given=given).manifests())
    assert named(text, "deployment") == {"chatacter-chattr"}
    for kind in ("deployment", "service"):
        for name in named(text, kind):
            assert there.find(kind.title(), name), name


def test_the_first_words_go_to_where_it_answers() -> None:
    plain, door, route = notes(), notes(DOOR), notes(ROUTE)
    assert "port-forward service/chatacter-chattr 8000" in plain
    assert "curl -N http://localhost:8000/v1/chat/completions" in plain
    assert "Nothing outside the cluster leads to it" in plain
    assert "curl -N https://chat.example.org/v1/chat/completions" in door
    assert "curl -N https://a.example/v1/chat/completions" in route
    for text in (door, route):
        assert "port-forward" not in text


def test_the_request_is_json_for_the_character_that_answers() -> None:
    text = notes({"chattr": {"settings": {"DEFAULT_CHARACTER": "mira"}}})
    body = re.search(r"-d '(.*)'", text)
    assert body
    assert json.loads(body[1])["model"] == "mira"


def test_keys_go_where_this_installation_reads_them() -> None:
    assert "into the Secret chatacter-secrets under the key api_keys.json" in notes()
    assert "into the Secret mine under" in notes({"secrets": {"existingSecret": "mine"}})
    by_value = notes({"secrets": {"apiKeys": "[]"}})
    assert "--set-file secrets.apiKeys=api_keys.json" in by_value
    assert "into the Secret" not in by_value
    without = notes({"auth": {"required": False}})
    assert "No key is needed" in without
    assert "authorization" not in without


@pytest.mark.parametrize("mode", list(MODES))
def test_what_must_be_in_the_cluster_is_said(mode: str) -> None:
    serving = {"inference": {"serving": MODES[mode]}} if MODES[mode] else {}
    text = notes(serving)
    assert ("KServe" in text) == (mode != "plain")
    assert ("KEDA" in text) == (mode in {"own", "keda"})


def test_what_is_off_is_said_with_what_switches_it_on() -> None:
    off: dict[str, Any] = {
        "ui": {"enabled": False},
        "longTermMemory": {"enabled": False},
        "qdrant": {"enabled": False},
        "inference": {"enabled": False},
        "global": {"telemetry": {"enabled": False}},
        "otel-collector": {"enabled": False},
    }
    said = [line for line in notes(off).splitlines() if line.startswith("  - ") and ": " in line]
    switched = {line.removeprefix("  - ").partition(":")[0] for line in said}
    assert switched >= {"voice", "video", "long-term memory", "the page", "telemetry", "Prometheus"}
    assert "Switched off" not in notes({"global": {"monitoring": {"enabled": True}}})


def test_what_is_dangerous_is_said() -> None:
    assert "travel in the open" not in notes(DOOR)
    assert "ingress.tls.enabled=false: keys and conversations travel in the open" in notes(
        DOOR, {"ingress": {"tls": {"enabled": False}}}
    )
    assert "see that its listener has a certificate" in notes(ROUTE)
    assert "every pod of the cluster may speak with Redis" in notes({"global": {"networkPolicy": {"enabled": False}}})
    assert "chatacter-assets must be bound by a storage class" in notes()
    assert "chatacter-assets" not in notes({"assets": {"url": "s3://media"}})


def test_it_is_as_short_as_a_screen() -> None:
    text = notes()
    assert len(text.splitlines()) <= 50
    assert "\n\n\n" not in text
    assert "<no value>" not in text


def test_a_model_that_no_image_of_this_version_carries_is_told() -> None:
    hum = {"modality": "speech", "backend": "hum"}
    said = "The images of this version carry no backend hum: the pods of singer will not start"
    assert said in notes({"inference": {"models": {"singer": hum}}})
    brought = {**hum, "image": {"repository": "registry.example.com/hum"}}
    assert said not in notes({"inference": {"models": {"singer": brought}}})


def test_a_model_without_its_image_or_its_weights_is_told() -> None:
    bark = {"modality": "speech", "backend": "bark"}
    text = notes({"inference": {"models": {"singer": bark}}})
    assert "inference.models.singer has the backend bark, which needs PyTorch" in text
    assert "inference.models.singer has the backend bark, whose weights are in no image" in text
    whole = {**bark, "gpu": {"count": 1}, "storageUri": "hf://suno/bark"}
    assert "singer" not in notes({"inference": {"models": {"singer": whole}}}).partition("Mind")[2]


@pytest.mark.parametrize(("modality", "group"), [("speech", "chatacter.speech"), ("video", "chatacter.video")])
def test_what_is_told_to_be_carried_is_what_the_code_brings(modality: str, group: str) -> None:
    text = notes({"inference": {"models": {"other": {"modality": modality, "backend": "other"}}}})
    told = re.search(r"no backend other:.*they carry (.*)\.", text)
    assert told
    ours = {each.name for each in entry_points(group=group) if each.dist and each.dist.name == "chatacter"}
    assert set(told[1].split(" and ")) == {name for name in ours if not name.startswith("fake")}
