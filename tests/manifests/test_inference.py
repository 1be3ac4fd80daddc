"""Models as pods: what their processes are told, how they are asked, how they start and end."""

from typing import Any, Final

import pytest

from scripts.manifests import helm
from tests.manifests.pod_security import faults as security_faults
from tests.manifests.served_models import ISVC, Served, inference, served, told
from tests.manifests.workloads import matches

pytestmark = pytest.mark.manifests

MODES: Final = ("Standard", "Knative", "Deployment")
GPU: Final = {"count": 1}
# What Knative takes with its flags as they come. Source: Knative Serving, pkg/apis/serving, fieldmask.go and
# k8s_validation.go.
KNATIVES_POD: Final = frozenset({"automountServiceAccountToken", "enableServiceLinks", "serviceAccountName", "volumes"})
KNATIVES_CONTAINER: Final = frozenset(
    [
        "name",
        "args",
        "command",
        "env",
        "envFrom",
        "image",
        "imagePullPolicy",
        "livenessProbe",
        "ports",
        "readinessProbe",
        "resources",
        "securityContext",
        "startupProbe",
        "volumeMounts",
        "workingDir",
    ]
)
KNATIVES_VOLUMES: Final = frozenset({"configMap", "emptyDir", "projected", "secret"})
# Knative sets these itself; PORT to the container's port.
KNATIVES_OWN: Final = frozenset({"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"})
# Fields of a predictor that KServe reads and does not hand on.
KSERVES_FIELDS: Final = frozenset(
    [
        "annotations",
        "containerConcurrency",
        "maxReplicas",
        "minReplicas",
        "model",
        "scaleMetric",
        "scaleTarget",
        "timeout",
    ]
)
FLAGS: Final = [f"kubernetes.podspec-{flag}" for flag in ("securitycontext", "fieldref")]


def mode(name: str, **models: Any) -> dict[str, Any]:
    return {"serving": {"mode": name}, "models": models}


def address(key: str) -> str:
    return f"http://chatacter-{key}-predictor.chatacter.svc.cluster.local"


@pytest.mark.parametrize("name", MODES)
def test_each_probe_asks_the_port_and_the_model_that_the_process_is_told(name: str) -> None:
    for key, model in served(mode(name)).items():
        prefix, module = {"voice": ("VOCALIZR", "vocalizr"), "portrait": ("VISUALIZR", "visualizr")}[key]
        assert model.container["command"] == ["python", "-m", module]
        assert model.env.get("PORT") == (None if name == "Knative" else str(model.port))
        ready = {"path": f"/v2/models/{model.env[f'{prefix}_SERVED_NAME']}/ready", "port": model.port}
        assert model.container["startupProbe"]["httpGet"] == ready
        assert model.container["readinessProbe"]["httpGet"] == ready
        assert model.container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": model.port}


@pytest.mark.parametrize("name", MODES)
def test_each_model_answers_at_the_address_that_chattr_is_told(name: str) -> None:
    cluster = inference(mode(name))
    for url, key in ((told(cluster)["VOCALIZR__URL"], "voice"), (told(cluster)["VISUALIZR__URL"], "portrait")):
        assert url == address(key)
        service = cluster.find("Service", f"chatacter-{key}-predictor")
        assert service is not None
        if name != "Knative":
            assert matches({"matchLabels": service["spec"]["selector"]}, Served(key, cluster).pods.labels)
        assert [port["port"] for port in service["spec"]["ports"]] == [80]


def test_a_plain_service_leads_to_the_port_of_the_process() -> None:
    for key, model in served(mode("Deployment")).items():
        service = model.cluster.find("Service", f"chatacter-{key}-predictor")
        assert service is not None
        assert service["spec"]["ports"][0]["targetPort"] == model.port


def test_a_predictor_lets_nobody_in_without_the_services_token() -> None:
    for model in served({}).values():
        assert model.env["REQUIRE_API_KEY"] == "true"
        assert model.env["SERVICE_TOKEN"] == {"secretKeyRef": {"name": "chatacter-secrets", "key": "service-token"}}


@pytest.mark.parametrize("name", ["Standard", "Deployment"])
def test_work_that_runs_when_a_pod_must_go_has_its_whole_timeout_to_end(name: str) -> None:
    for model in served(mode(name, voice={"timeout": 900, "preStopSeconds": 12})).values():
        grace, seconds = int(model.env["SHUTDOWN_GRACE"]), float(model.env["REQUEST_TIMEOUT"])
        pause = model.container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert grace >= {"voice": 900, "portrait": 600}[model.key]
        assert seconds >= grace
        assert model.pods.spec["terminationGracePeriodSeconds"] > pause + grace


