"""Qdrant as rendered: one node or a cluster, its keys, its volumes. No server of it is here to start."""

from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import Manifest
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

NAME = "chatacter-qdrant"
HEADLESS = "chatacter-qdrant-headless.chatacter.svc.cluster.local"
MONITORED = {"monitoring": {"enabled": True}}
# What only nodes of a cluster are told.
OF_A_CLUSTER = {
    "QDRANT__CLUSTER__ENABLED",
    "QDRANT__CLUSTER__P2P__PORT",
    "QDRANT__SERVICE__ENFORCE_INTERNAL_AUTH",
    "QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR",
    "QDRANT_URI",
    "QDRANT_BOOTSTRAP",
}


def installed(given: dict[str, Any] | None = None, **further: Any) -> Cluster:
    return Cluster(Installation(given={"qdrant": given or {}, **further}).manifests())


def found(cluster: Cluster, kind: str, name: str = NAME) -> Manifest:
    manifest = cluster.find(kind, name)
    assert manifest is not None
    return manifest


def pod(cluster: Cluster) -> Manifest:
    return found(cluster, "StatefulSet")["spec"]["template"]["spec"]


def environment(cluster: Cluster) -> dict[str, Any]:
    (container,) = pod(cluster)["containers"]
    return {each["name"]: each.get("value") or each["valueFrom"] for each in container["env"]}


