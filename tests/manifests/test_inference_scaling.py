"""How many replicas of a model run, and who decides it."""

from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest

from chatacter.contracts.video_job import DemandReport
from tests.manifests.served_models import Served, inference, served

pytestmark = pytest.mark.manifests

LANGUAGE: Final = {"modality": "language", "storageUri": "hf://org/model"}


def scaled(key: str, scaling: dict[str, Any], **serving: Any) -> Served:
    return served({"serving": serving, "models": {key: {"scaling": scaling}}})[key]


def trigger(model: Served) -> Any:
    triggers = model.one("ScaledObject")["spec"]["triggers"]
    assert len(triggers) == 1
    return triggers[0]


def test_keda_reads_the_demand_for_what_the_process_serves() -> None:
    for key, model in served({"models": {"voice": {"servedName": "narrator"}}}).items():
        prefix, modality = {"voice": ("VOCALIZR", "speech"), "portrait": ("VISUALIZR", "video")}[key]
        url = urlsplit(trigger(model)["metadata"]["url"])
        assert (url.scheme, url.path) == ("http", "/api/v1/demand")
        service = model.cluster.find("Service", "chatacter-chattr")
        assert service is not None
        assert url.hostname == "chatacter-chattr.chatacter.svc.cluster.local"
        assert url.port == service["spec"]["ports"][0]["port"]
        assert parse_qs(url.query) == {"modality": [modality], "model": [model.env[f"{prefix}_SERVED_NAME"]]}


def test_keda_reads_the_number_that_chattr_answers_with() -> None:
    metadata = trigger(served({})["voice"])["metadata"]
    report = DemandReport(outstanding=3, models=[]).model_dump()
    assert report[metadata["valueLocation"]] == 3
    assert metadata["format"] == "json"


def test_keda_shows_the_token_that_chattr_knows() -> None:
    model = served({})["voice"]
    assert trigger(model)["metadata"]["authMode"] == "bearer"
    authentication = model.cluster.find("TriggerAuthentication", trigger(model)["authenticationRef"]["name"])
    assert authentication is not None
    [secret] = authentication["spec"]["secretTargetRef"]
    assert secret.pop("parameter") == "token"
    assert model.env["SERVICE_TOKEN"] == {"secretKeyRef": secret}


@pytest.mark.parametrize(("target", "expected"), [(None, "3"), (1.5, "1.5"), (8, "8")])
def test_a_replica_gets_as_much_work_as_it_does_side_by_side_unless_told(target: float | None, expected: str) -> None:
    model = served({"models": {"voice": {"concurrency": 3, "scaling": {"target": target}}}})["voice"]
    assert trigger(model)["metadata"]["targetValue"] == expected
    assert model.env["VOCALIZR_CONCURRENCY"] == "3"


@pytest.mark.parametrize(
    ("mode", "name"), [("Standard", "chatacter-voice-predictor"), ("Deployment", "chatacter-voice")]
)
def test_keda_scales_the_deployment_that_there_is(mode: str, name: str) -> None:
    model = scaled("voice", {}, mode=mode, autoscaler="keda")
    assert model.one("ScaledObject")["spec"]["scaleTargetRef"]["name"] == name
    assert model.cluster.find("Deployment", name) is not None
    if mode == "Deployment":
        assert "replicas" not in model.one("Deployment")["spec"]