def test_kserve_waits_as_long_as_the_work_takes() -> None:
    model = served(mode("Standard", voice={"timeout": 900}))["voice"]
    assert model.one("InferenceService")["spec"]["predictor"]["timeout"] == 900


def test_chattr_waits_as_long_as_the_slowest_model_of_a_modality() -> None:
    second = {"modality": "speech", "backend": "bark", "timeout": 1200}
    env = told(inference(mode("Standard", second=second)))
    assert (env["VOCALIZR__TIMEOUT"], env["VISUALIZR__TIMEOUT"]) == ("1200", "600")


def test_a_pod_without_a_pause_has_no_hook() -> None:
    model = served(mode("Standard", voice={"preStopSeconds": 0}))["voice"]
    assert "lifecycle" not in model.container


def test_knative_is_asked_for_nothing_that_it_refuses() -> None:
    for model in served(mode("Knative")).values():
        predictor = model.one("InferenceService")["spec"]["predictor"]
        assert set(predictor) - KSERVES_FIELDS <= KNATIVES_POD
        assert set(model.container) <= KNATIVES_CONTAINER
        assert not {each["name"] for each in model.container["env"]} & KNATIVES_OWN
        assert not [each for each in model.container["env"] if "fieldRef" in each.get("valueFrom", {})]
        assert "$(POD_NAME)" not in model.env["OTEL_RESOURCE_ATTRIBUTES"]
        assert [port["name"] for port in model.container["ports"]] == ["http1"]
        assert {kind for volume in model.pods.spec["volumes"] for kind in set(volume) - {"name"}} <= KNATIVES_VOLUMES


def test_work_ends_before_knative_ends_the_pod() -> None:
    for model in served(mode("Knative")).values():
        timeout = model.one("InferenceService")["spec"]["predictor"]["timeout"]
        assert timeout - 60 <= int(model.env["SHUTDOWN_GRACE"]) < timeout


def test_without_the_pods_security_context_the_container_has_one() -> None:
    cluster = inference(mode("Knative"))
    assert security_faults(cluster) == []
    assert Served("voice", cluster).container["securityContext"]["runAsUser"] == 10001


def test_knatives_flags_bring_back_what_they_allow() -> None:
    values = {"serving": {"mode": "Knative", "knative": {"features": FLAGS}}}
    model = served(values)["voice"]
    assert model.pods.spec["securityContext"]["runAsUser"] == 10001
    assert "k8s.pod.name=$(POD_NAME)" in model.env["OTEL_RESOURCE_ATTRIBUTES"]


def test_a_model_with_a_gpu_asks_for_it_and_has_its_image() -> None:
    gpu = {"count": 2, "resource": "nvidia.com/mig-1g.10gb"}
    model = served(mode("Standard", voice={"gpu": gpu}))["voice"]
    for part in ("requests", "limits"):
        assert model.container["resources"][part]["nvidia.com/mig-1g.10gb"] == "2"
        assert {"cpu", "memory"} <= set(model.container["resources"][part])
    assert model.container["image"] == "ghcr.io/alphaspheredotai/chatacter-vocalizr:0.1.0-cuda"


@pytest.mark.parametrize("name", ["Standard", "Deployment"])
def test_a_rollout_waits_for_the_gpu_and_spares_those_who_speak_without_one(name: str) -> None:
    models = served(mode(name, portrait={"gpu": GPU}))
    for key, (surge, unavailable) in {"portrait": (0, 1), "voice": (1, 0)}.items():
        if name == "Standard":
            strategy = models[key].one("InferenceService")["spec"]["predictor"]["deploymentStrategy"]
        else:
            strategy = models[key].one("Deployment")["spec"]["strategy"]
        assert strategy["rollingUpdate"] == {"maxSurge": surge, "maxUnavailable": unavailable}


def test_a_kind_of_gpu_is_a_label_of_the_nodes() -> None:
    voice = {"gpu": {**GPU, "kind": "nvidia-l4"}, "nodeSelector": {"pool": "speech"}}
    values = {"serving": {"gpuNodeLabel": "cloud.google.com/gke-accelerator"}, "models": {"voice": voice}}
    model = served(values)["voice"]
    assert model.pods.spec["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-l4", "pool": "speech"}


