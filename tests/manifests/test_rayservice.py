"""Models on Ray: one service of KubeRay's for each, told and asked as those of KServe's are.

That Ray Serve takes the rendered configuration and speaks is shown by `tests/e2e/test_rendered_rayservice.py`.
"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.manifests import helm
from scripts.manifests.programs import ROOT
from tests.manifests import kuberay, schemas
from tests.manifests.served_models import MODEL, inference, told
from tests.manifests.test_inference import address
from tests.manifests.workloads import Cluster, Pods, matches

pytestmark = pytest.mark.manifests

RAY: dict[str, Any] = {
    "modality": "speech",
    "backend": "bark",
    "gpu": {"count": 1, "kind": "NVIDIA-L4"},
    "ray": {"enabled": True, "replicasPerPod": 4},
    "scaling": {"minReplicas": 1, "maxReplicas": 3},
}
# What only the engine, or the node of it, makes different.
OF_RAY = {
    "VOCALIZR_ENGINE",
    "RAY_REPLICAS",
    "RAY_REPLICA_GPUS",
    "RAY_REPLICA_CPUS",
    "RAY_USAGE_STATS_ENABLED",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S",
    "RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT",
}


def rendered(**bark: Any) -> Cluster:
    return inference({"models": {"bark": helm.merged(RAY, bark)}})


def service(cluster: Cluster) -> dict[str, Any]:
    (found,) = cluster.of_kind("RayService")
    return dict(found["spec"])


def config(cluster: Cluster) -> dict[str, Any]:
    return dict(yaml.safe_load(service(cluster)["serveConfigV2"]))


def deployments(cluster: Cluster) -> dict[str, dict[str, Any]]:
    (application,) = config(cluster)["applications"]
    return {each["name"]: each for each in application["deployments"]}


def nodes(cluster: Cluster) -> dict[str, Pods]:
    """The pods of the head and of the workers."""
    return {pods.labels[kuberay.NODE]: pods for pods in cluster.pods() if kuberay.NODE in pods.labels}


def named(manifest: dict[str, Any]) -> str:
    return str(manifest["metadata"]["name"])


def env(pods: Pods) -> dict[str, Any]:
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pods.spec["containers"][0]["env"]}


def test_kuberay_knows_every_field() -> None:
    schemas.custom_schemas_or_skip()
    cluster = rendered()
    assert [fault for each in cluster.of_kind("RayService") for fault in schemas.faults(each)] == []


def test_chattr_finds_it_by_name_at_the_service_that_kuberay_makes() -> None:
    cluster = rendered()
    assert told(cluster)["VOCALIZR__URLS"] == {"kokoro": address("voice"), "bark": address("bark")}
    assert told(cluster, "dispatcher")["VOCALIZR__URLS"] == told(cluster)["VOCALIZR__URLS"]
    made = cluster.find("Service", "chatacter-bark-predictor")
    assert made is not None
    (port,) = made["spec"]["ports"]
    container = nodes(cluster)["worker"].spec["containers"][0]
    assert (port["name"], port["port"]) == ("serve", 80)
    assert {"name": "serve", "containerPort": port["targetPort"], "protocol": "TCP"} in container["ports"]
    assert config(cluster)["http_options"] == {"host": "0.0.0.0", "port": port["targetPort"]}


def test_it_is_told_what_an_inference_service_is_told() -> None:
    settings = {"VOCALIZR_VOICES_URL": "s3://bucket/voices", "MAX_REQUEST_BYTES": 67108864}
    plain = inference({"models": {"bark": helm.merged(RAY, {"ray": {"enabled": False}, "settings": settings})}})
    (pods,) = [pods for pods in plain.pods() if pods.labels.get(MODEL) == "bark"]
    for ray in nodes(rendered(settings=settings)).values():
        assert env(ray).keys() >= OF_RAY
        # Four in one pod share its processors.
        assert {name: value for name, value in env(ray).items() if name not in {*OF_RAY, "VOCALIZR_THREADS"}} == {
            name: value for name, value in env(pods).items() if name != "VOCALIZR_THREADS"
        }


def test_shares_of_a_gpu_and_replicas_follow_from_the_pods() -> None:
    cluster = rendered()
    replica = deployments(cluster)["replica"]
    assert replica["ray_actor_options"] == {"num_cpus": 1, "num_gpus": 0.25}
    assert replica["max_replicas_per_node"] == 4
    scaling = replica["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"], scaling["target_ongoing_requests"]) == (4, 12, 1)
    (group,) = service(cluster)["rayClusterConfig"]["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (1, 1, 3)
    assert (group["rayStartParams"]["num-cpus"], group["rayStartParams"]["num-gpus"]) == ("5", "1")
    assert env(nodes(cluster)["worker"])["RAY_REPLICAS"] == "12"


@pytest.mark.parametrize(("count", "each", "share"), [(1, 3, 0.3333), (2, 1, 2), (4, 2, 2), (1, 1, 1)])
def test_shares_never_add_up_to_more_than_there_is(count: int, each: int, share: float) -> None:
    cluster = rendered(gpu={"count": count}, ray={"replicasPerPod": each})
    assert deployments(cluster)["replica"]["ray_actor_options"]["num_gpus"] == share


def test_a_fixed_number_needs_nobody_who_asks_kubernetes() -> None:
    cluster = rendered(scaling={"autoscaler": "none", "minReplicas": 2})
    assert deployments(cluster)["replica"]["num_replicas"] == 8
    assert "autoscaling_config" not in deployments(cluster)["replica"]
    spec = service(cluster)["rayClusterConfig"]
    assert "enableInTreeAutoscaling" not in spec
    assert nodes(cluster)["head"].spec["automountServiceAccountToken"] is False


def test_only_the_head_of_a_growing_cluster_may_ask_kubernetes() -> None:
    found = nodes(rendered())
    assert found["head"].spec["automountServiceAccountToken"] is True
    assert found["worker"].spec["automountServiceAccountToken"] is False


def test_a_worker_is_ready_when_its_model_is_and_lives_while_ray_does() -> None:
    container = nodes(rendered())["worker"].spec["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/v2/models/bark/ready", "port": 8001}
    assert container["livenessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 52365}
    head = nodes(rendered())["head"].spec["containers"][0]
    # KubeRay hands the configuration over once the head is ready: it cannot wait for what that starts.
    assert head["readinessProbe"]["httpGet"] == {"path": "/api/healthz", "port": 52365}


def test_a_worker_that_must_go_has_time_for_the_longest_work() -> None:
    worker = nodes(rendered(timeout=900, preStopSeconds=12))["worker"]
    pause = worker.spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = int(env(worker)["RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"])
    assert (pause, drain, env(worker)["SHUTDOWN_GRACE"]) == (12, 900, "900")
    assert worker.spec["terminationGracePeriodSeconds"] > pause + drain


def test_a_model_that_could_not_be_loaded_is_tried_again_without_end() -> None:
    # Ray Serve's controller runs at the head.
    assert int(env(nodes(rendered())["head"])["RAY_SERVE_MAX_PER_REPLICA_RETRY_COUNT"]) >= 1_000_000


@pytest.mark.parametrize(
    ("least", "away", "kept"), [(1, 1, None), (3, 1, 2), (3, 0, 3), (2, 5, None), (4, "25%", 3), (3, "50%", 1)]
)
def test_a_drain_is_never_refused_for_a_number_that_nobody_knows(least: int, away: int | str, kept: int | None) -> None:
    cluster = rendered(scaling={"minReplicas": least, "maxReplicas": 8}, podDisruptionBudget={"maxUnavailable": away})
    found = [each["spec"] for each in cluster.of_kind("PodDisruptionBudget") if named(each) == "chatacter-bark"]
    assert [spec.get("minAvailable") for spec in found] == ([] if kept is None else [kept])
    for spec in found:
        assert "maxUnavailable" not in spec
        chosen = [node for node, pods in nodes(cluster).items() if matches(spec["selector"], pods.labels)]
        assert chosen == ["worker"]


def test_the_head_takes_no_gpu_and_no_node_with_one() -> None:
    found = nodes(rendered(tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}]))
    assert found["worker"].spec["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-L4"}
    assert found["worker"].spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert not {"nodeSelector", "tolerations"} & found["head"].spec.keys()
    assert "nvidia.com/gpu" not in found["head"].spec["containers"][0]["resources"]["limits"]
    assert service(rendered())["rayClusterConfig"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_weights_lie_where_the_others_have_them() -> None:
    for pods in nodes(rendered(storageUri="pvc://weights/speech/bark")).values():
        (mount,) = [each for each in pods.spec["containers"][0]["volumeMounts"] if each["name"] == "weights"]
        assert mount == {"name": "weights", "mountPath": "/mnt/models", "subPath": "speech/bark", "readOnly": True}
        claim = {"claimName": "weights", "readOnly": True}
        assert {"name": "weights", "persistentVolumeClaim": claim} in pods.spec["volumes"]


def test_nobody_runs_anything_on_the_cluster_without_its_token() -> None:
    assert service(rendered())["rayClusterConfig"]["authOptions"] == {"mode": "token"}


def test_kuberay_is_told_the_ray_of_the_image() -> None:
    (locked,) = set(re.findall(r"^ray(?:\[[a-z,]+\])?==([\d.]+)", lock("vocalizr-cuda") + lock("visualizr-cuda"), re.M))
    assert service(rendered())["rayClusterConfig"]["rayVersion"] == locked


def lock(image: str) -> str:
    return Path(ROOT / "inference" / "locks" / f"{image}.lock").read_text("utf-8")