def test_kserve_leaves_scaling_to_keda() -> None:
    service = scaled("voice", {}, mode="Standard").one("InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "external"


def test_a_replica_is_not_told_to_go_before_its_longest_work_could_have_ended() -> None:
    model = served({"models": {"portrait": {"timeout": 1500}}})["portrait"]
    down = model.one("ScaledObject")["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 1500
    assert [policy["value"] for policy in down["policies"]] == [1]


@pytest.mark.parametrize(("timeout", "said", "expected"), [(7200, None, 3600), (600, 30, 30), (600, 0, 0)])
def test_the_wait_before_a_replica_goes_is_what_the_cluster_takes(
    timeout: int, said: int | None, expected: int
) -> None:
    values = {"models": {"portrait": {"timeout": timeout, "scaling": {"scaleDownSeconds": said}}}}
    spec = served(values)["portrait"].one("ScaledObject")["spec"]
    down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] == expected


def test_while_the_demand_cannot_be_read_nobody_is_sent_away() -> None:
    fallback = scaled("voice", {"minReplicas": 2}).one("ScaledObject")["spec"]["fallback"]
    assert fallback["behavior"] == "currentReplicasIfHigher"
    assert fallback["replicas"] == 2


def test_while_the_demand_cannot_be_read_who_sleeps_sleeps_on() -> None:
    assert "fallback" not in scaled("voice", {"scaleToZero": True}).one("ScaledObject")["spec"]


def test_nothing_sleeps_unless_it_was_asked_for() -> None:
    for model in served({}).values():
        spec = model.one("ScaledObject")["spec"]
        assert "idleReplicaCount" not in spec
        assert spec["minReplicaCount"] >= 1


def test_a_model_that_may_sleep_does_so_after_a_while_without_work() -> None:
    spec = scaled("voice", {"scaleToZero": True, "cooldownSeconds": 90}).one("ScaledObject")["spec"]
    assert (spec["idleReplicaCount"], spec["minReplicaCount"]) == (0, 1)
    assert (spec["cooldownPeriod"], spec["initialCooldownPeriod"]) == (90, 90)


def test_under_knative_a_model_sleeps_by_knatives_own_means() -> None:
    model = scaled("voice", {"scaleToZero": True, "cooldownSeconds": 90}, mode="Knative")
    service = model.one("InferenceService")
    assert service["spec"]["predictor"]["minReplicas"] == 0
    assert service["metadata"]["annotations"]["autoscaling.knative.dev/scale-to-zero-pod-retention-period"] == "90s"


def test_knative_scales_by_requests_in_flight_and_lets_the_models_own_queue_work() -> None:
    values = {"serving": {"mode": "Knative"}, "models": {"voice": {"concurrency": 2, "queue": 5}}}
    model = served(values)["voice"]
    predictor = model.one("InferenceService")["spec"]["predictor"]
    assert (predictor["scaleMetric"], predictor["scaleTarget"]) == ("concurrency", 2)
    assert predictor["containerConcurrency"] == 7
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (1, 3)
    assert model.all("ScaledObject") == []


def test_hpa_is_kserves_and_goes_by_cpu() -> None:
    model = scaled("voice", {"targetCPUUtilizationPercentage": 65}, autoscaler="hpa")
    service = model.one("InferenceService")
    assert service["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "hpa"
    assert service["spec"]["predictor"]["scaleMetric"] == "cpu"
    assert service["spec"]["predictor"]["scaleTarget"] == 65
    assert model.all("ScaledObject") == []


@pytest.mark.parametrize("mode", ["Standard", "Knative", "Deployment"])
def test_without_an_autoscaler_a_fixed_number_runs(mode: str) -> None:
    model = scaled("voice", {"minReplicas": 2, "maxReplicas": 5}, mode=mode, autoscaler="none")
    if mode == "Deployment":
        assert model.one("Deployment")["spec"]["replicas"] == 2
    else:
        predictor = model.one("InferenceService")["spec"]["predictor"]
        assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 2)
    assert model.all("ScaledObject") == []
    assert model.cluster.of_kind("TriggerAuthentication") == []


@pytest.mark.parametrize(
    ("serving", "own", "expected"),
    [
        ({}, "", "none"),
        ({"autoscaler": "keda"}, "", "none"),
        ({"autoscaler": "hpa"}, "", "hpa"),
        ({}, "hpa", "hpa"),
    ],
)
def test_a_language_model_whose_work_nobody_counts_is_not_scaled_by_it(
    serving: dict[str, str], own: str, expected: str
) -> None:
    values = {"serving": serving, "models": {"llm": {**LANGUAGE, "scaling": {"autoscaler": own}}}}
    model = Served("llm", inference(values))
    annotations = model.one("InferenceService")["metadata"]["annotations"]
    assert annotations["serving.kserve.io/autoscalerClass"] == expected
    assert model.all("ScaledObject") == []


def test_a_model_may_be_scaled_in_another_way_than_the_rest() -> None:
    models = served({"models": {"voice": {"scaling": {"autoscaler": "none"}}}})
    assert models["voice"].all("ScaledObject") == []
    assert models["portrait"].one("ScaledObject")["spec"]["maxReplicaCount"] == 3
