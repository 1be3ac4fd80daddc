"""The NetworkPolicies allow the flows of the architecture's picture, and not one more."""

from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import CHART
from tests.manifests import kuberay
from tests.manifests.flows import End, Network
from tests.manifests.rendering import Installation, installations

pytestmark = pytest.mark.manifests

INTERNET = End.outside("203.0.113.7")
PRIVATE = End.outside("10.20.30.40")
DNS = End("coredns", namespace="kube-system")
GATEWAY = End("kourier", namespace="kourier-system")
# Who comes in is told apart from anybody else.
DOORS = {"global": {"networkPolicy": {"ingressFrom": [
    {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
]}}}  # fmt: skip
NEIGHBOUR = End("neighbour", namespace="elsewhere")
STRANGER = End("stranger", labels={"app.kubernetes.io/name": "chatacter", "app.kubernetes.io/instance": "another"})
LANGUAGE: dict[str, Any] = {
    "model": {"url": "", "name": "", "fromInference": "llm"},
    "inference": {"models": {"llm": {"modality": "language", "storageUri": "pvc://weights/llm"}}},
}
EVERYTHING = helm.merged(
    LANGUAGE, {"redis": {"cache": {"enabled": True}}, "qdrant": {"replicas": 3, "auth": {"apiKey": "key"}}}
)
OUTSIDE = {
    "redis": {"enabled": False},
    "externalRedis": {"url": "rediss://redis.example.org:6380/0"},
    "qdrant": {"enabled": False},
    "externalQdrant": {"url": "https://qdrant.example.org"},
}
PICTURE = {
    ("ui", "chattr", 8000),
    ("test", "chattr", 8000),
    ("chattr", "redis", 6379),
    ("dispatcher", "redis", 6379),
    ("chattr", "redis-cache", 6379),
    ("dispatcher", "redis-cache", 6379),
    ("chattr", "qdrant", 6333),
    ("chattr", "voice", 8001),
    ("dispatcher", "voice", 8001),
    ("chattr", "portrait", 8002),
    ("dispatcher", "portrait", 8002),
    ("chattr", "llm", 8080),
    ("chattr", "otel-collector", 4318),
    ("dispatcher", "otel-collector", 4318),
    ("ui", "otel-collector", 4318),
    ("voice", "otel-collector", 4318),
    ("portrait", "otel-collector", 4318),
}


# What a model's pods listen on tells what they are.
MODALITIES = {8001: "voice", 8002: "portrait", 8080: "llm"}
PREDICTORS = frozenset(MODALITIES.values())


def network(given: dict[str, Any] | None = None, mode: str = "own") -> Network:
    return Network.of(Installation(mode=mode, given=given or {}).manifests())


def test_exactly_the_picture_within_the_release() -> None:
    assert network(EVERYTHING).within() == PICTURE


def test_both_ends_say_the_same() -> None:
    """One end alone refuses a connection; one that allowed too much would show when the other's policy changes."""
    net = network(helm.merged(EVERYTHING, DOORS))
    pairs = [(c, s, port) for c in net.ends for s in net.ends for _, port in s.ports if c != s]
    out = {(c.name, s.name, port) for c, s, port in pairs if net.allowed("Egress", c, s, s, port, "TCP")}
    into = {(c.name, s.name, port) for c, s, port in pairs if net.allowed("Ingress", s, c, s, port, "TCP")}
    assert out == PICTURE
    # The collector listens to every process of the release, in both of OTLP's ways.
    assert {flow for flow in into - PICTURE if flow[1] != "otel-collector"} == set()
    assert into >= PICTURE


def has_policies(installation: Installation) -> bool:
    return bool(installation.values["global"]["networkPolicy"]["enabled"])


def part(end: End) -> str:
    """What an end is in the picture: every model stands for those of its modality."""
    if "chatacter.ai/model" not in end.labels:
        return end.name
    return next(MODALITIES[port] for _, port in end.ports if port in MODALITIES)


@pytest.mark.parametrize("installation", [each for each in installations() if has_policies(each)], ids=str)
def test_the_picture_holds_for_every_installation(installation: Installation) -> None:
    net = Network.of(installation.manifests())
    parts = {end.name: part(end) for end in net.ends}
    knative = installation.values["inference"]["serving"]["mode"] == "Knative"
    behind = PREDICTORS - {parts[end.name] for end in net.ends if kuberay.SERVING in end.labels} if knative else set()
    expected = {
        (client, server, port)
        for client, server, port in PICTURE
        if {client, server} <= set(parts.values()) and server not in behind
    }
    found = {(parts[client], parts[server], port) for client, server, port in net.within()}
    assert found == expected


def test_nothing_leaves_an_airgapped_installation() -> None:
    net = Network.of(Installation(CHART / "values-airgapped.yaml").manifests())
    assert {"chattr", "llm", "redis"} <= {end.name for end in net.ends}
    for port in (53, 80, 443, 4318, 8080):
        assert outward(net, INTERNET, port) == set()
        assert outward(net, PRIVATE, port) == set()


def test_knatives_gateway_stands_between() -> None:
    net = network(mode="knative")
    predictors = {"voice", "portrait"}
    assert not any(server in predictors and client == "chattr" for client, server, _ in net.within())
    for client in ("chattr", "dispatcher"):
        assert net.lets(net.end(client), GATEWAY, 8081)
    assert not net.lets(net.end("ui"), GATEWAY, 8081)
    activator = End("activator", namespace="knative-serving")
    assert ("voice", 8012) in net.reached(activator)
    assert ("voice", 8012) in net.reached(GATEWAY)
    assert not network(mode="keda").lets(net.end("chattr"), GATEWAY, 8081)


def test_who_comes_in_meets_chattr_and_the_page() -> None:
    net = network(helm.merged(EVERYTHING, DOORS))
    assert net.reached(End("ingress", namespace="ingress-nginx")) == {("chattr", 8000), ("ui", 8000)}
    for other in (NEIGHBOUR, STRANGER, INTERNET, End("prometheus", namespace="monitoring")):
        assert net.reached(other) == set()


def test_a_load_balancer_brings_people_from_anywhere() -> None:
    net = network(helm.merged(DOORS, {"chattr": {"service": {"type": "LoadBalancer"}}}))
    assert net.reached(INTERNET) == {("chattr", 8000)}


def test_keda_asks_chattr_where_it_scales() -> None:
    keda = End("keda-operator", namespace="keda")
    assert network(DOORS).reached(keda) == {("chattr", 8000)}
    for mode in ("hpa", "none", "plain", "knative"):
        assert network(DOORS, mode).reached(keda) == set()


def test_prometheus_reads_every_part_that_has_metrics() -> None:
    net = network(helm.merged(DOORS, {"global": {"monitoring": {"enabled": True}}}))
    reached = net.reached(End("prometheus", namespace="monitoring"))
    ours = {("chattr", 8000), ("dispatcher", 8000), ("ui", 8000), ("voice", 8001), ("portrait", 8002), ("qdrant", 6333)}
    assert reached >= ours
    assert {name for name, _ in reached - ours} == {"otel-collector"}


def test_all_but_stores_look_names_up() -> None:
    net = network(EVERYTHING)
    for protocol in ("TCP", "UDP"):
        asking = {end.name for end in net.ends if net.lets(end, DNS, 53, protocol)}
        assert asking >= {"chattr", "dispatcher", "ui", "test", "voice", "portrait"}
    assert not any(net.lets(end, NEIGHBOUR, 53, "UDP") for end in net.ends)


def outward(net: Network, server: End, port: int) -> set[str]:
    return {end.name for end in net.ends if net.lets(end, server, port)}


def test_only_chattr_reaches_the_provider() -> None:
    net = network()
    assert outward(net, INTERNET, 443) == {"chattr"}
    assert outward(net, INTERNET, 80) == set()
    assert outward(net, PRIVATE, 443) == set()


def test_the_providers_port_is_that_of_its_url() -> None:
    net = network({"model": {"url": "http://llm.example.org:8080/v1"}})
    assert outward(net, INTERNET, 8080) == {"chattr"}
    assert outward(net, INTERNET, 443) == set()


def test_only_chattr_reaches_an_endpoint_of_embeddings() -> None:
    net = network(helm.merged(LANGUAGE, {"chattr": {"settings": {"EMBEDDINGS__URL": "https://e.example.org:8443/v1"}}}))
    assert outward(net, INTERNET, 8443) == {"chattr"}
    assert outward(net, INTERNET, 443) == set()
    inside = {"chattr": {"settings": {"EMBEDDINGS__URL": "http://tei.models.svc.cluster.local/v1"}}}
    net = network(helm.merged(LANGUAGE, inside))
    assert outward(net, End("tei", namespace="models"), 80) == {"chattr"}
    assert outward(net, INTERNET, 80) == set()


def test_a_provider_in_the_cluster_opens_its_namespace() -> None:
    net = network({"model": {"url": "http://vllm.llm.svc.cluster.local/v1"}})
    assert outward(net, End("vllm", namespace="llm"), 8000) == {"chattr"}
    assert outward(net, INTERNET, 80) == set()
    assert outward(net, NEIGHBOUR, 8000) == set()


def test_nothing_leaves_when_everything_is_in_the_cluster() -> None:
    net = network(LANGUAGE)
    assert [outward(net, INTERNET, port) for port in (80, 443, 6379)] == [set(), set(), set()]


def test_media_in_a_store_are_written_by_both() -> None:
    net = network(helm.merged(LANGUAGE, {"assets": {"url": "s3://media"}}))
    assert outward(net, INTERNET, 443) == {"chattr", "dispatcher"}
    assert outward(net, PRIVATE, 443) == set()


def test_stores_outside_are_reached_at_the_ports_of_their_urls() -> None:
    net = network(helm.merged(LANGUAGE, OUTSIDE))
    assert outward(net, PRIVATE, 6380) == {"chattr", "dispatcher"}
    assert outward(net, INTERNET, 6333) == {"chattr"}
    assert outward(net, INTERNET, 6379) == set()


def test_stores_outside_may_be_narrowed_to_addresses() -> None:
    narrow = {"global": {"networkPolicy": {"externalTo": [{"ipBlock": {"cidr": "10.20.0.0/16"}}]}}}
    net = network(helm.merged(LANGUAGE, OUTSIDE, narrow))
    assert outward(net, PRIVATE, 6380) == {"chattr", "dispatcher"}
    assert outward(net, INTERNET, 6380) == set()


@pytest.mark.parametrize(
    ("url", "there", "elsewhere"),
    [
        ("redis://10.20.30.40:6379/0", PRIVATE, INTERNET),
        ("redis://[2001:db8::7]:6379/0", End.outside("2001:db8::7"), End.outside("2001:db8::8")),
        ("redis://redis.data.svc:6379/0", End("redis", namespace="data"), NEIGHBOUR),
        ("redis://redis:6379/0", End("redis", labels={"app": "redis"}), NEIGHBOUR),
    ],
)
def test_an_address_says_where_redis_is(url: str, there: End, elsewhere: End) -> None:
    net = network(helm.merged(LANGUAGE, {"redis": {"enabled": False}, "externalRedis": {"url": url}}))
    assert outward(net, there, 6379) == {"chattr", "dispatcher"}
    assert outward(net, elsewhere, 6379) == set()


def test_voices_in_a_bucket_are_reached_by_who_speaks_them() -> None:
    there = {"inference": {"models": {"voice": {"settings": {"VOCALIZR_VOICES_URL": "s3://bucket/voices"}}}}}
    assert "voice" in outward(network(there), INTERNET, 443)
    assert not {"voice", "portrait"} & outward(network(), INTERNET, 443)


def test_predictors_elsewhere_are_reached() -> None:
    given = {
        "inference": {"enabled": False},
        "externalVocalizr": {"url": "http://10.20.30.40:8001", "urls": {"bark": "http://bark.gpu.svc"}},
        "externalVisualizr": {"url": "https://film.example.org"},
    }
    net = network(helm.merged(given, {"model": {"url": "http://llm.example.org:8080/v1"}}))
    assert outward(net, PRIVATE, 8001) == {"chattr", "dispatcher"}
    assert outward(net, End("bark", namespace="gpu"), 8001) == {"chattr", "dispatcher"}
    assert outward(net, INTERNET, 443) == {"chattr", "dispatcher"}


def test_telemetry_goes_to_a_collector_outside() -> None:
    given = {
        "global": {"telemetry": {"endpoint": "https://otlp.example.org:4318"}},
        "otel-collector": {"enabled": False},
    }
    net = network(helm.merged(LANGUAGE, given))
    assert outward(net, INTERNET, 4318) == {"chattr", "dispatcher", "ui", "voice", "portrait"}


def test_without_policies_everything_is_open() -> None:
    net = network({"global": {"networkPolicy": {"enabled": False}}})
    assert net.policies == []


def test_a_pod_that_no_rule_knows_is_closed() -> None:
    """Whoever adds a part to the release must say what it may do."""
    net = network()
    labels = {"app.kubernetes.io/name": "chatacter", "app.kubernetes.io/instance": "chatacter"}
    new = End("new", labels={**labels, "app.kubernetes.io/component": "new"}, ports=((None, 8000),))
    assert not net.lets(new, INTERNET, 443)
    assert not net.lets(net.end("ui"), new, 8000)
