"""The collector's configuration hangs together; no binary of it is here, so its structure is checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import Manifest
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

NAME = "chatacter-otel-collector"
# What is used of what the image holds; source: its distribution's manifest, `otelcol-contrib`.
KNOWN = {
    "extensions": {"health_check"},
    "receivers": {"otlp"},
    "processors": {"memory_limiter", "resource", "batch"},
    "exporters": {"prometheus", "otlp_http", "nop"},
}
REFERENCE = re.compile(r"(?<!\$)\$\{([a-z]+):([A-Za-z0-9_]+)\}")
LISTENS = re.compile(r"^0\.0\.0\.0:(\d+)$")
EXPORT: dict[str, Any] = {
    "endpoint": "https://otlp.example.org/base",
    "headers": {"x-scope-orgid": "ten$ant"},
    "secretHeaders": {"authorization": {"existingSecret": "otlp", "existingSecretKey": "bearer"}},
}
WAYS = {
    "nothing set": {},
    "exported": {"export": EXPORT},
    "two": {"replicas": 2, "export": {"endpoint": "http://tempo:4318"}},
}


@dataclass(frozen=True)
class Collector:
    """The collector as rendered."""

    cluster: Cluster

    @property
    def config(self) -> dict[str, Any]:
        found = self.cluster.find("ConfigMap", NAME)
        assert found is not None
        return load(found["data"]["config.yaml"])

    @property
    def deployment(self) -> Manifest:
        found = self.cluster.find("Deployment", NAME)
        assert found is not None
        return found

    @property
    def container(self) -> Manifest:
        (only,) = self.deployment["spec"]["template"]["spec"]["containers"]
        return only

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.container["ports"]}


def load(text: str) -> dict[str, Any]:
    (document,) = helm.objects(text)
    return document


def collector(given: dict[str, Any], **further: Any) -> Collector:
    return Collector(Cluster(Installation(given={"otel-collector": given, **further}).manifests()))


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: way.replace(" ", "-"))
def rendered(request: pytest.FixtureRequest) -> Collector:
    return collector(WAYS[request.param], **{"global": {"monitoring": {"enabled": True}}})


def test_every_component_is_in_the_image_and_every_one_is_used(rendered: Collector) -> None:
    config = rendered.config
    pipelines = config["service"]["pipelines"].values()
    used = {part: {name for pipeline in pipelines for name in pipeline[part]} for part in KNOWN if part != "extensions"}
    used["extensions"] = set(config["service"]["extensions"])
    for part, known in KNOWN.items():
        assert set(config[part]) == used[part]
        assert used[part] <= known
    assert set(config) == {*KNOWN, "service"}


def test_all_signals_pass_and_memory_is_watched_first(rendered: Collector) -> None:
    pipelines = rendered.config["service"]["pipelines"]
    assert set(pipelines) == {"traces", "metrics", "logs"}
    for pipeline in pipelines.values():
        assert pipeline["receivers"] == ["otlp"]
        assert pipeline["processors"] == ["memory_limiter", "resource", "batch"]
        assert pipeline["exporters"]
    assert "prometheus" in pipelines["metrics"]["exporters"]


def test_what_has_no_way_out_is_dropped_and_nothing_else() -> None:
    without, exported = (collector(WAYS[way]).config["service"]["pipelines"] for way in ("nothing set", "exported"))
    assert {signal: pipeline["exporters"] for signal, pipeline in without.items()} == {
        "traces": ["nop"],
        "metrics": ["prometheus"],
        "logs": ["nop"],
    }
    assert {signal: pipeline["exporters"] for signal, pipeline in exported.items()} == {
        "traces": ["otlp_http"],
        "metrics": ["prometheus", "otlp_http"],
        "logs": ["otlp_http"],
    }


def listening(config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    protocols = config["receivers"]["otlp"]["protocols"]
    yield "otlp-grpc", port_of(protocols["grpc"]["endpoint"])
    yield "otlp-http", port_of(protocols["http"]["endpoint"])
    yield "prometheus", port_of(config["exporters"]["prometheus"]["endpoint"])
    yield "health", port_of(config["extensions"]["health_check"]["endpoint"])
    (reader,) = config["service"]["telemetry"]["metrics"]["readers"]
    pulled = reader["pull"]["exporter"]["prometheus"]
    assert pulled["host"] == "0.0.0.0"
    yield "telemetry", pulled["port"]


def port_of(endpoint: str) -> int:
    match = LISTENS.match(endpoint)
    assert match, f"{endpoint} is not reached from other pods"
    return int(match[1])


def test_it_listens_at_the_ports_of_its_container(rendered: Collector) -> None:
    assert dict(listening(rendered.config)) == rendered.ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert rendered.container[probe]["httpGet"] == {"path": "/", "port": "health"}


def test_the_processes_send_where_it_listens(rendered: Collector) -> None:
    service = rendered.cluster.find("Service", NAME)
    assert service is not None
    assert {each["port"]: rendered.ports[each["targetPort"]] for each in service["spec"]["ports"]} == {
        4317: 4317,
        4318: 4318,
    }
    # Spread over two, one process' metrics would be two series.
    assert service["spec"]["sessionAffinity"] == "ClientIP"


def test_only_parts_of_the_release_and_prometheus_come_in(rendered: Collector) -> None:
    policy = rendered.cluster.find("NetworkPolicy", NAME)
    assert policy is not None
    ports = [sorted(port["port"] for port in rule["ports"]) for rule in policy["spec"]["ingress"]]
    assert ports == [[4317, 4318], [8889], [8888]]
    (sender,) = policy["spec"]["ingress"][0]["from"]
    (rule,) = sender["podSelector"]["matchExpressions"]
    assert set(rule["values"]) == {"chattr", "dispatcher", "ui", "predictor"}


def test_it_goes_nowhere_but_where_it_exports() -> None:
    policies = {way: collector(given).cluster.find("NetworkPolicy", NAME) for way, given in WAYS.items()}
    egress = {way: policy["spec"]["egress"] for way, policy in policies.items() if policy}
    assert egress["nothing set"] == []
    (names, out) = egress["exported"]
    assert {port["port"] for port in names["ports"]} == {53}
    assert out["ports"] == [{"port": 443, "protocol": "TCP"}]


def test_references_are_to_variables_that_the_container_has(rendered: Collector) -> None:
    set_here = {each["name"] for each in rendered.container["env"]}
    found = rendered.cluster.find("ConfigMap", NAME)
    assert found is not None
    references = REFERENCE.findall(found["data"]["config.yaml"])
    assert {kind for kind, _ in references} <= {"env"}
    assert {name for _, name in references} | {"GOMEMLIMIT"} == set_here


def test_headers_come_from_secrets_and_a_dollar_stays_one() -> None:
    exported = collector(WAYS["exported"])
    headers = exported.config["exporters"]["otlp_http"]["headers"]
    assert headers == {"authorization": "${env:EXPORT_HEADER_AUTHORIZATION}", "x-scope-orgid": "ten$$ant"}
    (variable,) = (each for each in exported.container["env"] if each["name"] == "EXPORT_HEADER_AUTHORIZATION")
    assert variable["valueFrom"]["secretKeyRef"] == {"name": "otlp", "key": "bearer"}


@pytest.mark.parametrize(
    ("limit", "expected"), [("512Mi", 512 * 2**20), ("1.5Gi", 3 * 2**29), ("1G", 10**9), ("800M", 8 * 10**8)]
)
def test_memory_is_bounded_below_the_limit(limit: str, expected: int) -> None:
    bounded = collector({"resources": {"limits": {"memory": limit}}})
    environment = {each["name"]: each.get("value") for each in bounded.container["env"]}
    assert environment["GOMEMLIMIT"] == str(expected * 4 // 5)
    limiter = bounded.config["processors"]["memory_limiter"]
    assert 0 < limiter["spike_limit_percentage"] < limiter["limit_percentage"] < 80
    assert limiter["check_interval"] == "1s"


def test_replicas_of_one_service_are_instances_of_their_own() -> None:
    attributes = collector({"resourceAttributes": {"deployment.environment.name": "test"}}).config["processors"][
        "resource"
    ]
    assert attributes["attributes"] == [
        {"key": "service.instance.id", "from_attribute": "k8s.pod.name", "action": "insert"},
        {"key": "deployment.environment.name", "value": "test", "action": "upsert"},
    ]


def test_a_change_of_configuration_rolls_the_pods() -> None:
    before, after = (
        collector(WAYS[way]).deployment["spec"]["template"]["metadata"]["annotations"] for way in list(WAYS)[:2]
    )
    assert before["checksum/config"] != after["checksum/config"]


def test_several_have_a_budget() -> None:
    budgets = {way: collector(given).cluster.find("PodDisruptionBudget", NAME) for way, given in WAYS.items()}
    assert [way for way, budget in budgets.items() if budget] == ["two"]


@pytest.mark.parametrize(
    ("export", "says"),
    [
        ({"endpoint": "otlp.example.org:4317"}, "endpoint"),
        ({"endpoint": "https://user:word@otlp.example.org"}, "endpoint"),
        ({"headers": {"Bad Header": "x"}}, "Bad Header"),
        ({"secretHeaders": {"authorization": {"existingSecret": "otlp"}}}, "existingSecretKey"),
        ({"secretHeaders": {"authorization": "Bearer word"}}, "authorization"),
    ],
)
def test_an_export_that_cannot_work_is_refused(export: dict[str, Any], says: str) -> None:
    with pytest.raises(helm.Refused, match=says):
        collector({"export": export})