@pytest.mark.parametrize(
    ("image", "gpu", "expected"),
    [
        ({"tag": "2"}, 0, "chatacter-vocalizr:2"),
        ({"tag": "2"}, 1, "chatacter-vocalizr:2-cuda"),
        ({"digest": "sha256:" + 64 * "a"}, 0, "chatacter-vocalizr@sha256:" + 64 * "a"),
        ({"digest": "sha256:" + 64 * "a", "cudaDigest": "sha256:" + 64 * "b"}, 1, "vocalizr@sha256:" + 64 * "b"),
    ],
)
def test_an_image_is_that_of_its_modality(image: dict[str, str], gpu: int, expected: str) -> None:
    values = {"images": {"speech": image}, "models": {"voice": {"gpu": {"count": gpu}}}}
    assert served(values)["voice"].container["image"].endswith(expected)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({"tag": "mine"}, "ghcr.io/alphaspheredotai/chatacter-vocalizr:mine"),
        ({"digest": "sha256:" + 64 * "c"}, "ghcr.io/alphaspheredotai/chatacter-vocalizr@sha256:" + 64 * "c"),
        ({"repository": "example.org/voices", "tag": "mine"}, "example.org/voices:mine"),
    ],
)
def test_a_model_may_have_an_image_of_its_own(image: dict[str, str], expected: str) -> None:
    model = served(mode("Standard", voice={"image": image, "gpu": GPU}))["voice"]
    assert model.container["image"] == expected


@pytest.mark.parametrize(("cpus", "threads"), [("500m", "1"), ("1", "1"), ("2500m", "2"), (6, "6"), ("1.5", "1")])
def test_threads_follow_the_processors(cpus: str | int, threads: str) -> None:
    limits = {"requests": {"cpu": "250m"}, "limits": {"cpu": cpus}}
    models = served(mode("Standard", voice={"resources": limits}, portrait={"resources": limits}))
    assert models["voice"].env["VOCALIZR_THREADS"] == threads
    assert models["portrait"].env["VISUALIZR_THREADS"] == threads


def test_a_setting_wins_over_what_the_chart_would_choose() -> None:
    settings = {"VOCALIZR_THREADS": 3, "PRELOAD_MODELS": False, "MAX_REQUEST_BYTES": 67108864}
    env = served(mode("Standard", voice={"settings": settings}))["voice"].env
    assert env["VOCALIZR_THREADS"] == "3"
    assert env["PRELOAD_MODELS"] == "false"
    assert env["MAX_REQUEST_BYTES"] == "67108864"


def test_a_setting_of_the_other_service_is_refused() -> None:
    with pytest.raises(helm.Refused, match="VISUALIZR_FPS"):
        inference(mode("Standard", voice={"settings": {"VISUALIZR_FPS": 30}}))


@pytest.mark.parametrize(
    "voice",
    [
        {"podLabels": {"app.kubernetes.io/component": "mine"}},
        {"podLabels": {"app": "mine"}},
        {"podAnnotations": {"checksum/service-token": "mine"}},
    ],
    ids=lambda voice: str(*voice.values()),
)
def test_what_pods_are_found_by_is_not_the_operators(voice: dict[str, Any]) -> None:
    with pytest.raises(helm.Refused, match="invalid propertyName"):
        inference(mode("Standard", voice=voice))


def test_a_variable_that_the_chart_sets_is_not_the_operators() -> None:
    again = [{"name": "SHUTDOWN_GRACE", "value": "5"}]
    with pytest.raises(helm.Refused, match=r"inference\.models\.voice\.extraEnv sets SHUTDOWN_GRACE"):
        inference(mode("Standard", voice={"extraEnv": again}))


def test_weights_from_storage_lie_where_kserve_mounts_them() -> None:
    model = served(mode("Standard", voice={"storageUri": "s3://weights/kokoro"}))["voice"]
    assert model.one("InferenceService")["spec"]["predictor"]["model"]["storageUri"] == "s3://weights/kokoro"
    assert model.env["CHATACTER_HOME"] == "/mnt"
    assert served({})["voice"].env["CHATACTER_HOME"] == "/opt/chatacter"


def test_a_backend_that_is_told_its_weights_keeps_what_else_is_in_its_image() -> None:
    """XTTS clones, and for the consents listens with models that its image carries, not its storage."""
    xtts = {"modality": "speech", "backend": "xtts", "acceptLicense": True, "storageUri": "hf://coqui/XTTS-v2"}
    env = served(mode("Standard", xtts=xtts))["xtts"].env
    assert (env["VOCALIZR_WEIGHTS"], env["CHATACTER_HOME"]) == ("/mnt/models", "/opt/chatacter")
    named = {**xtts, "settings": {"VOCALIZR_WEIGHTS": "/mnt/models/mine"}}
    assert served(mode("Standard", xtts=named))["xtts"].env["VOCALIZR_WEIGHTS"] == "/mnt/models/mine"


@pytest.mark.parametrize("name", ["Standard", "Deployment"])
def test_a_pod_goes_where_its_model_says(name: str) -> None:
    said = {
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "priorityClassName": "first",
        "runtimeClassName": "nvidia",
    }
    values = {"serving": {"mode": name}, "models": {"voice": {**said, "tmpSize": "20Gi", "podLabels": {"team": "a"}}}}
    model = served(values, {"global": {"imagePullSecrets": ["mirror"]}})["voice"]
    assert {key: model.pods.spec[key] for key in said} == said
    assert model.pods.spec["imagePullSecrets"] == [{"name": "mirror"}]
    assert model.pods.labels["team"] == "a"
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "20Gi"}} in model.pods.spec["volumes"]