def test_a_single_node_is_told_of_no_others() -> None:
    cluster = installed()
    assert not OF_A_CLUSTER & set(environment(cluster))
    assert cluster.find("PodDisruptionBudget", NAME) is None
    policy = found(cluster, "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    assert [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]] == [[6333]]


def test_nodes_find_each_other_before_they_are_ready() -> None:
    cluster = installed({"replicas": 3})
    told = environment(cluster)
    assert set(told) >= OF_A_CLUSTER
    assert told["QDRANT_URI"] == f"http://$(POD_NAME).{HEADLESS}:6335"
    # Qdrant takes a node whose own address is the bootstrap's for the first.
    assert told["QDRANT_BOOTSTRAP"] == told["QDRANT_URI"].replace("$(POD_NAME)", f"{NAME}-0")
    names = list(told)
    assert names.index("POD_NAME") < names.index("QDRANT_URI")
    assert told["POD_NAME"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    spec = found(cluster, "StatefulSet")["spec"]
    assert spec["podManagementPolicy"] == "Parallel"
    headless = found(cluster, "Service", spec["serviceName"])["spec"]
    assert headless["clusterIP"] == "None"
    assert headless["publishNotReadyAddresses"] is True
    assert {6333, 6335} <= {port["port"] for port in headless["ports"]}


def test_nodes_may_speak_to_each_other_and_look_up_names_and_nothing_else() -> None:
    policy = found(installed({"replicas": 3}), "NetworkPolicy")["spec"]
    names, nodes = policy["egress"]
    assert {port["port"] for port in names["ports"]} == {53}
    own = policy["podSelector"]
    assert nodes["to"] == [{"podSelector": own}]
    assert policy["ingress"][-1] == {"from": [{"podSelector": own}], "ports": nodes["ports"]}
    assert {port["port"] for port in nodes["ports"]} == {6333, 6335}


@pytest.mark.parametrize(("replicas", "wanted", "copies"), [(2, 2, "2"), (3, 2, "2"), (2, 3, "2"), (5, 3, "3")])
def test_each_memory_lies_on_several_nodes_at_most_on_all(replicas: int, wanted: int, copies: str) -> None:
    told = environment(installed({"replicas": replicas, "replicationFactor": wanted}))
    assert told["QDRANT__STORAGE__COLLECTION__REPLICATION_FACTOR"] == copies


def test_a_cluster_has_a_budget_and_is_spread() -> None:
    cluster = installed({"replicas": 3})
    assert found(cluster, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    keys = [each["topologyKey"] for each in pod(cluster)["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


def test_the_server_itself_gets_the_signal() -> None:
    (container,) = pod(installed())["containers"]
    assert container["command"][:2] == ["sh", "-c"]
    assert container["command"][2].endswith("exec /qdrant/qdrant")
    assert container["workingDir"] == "/qdrant"


def test_probes_ask_what_is_open_without_a_key() -> None:
    (container,) = pod(installed({"startupSeconds": 1800}))["containers"]
    paths = {
        probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")
    }
    assert paths == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"] == 1800


def test_every_path_that_it_writes_is_on_a_volume() -> None:
    for given in ({}, {"snapshots": {"size": "5Gi"}}, {"persistence": {"existingClaim": "mine"}}):
        cluster = installed(given)
        told = environment(cluster)
        (container,) = pod(cluster)["containers"]
        mounts = [each["mountPath"] for each in container["volumeMounts"]]
        for name in ("QDRANT__STORAGE__STORAGE_PATH", "QDRANT__STORAGE__SNAPSHOTS_PATH", "QDRANT_INIT_FILE_PATH"):
            assert any(told[name].startswith(path) for path in mounts), name


def claims(cluster: Cluster) -> dict[str, str]:
    templates = found(cluster, "StatefulSet")["spec"].get("volumeClaimTemplates", [])
    return {each["metadata"]["name"]: each["spec"]["resources"]["requests"]["storage"] for each in templates}


def test_snapshots_share_the_volume_or_have_their_own() -> None:
    assert claims(installed()) == {"data": "10Gi"}
    assert claims(installed({"snapshots": {"size": "5Gi"}})) == {"data": "10Gi", "snapshots": "5Gi"}
    assert claims(installed({"persistence": {"existingClaim": "mine"}})) == {}


def test_prometheus_reads_with_the_key_and_with_the_lesser_one_where_there_is_one() -> None:
    def credentials(given: dict[str, Any]) -> dict[str, str]:
        (endpoint,) = found(installed(given, **{"global": MONITORED}), "PodMonitor")["spec"]["podMetricsEndpoints"]
        assert endpoint["authorization"]["type"] == "Bearer"
        return endpoint["authorization"]["credentials"]

    shared = environment(installed())["QDRANT__SERVICE__API_KEY"]["secretKeyRef"]
    assert credentials({}) == shared
    own = {"existingSecret": "mine", "existingSecretKey": "word"}
    assert credentials({"auth": own}) == {"name": "mine", "key": "word"}
    assert credentials({"auth": {"readOnly": own}}) == {"name": "mine", "key": "word"}
    made = credentials({"auth": {"readOnly": {"apiKey": "reader"}}})
    assert made == {"name": "chatacter-qdrant-read-only", "key": "qdrant-read-only-api-key"}


def test_chattr_and_the_server_are_given_the_same_key() -> None:
    cluster = installed({"auth": {"apiKey": "a-key"}})
    (chattr,) = found(cluster, "Deployment", "chatacter-chattr")["spec"]["template"]["spec"]["containers"]
    (theirs,) = (each["valueFrom"] for each in chattr["env"] if each["name"] == "VECTOR_DATABASE__API_KEY")
    assert theirs == environment(cluster)["QDRANT__SERVICE__API_KEY"]
    assert set(found(cluster, "Secret")["data"]) == {theirs["secretKeyRef"]["key"]}


def test_a_change_of_a_key_rolls_the_pods() -> None:
    def annotations(auth: dict[str, Any]) -> dict[str, str]:
        return found(installed({"auth": auth}), "StatefulSet")["spec"]["template"]["metadata"]["annotations"]

    assert annotations({"apiKey": "one"}) != annotations({"apiKey": "two"})


def test_further_settings_reach_it() -> None:
    told = environment(
        installed({"settings": {"QDRANT__LOG_LEVEL": "DEBUG", "QDRANT__STORAGE__ON_DISK_PAYLOAD": False}})
    )
    assert told["QDRANT__LOG_LEVEL"] == "DEBUG"
    assert told["QDRANT__STORAGE__ON_DISK_PAYLOAD"] == "false"


@pytest.mark.parametrize(
    "given",
    [
        {"settings": {"QDRANT__SERVICE__API_KEY": "word"}},
        {"settings": {"QDRANT__CLUSTER__ENABLED": True}},
        {"settings": {"LOG_LEVEL": "DEBUG"}},
        {"auth": {"apiKey": "no spaces"}},
        {"image": {"tag": ""}},
        {"image": {"tag": "latest"}},
        {"persistence": {"accessMode": "ReadWriteMany"}},
        {"replicas": 0},
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(helm.Refused, match="qdrant"):
        installed(given)


def test_what_the_chart_sets_itself_is_no_further_setting() -> None:
    told = environment(installed({"replicas": 2, "auth": {"readOnly": {"apiKey": "reader"}}}))
    (schema,) = helm.objects((helm.CHART / "charts" / "qdrant" / "values.schema.yaml").read_text("utf-8"))
    refused = set(schema["properties"]["settings"]["propertyNames"]["not"]["enum"])
    assert {name for name in told if name.startswith("QDRANT__")} <= refused
