"""The judges see what they are there for: sound objects with one thing made wrong, and the fault that must be told."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from scripts.manifests.helm import Manifest, objects
from tests.manifests import schemas
from tests.manifests.conformity import faults
from tests.manifests.rendering import FURTHER, Installation

pytestmark = pytest.mark.manifests

EVERYTHING = Installation(FURTHER / "everything.yaml")
Change = Callable[[dict[str, Any]], object]


def set_to(path: str, value: Any) -> Change:
    """Set what stands at a dotted path; a number is a place in a list."""

    def change(node: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for step in way:
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
        node[int(last) if isinstance(node, list) else last] = value

    return change


POD = "spec.template.spec"
FIRST = f"{POD}.containers.0"
CHANGED: list[tuple[str, Change, str]] = [
    # What an object names
    ("Deployment/talk-chattr", set_to(f"{POD}.serviceAccountName", "nobody"), "names ServiceAccount nobody"),
    ("Deployment/talk-chattr", set_to(f"{POD}.imagePullSecrets", [{"name": "none"}]), "names Secret none"),
    (
        "Deployment/talk-chattr",
        set_to(f"{POD}.volumes.1", {"name": "x", "secret": {"secretName": "s"}}),
        "names Secret s",
    ),
    ("Deployment/talk-chattr", set_to(f"{FIRST}.volumeMounts.0.name", "gone"), "mounts volume gone"),
    ("Deployment/talk-chattr", set_to(f"{FIRST}.volumeMounts.0.mountPath", "/scratch"), "mounts /scratch twice"),
    ("Deployment/talk-chattr", set_to(f"{FIRST}.env.1.name", "HOST"), "sets HOST twice"),
    ("Deployment/talk-chattr", set_to(f"{FIRST}.readinessProbe.httpGet.port", 8001), "readinessProbe asks port 8001"),
    ("Deployment/talk-chattr", set_to("spec.selector.matchLabels", {"a": "b"}), "does not select its own pods"),
    ("Deployment/talk-chattr", set_to("spec.selector.matchLabels", {}), "would take the pods of Deployment/talk-ui"),
    ("Service/talk-chattr", set_to("metadata.name", "talk-other"), "speaks of the Service talk-chattr"),
    ("ConfigMap/talk-characters", set_to("metadata.name", "talk-other"), "names ConfigMap talk-characters"),
    ("HorizontalPodAutoscaler/talk-chattr", set_to("spec.scaleTargetRef.name", "x"), "names Deployment x"),
    ("PodDisruptionBudget/talk-ui", set_to("spec.selector.matchLabels", {"a": "b"}), "talk-ui selects no pods"),
    (
        "ScaledObject/talk-portrait",
        set_to("spec.scaleTargetRef.name", "talk-portrait"),
        "names Deployment talk-portrait",
    ),
    (
        "ScaledObject/talk-portrait",
        set_to("spec.triggers.0.authenticationRef.name", "x"),
        "names TriggerAuthentication x",
    ),
    ("TriggerAuthentication/talk-demand", set_to("spec.secretTargetRef.0.key", "word"), "chatacter-secrets, key word"),
    ("StatefulSet/talk-qdrant", set_to("spec.serviceName", "talk-none"), "names Service talk-none"),
    ("InferenceService/talk-voice", set_to("spec.predictor.model.runtime", "x"), "names ServingRuntime x"),
    ("PodMonitor/talk-voice", set_to("spec.podMetricsEndpoints.0.authorization.credentials.key", "k"), "key k"),
    # Where ports and addresses lead
    ("Service/talk-chattr", set_to("spec.ports.0.targetPort", 9000), "leads to port 9000"),
    ("Service/talk-chattr", set_to("spec.selector", {"a": "b"}), "Service talk-chattr selects no pods"),
    ("Service/talk-redis", set_to("spec.ports.0.port", 6380), "speaks of talk-redis:6379, a port"),
    ("Service/talk-ui", set_to("spec.ports.0.name", "x"), "Ingress talk-ui leads to talk-ui:"),
    ("ScaledObject/talk-portrait", set_to("spec.triggers.0.metadata.url", "http://x.chatacter.svc/"), "the Service x,"),
    ("PodMonitor/talk-voice", set_to("spec.podMetricsEndpoints.0.portNumber", 1), "asks port 1,"),
    # Policies
    (
        "NetworkPolicy/talk-ui",
        set_to("spec.podSelector.matchLabels", {"a": "b"}),
        "NetworkPolicy talk-ui selects no pods",
    ),
    ("NetworkPolicy/talk-ui", set_to("spec.policyTypes", []), "does not say which ways"),
    ("NetworkPolicy/talk-ui", set_to("spec.ingress.0.ports.0.port", 1), "opens port 1,"),
    (
        "NetworkPolicy/talk-voice",
        set_to("spec.ingress.0.from.0.podSelector", {"matchLabels": {"a": "b"}}),
        "ingress from",
    ),
    (
        "NetworkPolicy/talk-dispatcher",
        set_to("spec.egress.1.to.0.podSelector", {"matchLabels": {"serving.kserve.io/inferenceservice": "talk-voice"}}),
        "and not to their Service talk-voice-predictor",
    ),
    # The pods' security
    ("Deployment/talk-ui", set_to(f"{POD}.automountServiceAccountToken", value=True), "is given a token"),
    ("Deployment/talk-ui", set_to(f"{POD}.hostNetwork", value=True), "uses hostNetwork"),
    ("Deployment/talk-ui", set_to(f"{POD}.volumes.0", {"name": "tmp", "hostPath": {"path": "/"}}), "is a hostPath"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.privileged", value=True), "is privileged"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.allowPrivilegeEscalation", None), "may escalate"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.readOnlyRootFilesystem", value=False), "write to its root"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.runAsUser", 0), "may run as root"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.seccompProfile", {"type": "Unconfined"}), "no seccomp"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.securityContext.capabilities.add", ["NET_ADMIN"]), "keeps capabilities"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.resources.limits", {"cpu": 1}), "has no memory in its limits"),
    (
        "ServingRuntime/talk-voice",
        set_to("spec.containers.0.securityContext", {}),
        "talk-voice: container kserve-container",
    ),
    (
        "InferenceService/talk-voice",
        set_to("spec.predictor.model.resources", {}),
        "has no cpu and memory in its requests",
    ),
    # Identity
    ("Deployment/talk-ui", set_to(f"{FIRST}.image", "registry.example.org/ui"), "which is not pinned"),
    ("Deployment/talk-ui", set_to(f"{FIRST}.image", f"registry.example.org:5000/ui:{'latest'}"), "which is not pinned"),
    ("Deployment/talk-ui", set_to("metadata.namespace", "default"), "names a namespace"),
    ("Deployment/talk-ui", set_to("metadata.labels", {}), "Deployment talk-ui lacks"),
    ("Deployment/talk-ui", set_to("metadata.name", "talk-chattr"), "Deployment talk-chattr is there twice"),
    ("ConfigMap/talk-characters", set_to("kind", "ClusterRole"), "is the whole cluster's"),
]


def changed(identity: str, change: Change) -> list[Manifest]:
    manifests = copy.deepcopy(EVERYTHING.manifests())
    change(next(each for each in manifests if f"{each['kind']}/{each['metadata']['name']}" == identity))
    return manifests


@pytest.mark.parametrize(
    ("identity", "change", "told"), CHANGED, ids=lambda each: each if isinstance(each, str) else ""
)
def test_a_fault_is_told(identity: str, change: Change, told: str) -> None:
    found = faults(changed(identity, change), EVERYTHING.values)
    assert any(told in fault for fault in found), found


@pytest.mark.parametrize(
    ("identity", "change", "told"),
    [
        ("Deployment/talk-ui", set_to("spec.replica", 1), "'replica' was unexpected"),
        ("Deployment/talk-ui", set_to("spec.replicas", "1"), 'spec.replicas: "1"'),
        ("Deployment/talk-ui", set_to("apiVersion", "apps/v1beta1"), "no schema knows apps/v1beta1 Deployment"),
        ("ScaledObject/talk-voice", set_to("spec.minReplicas", 1), "'minReplicas' was unexpected"),
        ("InferenceService/talk-voice", set_to("spec.predictor.timeoutSeconds", 1), "'timeoutSeconds' was unexpected"),
        (
            "InferenceService/talk-voice",
            set_to("apiVersion", "serving.kserve.io/v2"),
            "no schema knows serving.kserve.io/v2",
        ),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_an_unknown_field_or_kind_is_told(identity: str, change: Change, told: str) -> None:
    schemas.custom_schemas_or_skip()
    found = [fault for each in changed(identity, change) for fault in schemas.faults(each)]
    assert any(told in fault for fault in found), found


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(Exception, match="stands twice"):
        objects("a: 1\nb: {c: 1, c: 2}\n")