def test_replicas_are_spread_where_that_may_be_said() -> None:
    for model in (served({})["voice"], served(mode("Deployment"))["voice"]):
        for constraint in model.pods.spec["topologySpreadConstraints"]:
            assert matches(constraint["labelSelector"], model.pods.labels)
            assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    assert "topologySpreadConstraints" not in served({"defaults": {"topologySpread": False}})["voice"].pods.spec


def test_no_name_is_too_long_for_kserves_labels() -> None:
    key = "a-long-key-of15"
    values = helm.merged(helm.LEAST, {"inference": {"models": {key: {"modality": "speech", "backend": "bark"}}}})
    text = helm.template((), values, release="a-release-with-a-name-that-is-long-enough")
    names = [each["metadata"]["name"] for each in helm.objects(text) if each["kind"] == "InferenceService"]
    assert len(names) == 3
    # The label `app` of the pods, and the Service's name.
    assert max(len(f"isvc.{name}-predictor") for name in names) <= 63


@pytest.mark.parametrize("key", ["true", "null", "on"])
def test_a_key_that_yaml_would_read_as_something_else_is_a_name(key: str) -> None:
    second = {"modality": "speech", "backend": "bark", "servedName": "1e3"}
    models = served({"serving": {"mode": "Deployment"}, "models": {key: second}})
    assert models[key].env["VOCALIZR_SERVED_NAME"] == "1e3"


def test_two_models_of_a_modality_stand_beside_each_other() -> None:
    bark = {"modality": "speech", "backend": "bark"}
    cluster = inference(mode("Standard", bark=bark))
    assert told(cluster)["VOCALIZR__MODEL"] == "kokoro"
    assert told(cluster)["VOCALIZR__URLS"] == {"bark": address("bark"), "kokoro": address("voice")}
    assert told(cluster, "dispatcher")["VOCALIZR__URLS"] == told(cluster)["VOCALIZR__URLS"]
    pods = [Served(key, cluster).pods for key in ("voice", "bark")]
    assert len({each.labels[ISVC] for each in pods}) == 2


def test_the_default_is_who_says_so() -> None:
    bark = {"modality": "speech", "backend": "bark", "default": True}
    env = told(inference(mode("Standard", bark=bark, voice={"default": False})))
    assert env["VOCALIZR__MODEL"] == "bark"
    assert env["VOCALIZR__URL"] == address("bark")


@pytest.mark.parametrize("away", [None, {"enabled": False}], ids=["null", "not enabled"])
def test_a_model_can_be_taken_away(away: dict[str, bool] | None) -> None:
    cluster = inference({"models": {"portrait": away}})
    assert [each["metadata"]["name"] for each in cluster.of_kind("InferenceService")] == ["chatacter-voice"]
    assert told(cluster)["ENABLE_VIDEO_GENERATION"] == "false"


def test_a_modality_that_is_not_served_here_may_be_served_elsewhere() -> None:
    outside = {"externalVisualizr": {"url": "http://films.example.org", "urls": {"svd": "http://svd.example.org"}}}
    env = told(inference({"models": {"portrait": None}}, outside))
    assert env["ENABLE_VIDEO_GENERATION"] == "true"
    assert env["VISUALIZR__URL"] == "http://films.example.org"
    assert env["VISUALIZR__URLS"] == {"svd": "http://svd.example.org"}


def test_models_elsewhere_stand_beside_those_here() -> None:
    outside = {"externalVocalizr": {"urls": {"xtts": "http://xtts.example.org"}}}
    env = told(inference({}, outside))
    assert env["VOCALIZR__URL"] == address("voice")
    assert env["VOCALIZR__URLS"] == {"kokoro": address("voice"), "xtts": "http://xtts.example.org"}


def test_a_model_says_only_what_is_other_than_the_defaults() -> None:
    values = {
        "defaults": {"queue": 3, "podDisruptionBudget": {"enabled": True}, "preStopSeconds": 9},
        "models": {"voice": {"podDisruptionBudget": {"enabled": False}, "preStopSeconds": 0}},
    }
    models = served(values)
    assert models["voice"].env["VOCALIZR_QUEUE"] == "3"
    assert models["voice"].all("PodDisruptionBudget") == []
    assert models["portrait"].one("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert "lifecycle" not in models["voice"].container
    assert models["portrait"].container["lifecycle"]["preStop"]["sleep"]["seconds"] == 9
