"""Values that the chart's schemas allow, drawn: a few places of the contract, each with a value that it takes."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from scripts.manifests import helm, schema
from scripts.manifests.reference import resolved
from tests.manifests.contract import Place, values
from tests.manifests.rendering import FEATURES

TAINT = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
PEER = {"ipBlock": {"cidr": "192.0.2.0/24"}}
# Kubernetes' own shapes, of which the chart's contract says little: some that its API server takes.
SHAPES: dict[str, list[Any]] = {
    "affinity": [{"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}}],
    "clusterDomain": ["cluster.local", "k8s.example.org"],
    "behavior": [{"scaleDown": {"stabilizationWindowSeconds": 60}}],
    "tolerations": [[TAINT]],
    "extraEnv": [
        [{"name": "A", "value": "# b: {c"}],
        [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}],
    ],
    "extraEnvFrom": [[{"configMapRef": {"name": "kube-root-ca.crt"}}]],
    "extraVolumes": [[]],
    "extraVolumeMounts": [[{"name": "tmp", "mountPath": "/var/tmp"}]],
    "extraEgress": [[{"to": [PEER], "ports": [{"port": 443}]}]],
    "extraObjects": [[]],
    # Of those that a cluster has, this one alone is known here.
    "runtime": ["kserve-huggingfaceserver"],
    "files": [{"a.yaml": "name: A\n"}, {"b.json": {"name": "{{ B }}", "persona": "| > \n\n #"}}],
}
PEERS = [[PEER], [{"namespaceSelector": {}}], [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"a": "b"}}}]]
MODELS: list[dict[str, Any]] = [
    {"speech2": {"modality": "speech", "backend": "kokoro", "servedName": "second"}},
    {"film2": {"modality": "video", "backend": "portrait", "servedName": "second", "gpu": {"count": 1}}},
    {"llm": {"modality": "language", "args": ["--model_id=a/b"]}},
    {"voice": None},
    {"portrait": {"modality": "video", "enabled": False}},
]


def matching(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that match a schema, as far as the chart's schemas go."""
    node = resolved(node, root)
    if "enum" in node:
        return st.sampled_from(node["enum"])
    if "anyOf" in node:
        return st.one_of([matching(each, root) for each in node["anyOf"]])
    kinds = node.get("type", ["string"])
    return st.one_of([OF_A_KIND[kind](node, root) for kind in ([kinds] if isinstance(kinds, str) else kinds)])


def strings(node: dict[str, Any], _: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "pattern" in node:
        return st.from_regex(node["pattern"].removesuffix("$") + r"\Z", alphabet=PRINTABLE)
    return st.text(PRINTABLE, min_size=node.get("minLength", 0), max_size=20)


def numbers(node: dict[str, Any], _: dict[str, Any]) -> st.SearchStrategy[Any]:
    lowest = node.get("minimum", node.get("exclusiveMinimum", 0) + 1)
    return st.integers(int(lowest), int(node.get("maximum", lowest + 10_000)))


def lists(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    unique = node.get("uniqueItems", False)
    return st.lists(matching(node["items"], root), min_size=node.get("minItems", 0), max_size=3, unique=unique)


def maps(node: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    names = matching({"type": "string", "pattern": "^[a-z]{1,9}$", **node.get("propertyNames", {})}, root)
    free = node.get("additionalProperties")
    return st.dictionaries(names, matching(free if isinstance(free, dict) else {"type": "string"}, root), max_size=2)


# What people write, and what YAML minds.
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_categories=["Cc", "Cs"])
OF_A_KIND: dict[str, Callable[[dict[str, Any], dict[str, Any]], st.SearchStrategy[Any]]] = {
    "string": strings,
    "integer": numbers,
    "number": numbers,
    "boolean": lambda *_: st.booleans(),
    "null": lambda *_: st.none(),
    "array": lists,
    "object": maps,
}


def is_peers(place: Place) -> bool:
    if place.path[-2:] == ("grpc", "from"):
        return True
    return "networkPolicy" in place.path and place.node.get("type") == "array" and place.path[-1] != "egressPorts"


def value_for(place: Place, roots: dict[Any, dict[str, Any]]) -> st.SearchStrategy[Any]:
    """Values that a place takes."""
    if place.path[-1] in SHAPES:
        return st.sampled_from(SHAPES[place.path[-1]])
    if is_peers(place):
        return st.sampled_from(PEERS)
    return matching(place.node, roots[place.chart])


def changes() -> st.SearchStrategy[dict[str, Any]]:
    """Values over the defaults: a way of serving, some models, and up to six places changed."""
    roots = {source.parent: schema.load(source) for source in schema.sources()}
    single = [
        st.builds(place.holding, value_for(place, roots)) for place in values() if place.path != ("inference", "models")
    ]
    serving = st.sampled_from(
        [{}, {"mode": "Knative", "knative": {"features": FEATURES}}, {"mode": "Deployment"}, {"autoscaler": "hpa"}]
    ).map(lambda chosen: {"inference": {"serving": chosen}})
    models = st.lists(st.sampled_from(MODELS), max_size=2).map(
        lambda chosen: {"inference": {"models": helm.merged(*chosen)}}
    )
    changed = st.lists(st.one_of(single), min_size=1, max_size=6)
    return st.builds(lambda first, more, rest: helm.merged(first, more, *rest), serving, models, changed)
