"""What the head of each ready-made values file promises."""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import CHART, Manifest
from tests.manifests.networks import texts_within
from tests.manifests.served_models import MODEL, Served
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

URL: Final = re.compile(r"\b(?:https?|rediss?|s3|gs|hf)://([^/\s:\"']+)")
INSIDE: Final = re.compile(r"\.svc\.cluster\.local$|^(localhost|127\.0\.0\.1|0\.0\.0\.0|\$\{.*)$")
WITH_GPU: Final = {"inference": {"models": {"animatediff": {"enabled": True}}}}
OPERATORS: Final = ("serving.kserve.io", "keda.sh", "monitoring.coreos.com", "networking.gke.io")


def ready_made(name: str, given: dict[str, Any] | None = None) -> Cluster:
    file = CHART / f"values-{name}.yaml"
    return Cluster(helm.objects(helm.template((file,), helm.merged(helm.least((file,)), given or {}))))


def models(cluster: Cluster) -> dict[str, Served]:
    return {pods.labels[MODEL]: Served(pods.labels[MODEL], cluster) for pods in cluster.pods() if MODEL in pods.labels}


def accounts(cluster: Cluster) -> dict[str, dict[str, str]]:
    return {
        each["metadata"]["name"]: each["metadata"].get("annotations", {}) for each in cluster.of_kind("ServiceAccount")
    }


def hosts(manifest: Manifest) -> Iterator[str]:
    for text in texts_within({key: value for key, value in manifest.items() if key != "metadata"}):
        yield from URL.findall(text)


def test_without_the_internet_no_address_leads_outside() -> None:
    cluster = ready_made("airgapped")
    named = {host for each in cluster.manifests for host in hosts(each)}
    assert named
    assert [host for host in named if not INSIDE.search(host)] == []


def test_without_the_internet_no_policy_lets_anything_out() -> None:
    for policy in ready_made("airgapped").of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            assert rule.get("to"), f"{policy['metadata']['name']} lets out to anywhere"
            assert not [peer for peer in rule["to"] if "ipBlock" in peer], policy["metadata"]["name"]


def test_without_the_internet_each_image_comes_from_the_registry_that_was_named() -> None:
    cluster = ready_made("airgapped", {"global": {"imageRegistry": "registry.test:5000/mirror"}})
    # A language model's is that of KServe's runtime, which its own installation names.
    images = [c["image"] for pods in cluster.pods() if pods.labels.get(MODEL) != "llm" for c in pods.containers]
    assert len(images) > 5
    assert [image for image in images if not image.startswith("registry.test:5000/mirror/")] == []


def test_the_small_one_needs_no_operator_and_runs_one_of_each() -> None:
    cluster = ready_made("dev")
    assert [each["kind"] for each in cluster.manifests if each["apiVersion"].startswith(OPERATORS)] == []
    assert cluster.of_kind("HorizontalPodAutoscaler", "PodDisruptionBudget") == []
    workloads = cluster.of_kind("Deployment", "StatefulSet")
    assert {each["spec"]["replicas"] for each in workloads} == {1}
    claims = [each["spec"]["accessModes"] for each in cluster.of_kind("PersistentVolumeClaim")]
    assert claims == [["ReadWriteOnce"]]


def test_each_gpu_model_may_stand_on_a_gpus_node() -> None:
    found = models(ready_made("gpu"))
    assert set(found) == {"voice", "portrait", "bark", "animatediff"}
    for key in ("bark", "animatediff"):
        container = found[key].container
        assert container["resources"]["limits"]["nvidia.com/gpu"] == "1"
        assert container["image"].endswith("-cuda")
        assert found[key].pods.spec["tolerations"][0]["key"] == "nvidia.com/gpu"


def test_weights_under_a_licence_come_with_its_acceptance() -> None:
    accepted = {key: {"enabled": True, "acceptLicense": True} for key in ("xtts", "svd")}
    found = models(ready_made("gpu", {"inference": {"models": accepted}}))
    assert found["xtts"].env["ACCEPT_MODEL_LICENSES"] == "CPML"
    assert found["svd"].env["ACCEPT_MODEL_LICENSES"] == "stable-video-diffusion-community"
    assert "ACCEPT_MODEL_LICENSES" not in found["bark"].env
    enabled = {key: {"enabled": True} for key in ("xtts", "svd")}
    with pytest.raises(helm.Refused, match="acceptLicense=true"):
        ready_made("gpu", {"inference": {"models": enabled}})


