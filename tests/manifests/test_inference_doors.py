"""Who reaches a model, where it may go, who reads its metrics; and language models, which are not ours."""

from typing import Any, Final

import pytest

from tests.manifests.served_models import Served, inference, served, told

pytestmark = pytest.mark.manifests

LANGUAGE: Final = {"modality": "language", "storageUri": "pvc://weights/model"}
ANYWHERE: Final = "0.0.0.0/0"


def components(rule: dict[str, Any]) -> list[str]:
    """The parts of the release that a rule lets in."""
    expressions = [each for peer in rule["from"] for each in peer["podSelector"]["matchExpressions"]]
    return [value for each in expressions for value in each["values"]]


def way_out(model: Served) -> list[str]:
    """The blocks of addresses that a model may speak to."""
    rules = model.one("NetworkPolicy")["spec"]["egress"]
    return [peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"] if "ipBlock" in peer]


def test_only_chattr_and_the_dispatcher_reach_a_model() -> None:
    for model in served({}).values():
        [rule] = model.one("NetworkPolicy")["spec"]["ingress"]
        assert components(rule) == ["chattr", "dispatcher"]
        assert [port["port"] for port in rule["ports"]] == [model.port]


@pytest.mark.parametrize("mode", ["Standard", "Deployment"])
def test_who_is_named_reaches_a_model_by_grpc_at_its_service(mode: str) -> None:
    clients = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "clients"}}}
    voice = {"voice": {"grpc": {"port": 8081, "from": [clients]}}}
    models = served({"serving": {"mode": mode}, "models": voice})
    model = models["voice"]
    chattrs, theirs = model.one("NetworkPolicy")["spec"]["ingress"]
    assert [port["port"] for port in chattrs["ports"]] == [model.port]
    assert theirs == {"from": [clients], "ports": [{"port": 8081, "protocol": "TCP"}]}
    service = model.cluster.find("Service", f"{model.one('NetworkPolicy')['metadata']['name']}-predictor")
    assert service is not None
    rest, grpc = service["spec"]["ports"]
    assert rest["port"] == 80
    assert (grpc["port"], grpc["targetPort"], grpc["appProtocol"]) == (8081, 8081, "kubernetes.io/h2c")
    assert model.env["GRPC_PORT"] == "8081"
    assert "GRPC_PORT" not in models["portrait"].env
    assert len(models["portrait"].container["ports"]) == 1


def test_under_knative_a_model_is_reached_through_knatives_proxy() -> None:
    model = served({"serving": {"mode": "Knative"}})["voice"]
    [rule] = model.one("NetworkPolicy")["spec"]["ingress"]
    namespaces = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
    assert "knative-serving" in namespaces
    assert model.port not in [port["port"] for port in rule["ports"]]


def test_a_model_stays_inside_the_cluster() -> None:
    for model in served({}).values():
        labels = model.one("InferenceService")["metadata"]["labels"]
        assert labels["networking.kserve.io/visibility"] == "cluster-local"
        assert labels["networking.knative.dev/visibility"] == "cluster-local"


@pytest.mark.parametrize(
    ("uri", "leaves"),
    [
        ("s3://b/m", True),
        ("gs://b/m", True),
        ("hf://o/m", True),
        ("pvc://c/m", False),
        ("oci://i:1", False),
        ("", False),
    ],
)
def test_a_model_leaves_the_cluster_only_for_weights_that_lie_outside(uri: str, leaves: bool) -> None:
    model = served({"models": {"voice": {"storageUri": uri}}})["voice"]
    assert (ANYWHERE in way_out(model)) is leaves


