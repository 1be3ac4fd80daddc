"""`kubectl apply -k` installs what Helm installs: every component and combination against the chart's own render."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.manifests import components, helm
from scripts.manifests.helm import Manifest
from scripts.manifests.programs import ROOT, run
from tests.manifests import schemas

pytestmark = pytest.mark.manifests

# What a release may serve besides language models.
PROMISED = ["animatediff", "bark", "coqui", "portrait", "svd", "voice", "xtts"]


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_model_is_rendered_and_accepts_no_licence_for_anybody(name: str) -> None:
    schemas.custom_schemas_or_skip()
    texts = [(ROOT / "inference" / kind / f"{name}.yaml").read_text("utf-8") for kind in ("runtimes", "services")]
    manifests = [each for text in texts for each in helm.objects(text)]
    assert {"ServingRuntime", "InferenceService", "ScaledObject"} <= {each["kind"] for each in manifests}
    assert [fault for each in manifests for fault in schemas.faults(each)] == []
    assert "ACCEPT_MODEL_LICENSES" not in "".join(texts)


KUSTOMIZE = ROOT / "kustomize"
OVERLAYS = sorted(path.name for path in (KUSTOMIZE / "overlays").iterdir())
COMBINATIONS = sorted(path.name for path in (KUSTOMIZE / "tests").iterdir())
RULES = ("ingress", "egress")


def build(folder: Path) -> components.Objects:
    done = run("kubectl", "kustomize", folder)
    assert not done.returncode, done.stderr
    return {components.identity(each): each for each in helm.objects(done.stdout) if each["kind"] != "Namespace"}


def built(place: Path, kustomization: dict[str, Any]) -> components.Objects:
    """Build a kustomization over the repository's own; kustomize wants its folders by relative paths."""
    body = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", **kustomization}
    (place / "kustomization.yaml").write_text(yaml.safe_dump(body))
    return build(place)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for each in ("kustomize", "inference"):
        (tmp_path / each).symlink_to(ROOT / each)
    return tmp_path


def components_of(folder: Path) -> list[str]:
    read = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    return [Path(each).name for each in read["components"]]


def normal(manifest: Manifest) -> Manifest:
    """Without what has no meaning: the namespace that kustomize sets, an empty map, the order of keyed lists."""
    return json.loads(json.dumps(cleaned(manifest), sort_keys=True))


def cleaned(node: Any, key: str = "") -> Any:
    if isinstance(node, list):
        items = [cleaned(each) for each in node]
        return sorted(items, key=ordered) if key in {*components.MERGED_BY, *RULES} else items
    if not isinstance(node, dict):
        return node
    return {name: cleaned(each, name) for name, each in node.items() if each not in ({}, None) and name != "namespace"}


def ordered(node: Any) -> str:
    return json.dumps(node, sort_keys=True)


def different(ours: components.Objects, charts: components.Objects) -> list[str]:
    """Say what kustomize installs otherwise than Helm. A policy may keep a rule towards something not installed."""
    found = [f"{each[1]}/{each[2]} only in one" for each in ours.keys() ^ charts.keys()]
    for each in ours.keys() & charts.keys():
        mine, theirs = normal(ours[each]), normal(charts[each])
        if each[1] == "NetworkPolicy":
            for rules in RULES:
                kept, wanted = mine["spec"].pop(rules, []), theirs["spec"].pop(rules, [])
                found += [f"{each[2]} lacks {rule}" for rule in wanted if rule not in kept]
        if mine != theirs:
            found.append(f"{each[1]}/{each[2]}: {list(components.operations(theirs, mine))}")
    return found


def test_the_base_is_the_charts_default() -> None:
    assert different(build(KUSTOMIZE / "base"), components.installed()) == []


@pytest.mark.parametrize("name", components.names())
def test_a_component_alone_is_its_values(name: str, place: Path) -> None:
    listed = ["kustomize/components/network-policies"]
    if name != "network-policies":
        listed.append(f"kustomize/components/{name}")
    ours = built(place, {"resources": ["kustomize/base"], "components": listed})
    values = components.values_of(name)
    assert different(ours, components.installed(components.values_of("network-policies"), values)) == []


@pytest.mark.parametrize("name", COMBINATIONS)
def test_components_add_up(name: str) -> None:
    folder = KUSTOMIZE / "tests" / name
    values = map(components.values_of, components_of(folder))
    assert different(build(folder), components.installed(*values)) == []


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_its_values_file_with_a_model_to_choose(name: str) -> None:
    folder = KUSTOMIZE / "overlays" / name
    ours = build(folder)
    pod = ours["apps/v1", "Deployment", "chatacter-chattr"]["spec"]["template"]["spec"]
    told = {each["name"]: each.get("value") for each in pod["containers"][0]["env"]}
    model = {"url": told["MODEL__URL"], "name": told["MODEL__NAME"]}
    charts = components.installed(*map(components.values_of, components_of(folder)), {"model": model})
    assert different(ours, charts) == []


def test_every_component_is_in_a_combination_or_an_overlay() -> None:
    folders = [KUSTOMIZE / "tests" / name for name in COMBINATIONS] + [
        KUSTOMIZE / "overlays" / name for name in OVERLAYS
    ]
    assert {name for folder in folders for name in components_of(folder)} == set(components.names())


def test_an_image_is_changed_in_runtimes_too(place: Path) -> None:
    image = {"name": "ghcr.io/alphaspheredotai/chatacter-vocalizr", "newName": "registry.example.com/v", "newTag": "2"}
    ours = built(place, {"resources": ["kustomize/base"], "images": [image]})
    runtime = ours["serving.kserve.io/v1alpha1", "ServingRuntime", "chatacter-voice"]
    assert runtime["spec"]["containers"][0]["image"] == "registry.example.com/v:2"


def test_a_generated_secret_is_found_by_all_who_name_it(place: Path) -> None:
    secret = {"name": "chatacter-secrets", "literals": ["service-token=a", "redis-password=b"]}
    ours = built(place, {"resources": ["kustomize/base"], "namespace": "chatacter", "secretGenerator": [secret]})
    (made,) = (each[2] for each in ours if each[1] == "Secret")
    assert made != "chatacter-secrets"
    told = json.dumps([each for key, each in ours.items() if key[1] != "Secret"])
    assert f'"{made}"' in told
    assert '"chatacter-secrets"' not in told


def test_accounts_runtimes_and_tokens_follow_a_name(place: Path) -> None:
    ours = built(place, {"resources": ["kustomize/base"], "nameSuffix": "-b"})
    service = ours["serving.kserve.io/v1beta1", "InferenceService", "chatacter-voice-b"]["spec"]["predictor"]
    assert (service["serviceAccountName"], service["model"]["runtime"]) == ("chatacter-voice-b", "chatacter-voice-b")
    scaled = ours["keda.sh/v1alpha1", "ScaledObject", "chatacter-voice-b"]["spec"]["triggers"][0]
    assert scaled["authenticationRef"]["name"] == "chatacter-demand-b"
