"""What turns rendered pods into processes keeps Kubernetes' rules: what a cluster would refuse fails here too."""

from pathlib import Path
from typing import Any

import pytest

from scripts.manifests import helm
from scripts.manifests.helm import LEAST
from tests.manifests.workloads import Cluster
from tests.pods.addresses import Addresses, Unreachable
from tests.pods.containers import Container, Unresolved, expanded
from tests.pods.image import stages
from tests.pods.installed import PASSWORD, TOKEN, until_listening
from tests.pods.release import Release, World

pytestmark = pytest.mark.manifests

CHATTR = "Deployment/chatacter-chattr"
SECRETS = {
    "chatacter-secrets": {
        "service-token": TOKEN,
        "redis-password": PASSWORD,
        "qdrant-api-key": "q",
        "model-api-key": "m",
        "api_keys.json": "[]",
    }
}


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return Cluster(helm.objects(helm.template(given=LEAST)))


def container(cluster: Cluster, secrets: dict[str, dict[str, str]]) -> Container:
    (pods,) = [each for each in cluster.pods() if each.owner == CHATTR]
    return Container(cluster, pods, "chattr-0", secrets)


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$(A", "$(A"),
        ("costs 5$", "costs 5$"),
    ],
)
def test_variables_are_expanded_as_the_kubelet_does(text: str, becomes: str) -> None:
    assert expanded(text, {"A": "1"}) == becomes


def test_the_environment_is_the_images_with_the_pods_over_it(cluster: Cluster) -> None:
    told = container(cluster, SECRETS).environment()
    assert told["PYTHONDONTWRITEBYTECODE"] == "1"
    assert told["RECORDS__PASSWORD"] == PASSWORD
    assert "k8s.pod.name=chattr-0" in told["OTEL_RESOURCE_ATTRIBUTES"].split(",")


def test_a_secret_or_a_key_that_nobody_gave_keeps_a_pod_from_starting(cluster: Cluster) -> None:
    without: Any = {
        "chatacter-secrets": {k: v for k, v in SECRETS["chatacter-secrets"].items() if k != "api_keys.json"}
    }
    with pytest.raises(Unresolved, match=r"api_keys\.json"):
        list(container(cluster, without).mounts())
    with pytest.raises(Unresolved, match="chatacter-secrets has no key"):
        container(cluster, {}).environment()


def test_names_lead_where_services_lead_and_nowhere_else(cluster: Cluster) -> None:
    listening = {(CHATTR, 8000): "127.0.0.2:1", ("InferenceService/chatacter-voice", 8001): "127.0.0.2:2"}
    addresses = Addresses(cluster, listening, {"llm.example:443": "127.0.0.1:3"})
    name = "chatacter-chattr.chatacter.svc.cluster.local"
    assert addresses.substituted(f"http://{name}:8000/v1") == "http://127.0.0.2:1/v1"
    urls = '{"kokoro": "http://chatacter-voice-predictor"}'
    assert addresses.substituted(urls) == '{"kokoro": "http://127.0.0.2:2"}'
    assert addresses.substituted("https://llm.example/v1") == "https://127.0.0.1:3/v1"
    assert addresses.substituted("file:///var/lib/chatacter/assets") == "file:///var/lib/chatacter/assets"
    for wrong, why in {
        f"http://{name}:80": "no port 80",
        "http://chatacter-chat:8000": "no Service",
        "http://chatacter-chattr.elsewhere.svc.cluster.local:8000": "no Service",
        "redis://chatacter-redis:6379/0": "where nobody listens",
    }.items():
        with pytest.raises(Unreachable, match=why):
            addresses.substituted(wrong)


def test_each_image_brings_its_models() -> None:
    assert {name: sorted(stages()[name].models) for name in ("chattr", "vocalizr", "visualizr")} == {
        "chattr": ["all-minilm-l6-v2"],
        "vocalizr": ["english-g2p", "kokoro-82m", "perth-watermark"],
        "visualizr": ["mediapipe-face"],
    }


def test_a_pods_processes_die_with_it(cluster: Cluster, tmp_path: Path) -> None:
    with Release(cluster.manifests, tmp_path, tmp_path, {"redis": 1}, World(secrets=SECRETS)) as release:
        pod = release.start("redis")
        until_listening(pod)
        first = Path(f"/proc/{pod.pid}")
        assert first.exists()
    assert not first.exists()