def test_a_model_may_go_where_its_values_say() -> None:
    rule = {"to": [{"ipBlock": {"cidr": "192.0.2.7/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    models = served({"models": {"voice": {"extraEgress": [rule]}}})
    assert way_out(models["voice"]) == ["192.0.2.7/32"]
    assert way_out(models["portrait"]) == []


def test_metrics_are_read_with_the_services_token() -> None:
    monitoring = {"global": {"monitoring": {"enabled": True, "labels": {"release": "prometheus"}}}}
    for model in served({}, monitoring).values():
        monitor = model.one("PodMonitor")
        assert monitor["metadata"]["labels"]["release"] == "prometheus"
        [endpoint] = monitor["spec"]["podMetricsEndpoints"]
        assert (endpoint["portNumber"], endpoint["path"]) == (model.port, "/metrics")
        assert model.env["SERVICE_TOKEN"] == {"secretKeyRef": endpoint["authorization"]["credentials"]}
        allowed = model.one("NetworkPolicy")["spec"]["ingress"][-1]
        assert [port["port"] for port in allowed["ports"]] == [model.port]


def test_without_monitoring_there_is_no_monitor() -> None:
    assert inference({}).of_kind("PodMonitor") == []


def test_an_account_carries_what_the_cloud_reads_and_no_token_of_kubernetes() -> None:
    account = {
        "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/models"},
        "secrets": ["s3"],
    }
    model = served({"models": {"voice": {"serviceAccount": account}}})["voice"]
    made = model.one("ServiceAccount")
    assert made["metadata"]["annotations"] == account["annotations"]
    assert made["secrets"] == [{"name": "s3"}]
    assert made["automountServiceAccountToken"] is False
    assert model.pods.spec["serviceAccountName"] == made["metadata"]["name"]
    assert model.pods.spec["automountServiceAccountToken"] is False


def test_an_account_may_be_there_already() -> None:
    model = served({"models": {"voice": {"serviceAccount": {"create": False, "name": "mine"}}}})["voice"]
    assert model.all("ServiceAccount") == []
    assert model.pods.spec["serviceAccountName"] == "mine"


def test_a_language_model_runs_on_kserves_runtime_by_the_name_that_chattr_asks_for() -> None:
    answer = {"model": {"url": "", "name": "", "fromInference": "llm"}}
    cluster = inference(
        {"models": {"llm": {**LANGUAGE, "servedName": "qwen", "args": ["--max-model-len=8192"]}}}, answer
    )
    model = Served("llm", cluster).one("InferenceService")["spec"]["predictor"]["model"]
    assert model["runtime"] == "kserve-huggingfaceserver"
    assert model["modelFormat"] == {"name": "huggingface"}
    assert model["args"] == ["--model_name=qwen", "--max-model-len=8192"]
    assert model["storageUri"] == "pvc://weights/model"
    assert told(cluster)["MODEL__NAME"] == "qwen"
    assert told(cluster)["MODEL__URL"] == "http://chatacter-llm-predictor.chatacter.svc.cluster.local/openai/v1"
    assert cluster.find("ServingRuntime", "chatacter-llm") is None


def test_a_language_model_is_chattrs_alone_and_learns_no_token() -> None:
    model = Served("llm", inference({"models": {"llm": LANGUAGE}}))
    [rule] = model.one("NetworkPolicy")["spec"]["ingress"]
    assert components(rule) == ["chattr"]
    assert "SERVICE_TOKEN" not in model.env


def test_a_language_model_is_no_predictor_of_chattrs() -> None:
    alone, beside = inference({}), inference({"models": {"llm": LANGUAGE}})
    for name in ("VOCALIZR__URL", "VOCALIZR__URLS", "VISUALIZR__URL", "VISUALIZR__URLS"):
        assert told(alone)[name] == told(beside)[name]


def test_weights_that_lie_here_are_not_looked_for_in_the_hub() -> None:
    here = Served("llm", inference({"models": {"llm": LANGUAGE}}))
    assert here.env["HF_HUB_OFFLINE"] == "1"
    assert way_out(here) == []
    hub = Served("llm", inference({"models": {"llm": {"modality": "language", "args": ["--model_id=org/model"]}}}))
    assert "HF_HUB_OFFLINE" not in hub.env
    assert ANYWHERE in way_out(hub)


def test_settings_for_all_models_are_not_for_language_models() -> None:
    values = {"defaults": {"settings": {"MAX_REQUEST_BYTES": 1048576}}, "models": {"llm": LANGUAGE}}
    models = served(values)
    assert models["voice"].env["MAX_REQUEST_BYTES"] == "1048576"
    assert "MAX_REQUEST_BYTES" not in models["llm"].env


def test_a_licence_that_was_accepted_stands_in_nobodys_way() -> None:
    xtts = {"modality": "speech", "backend": "xtts", "acceptLicense": True, "gpu": {"count": 1}}
    assert served({"models": {"xtts": xtts}})["xtts"].env["VOCALIZR_MODEL"] == "xtts"


def test_a_stand_in_speaks_where_nothing_is_served_to_people() -> None:
    fake = {"serving": {"mode": "Deployment"}, "models": {"voice": {"backend": "fake"}}}
    assert served(fake)["voice"].env["VOCALIZR_MODEL"] == "fake"