def test_knative_gets_no_keda_and_no_work_that_it_would_cut() -> None:
    cluster = ready_made("knative")
    assert cluster.of_kind("ScaledObject", "TriggerAuthentication") == []
    for service in cluster.of_kind("InferenceService"):
        assert service["metadata"]["annotations"]["serving.kserve.io/deploymentMode"] == "Knative"
        assert service["spec"]["predictor"]["timeout"] <= 600


@pytest.mark.parametrize(
    ("cloud", "annotation", "bucket", "node"),
    [
        ("eks", "eks.amazonaws.com/role-arn", "s3://", {"karpenter.k8s.aws/instance-gpu-name": "l4"}),
        ("gke", "iam.gke.io/gcp-service-account", "gs://", {"cloud.google.com/gke-accelerator": "nvidia-l4"}),
    ],
)
def test_a_cloud_gives_identities_buckets_and_gpus(
    cloud: str, annotation: str, bucket: str, node: dict[str, str]
) -> None:
    assert set(models(ready_made(cloud))) == {"voice", "portrait"}
    cluster = ready_made(cloud, WITH_GPU)
    for name in ("chatacter-chattr", "chatacter-dispatcher", "chatacter-animatediff"):
        assert annotation in accounts(cluster)[name]
    model = models(cluster)["animatediff"]
    assert model.one("InferenceService")["spec"]["predictor"]["model"]["storageUri"].startswith(bucket)
    assert model.pods.spec["nodeSelector"] == node


def test_karpenter_leaves_a_node_with_a_film_on_it_alone() -> None:
    model = models(ready_made("eks", WITH_GPU))["animatediff"]
    assert model.pods.annotations["karpenter.sh/do-not-disrupt"] == "true"


def test_who_needs_tokens_of_googles_metadata_server_reaches_it() -> None:
    cluster = ready_made("gke", WITH_GPU)
    for name in ("chatacter-chattr", "chatacter-dispatcher", "chatacter-animatediff"):
        policy = cluster.find("NetworkPolicy", name)
        assert policy is not None
        rules = [rule for rule in policy["spec"]["egress"] if {"port": 988, "protocol": "TCP"} in rule["ports"]]
        blocks = [peer["ipBlock"]["cidr"] for rule in rules for peer in rule["to"]]
        assert "169.254.169.252/32" in blocks


def test_on_googles_nodes_everyone_who_asks_for_names_reaches_the_nodes_own_cache() -> None:
    for policy in ready_made("gke").of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("egress", []):
            if {"port": 53, "protocol": "UDP"} in rule["ports"]:
                blocks = {peer["ipBlock"]["cidr"] for peer in rule["to"] if "ipBlock" in peer}
                assert blocks == {"169.254.20.10/32", "169.254.169.254/32"}, policy["metadata"]["name"]


def test_googles_balancer_keeps_a_visitor_at_one_pod_of_the_page() -> None:
    cluster = ready_made("gke")
    page = cluster.find("Deployment", "chatacter-ui")
    assert page is not None
    assert page["spec"]["replicas"] > 1
    policies = {
        each["spec"]["targetRef"]["name"]: each["spec"]["default"] for each in cluster.of_kind("GCPBackendPolicy")
    }
    assert policies["chatacter-ui"]["sessionAffinity"]["type"] == "GENERATED_COOKIE"
    assert "sessionAffinity" not in policies["chatacter-chattr"]


@pytest.mark.parametrize("cloud", ["eks", "gke"])
@pytest.mark.parametrize("part", ["chattr", "ui"])
def test_a_pod_behind_a_clouds_balancer_listens_until_that_has_noticed(cloud: str, part: str) -> None:
    deployment = ready_made(cloud).find("Deployment", f"chatacter-{part}")
    assert deployment is not None
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 30
