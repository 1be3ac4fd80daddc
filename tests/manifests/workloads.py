"""Objects as a cluster would see them: by identity, with their pods, and with what KServe would make."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.manifests.helm import Manifest
from tests.manifests import kuberay

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet")
# The container that KServe merges a predictor's `model` into.
SERVING = "kserve-container"
# Fields of a predictor's `model` that are not its container's.
OF_THE_MODEL = frozenset(
    {"modelFormat", "runtime", "storageUri", "storage", "protocolVersion", "runtimeVersion", "name"}
)
# Runtimes that KServe brings along, as far as they matter here; source: KServe, config/runtimes.
KSERVES_RUNTIMES: dict[str, Manifest] = {
    "kserve-huggingfaceserver": {
        "containers": [
            {
                "name": SERVING,
                "image": "kserve/huggingfaceserver:v0.20.0",
                "ports": [{"containerPort": 8080}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "privileged": False,
                    "runAsNonRoot": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ]
    }
}
H2C = "kubernetes.io/h2c"
MODE = "serving.kserve.io/deploymentMode"
# What Knative adds to a pod: its proxy's ports for HTTP/1 and HTTP/2, and for the autoscaler.
KNATIVES_PORTS = (8012, 8013, 9090)


@dataclass(frozen=True)
class Pods:
    """The pods of one workload: who makes them, their labels, their spec."""

    owner: str
    labels: dict[str, str]
    spec: Manifest
    annotations: dict[str, str] = field(default_factory=dict)
    added_ports: tuple[int, ...] = ()

    @property
    def containers(self) -> list[Manifest]:
        return [*(self.spec.get("initContainers") or []), *(self.spec.get("containers") or [])]

    def ports(self) -> Iterator[tuple[str | None, int]]:
        for container in self.containers:
            for port in container.get("ports") or []:
                yield port.get("name"), port["containerPort"]
        for number in self.added_ports:
            yield None, number

    def listens_on(self, port: str | int) -> bool:
        return any(port in known for known in self.ports())


class Cluster:
    """What was rendered, and what a cluster would derive from it."""

    def __init__(self, manifests: list[Manifest]) -> None:
        self.manifests = manifests
        self.derived: list[Manifest] = []
        for each in self.of_kind("InferenceService"):
            self.derived += made_by_kserve(each, self.predictor(each))
        self.derived += [kuberay.service(each) for each in self.of_kind("RayService")]

    def of_kind(self, *kinds: str) -> list[Manifest]:
        return [each for each in [*self.manifests, *getattr(self, "derived", [])] if each["kind"] in kinds]

    def find(self, kind: str, name: str) -> Manifest | None:
        return next((each for each in self.of_kind(kind) if each["metadata"]["name"] == name), None)

    def pods(self) -> list[Pods]:
        found = []
        for each in self.manifests:
            kind, spec = each["kind"], each.get("spec", {})
            if kind in TEMPLATED:
                found.append(templated(each, spec["template"]))
            elif kind == "CronJob":
                found.append(templated(each, spec["jobTemplate"]["spec"]["template"]))
            elif kind == "Pod":
                found.append(templated(each, each))
            elif kind == "InferenceService":
                found.append(self.predictor(each))
            elif kind == "RayService":
                for owner, template in kuberay.pods(each):
                    found.append(replace(templated(each, template), owner=owner))
        return found

    def predictor(self, service: Manifest) -> Pods:
        """The pods that KServe makes: the runtime's containers, the predictor's fields over them."""
        predictor, metadata = service["spec"]["predictor"], service["metadata"]
        model = predictor.get("model") or {}
        name = model.get("runtime", "")
        base = KSERVES_RUNTIMES.get(name) or (self.find("ServingRuntime", name) or {"spec": {}})["spec"]
        own = {key: value for key, value in model.items() if key not in OF_THE_MODEL}
        containers = [
            with_fields(each, own) if each["name"] == SERVING else each
            for each in [*(base.get("containers") or []), *(predictor.get("containers") or [])]
        ]
        spec = {**base, **predictor, "containers": containers}
        spec["volumes"] = [*(base.get("volumes") or []), *(predictor.get("volumes") or [])]
        labels = {**(metadata.get("labels") or {}), **(predictor.get("labels") or {})}
        labels["serving.kserve.io/inferenceservice"] = metadata["name"]
        if not on_knative(service):
            labels |= chosen_by_kserve(metadata["name"])
        added = KNATIVES_PORTS if on_knative(service) else ()
        return Pods(f"InferenceService/{metadata['name']}", labels, spec, predictor.get("annotations", {}), added)


def with_fields(container: Manifest, own: Manifest) -> Manifest:
    """Lay a predictor's fields over its runtime's container: lists are joined, the rest is replaced."""
    lists = {key: [*container.get(key, []), *value] for key, value in own.items() if isinstance(value, list)}
    return {**container, **own, **lists}


def templated(owner: Manifest, template: Manifest) -> Pods:
    metadata, spec = template.get("metadata", {}), dict(template["spec"])
    if owner["kind"] == "StatefulSet":
        claims = owner["spec"].get("volumeClaimTemplates", [])
        made = [{"name": each["metadata"]["name"], "ephemeral": {}} for each in claims]
        spec["volumes"] = [*(spec.get("volumes") or []), *made]
    identity = f"{owner['kind']}/{owner['metadata']['name']}"
    return Pods(identity, metadata.get("labels", {}), spec, metadata.get("annotations", {}))


def on_knative(service: Manifest) -> bool:
    return bool(service["metadata"].get("annotations", {}).get(MODE) == "Knative")


def chosen_by_kserve(name: str) -> dict[str, str]:
    """The label by which KServe's Deployment and Service choose a predictor's pods in mode Standard.

    Source: KServe 0.20, `createDefaultSvc` and `createRawDefaultDeployment`.
    """
    return {"app": f"isvc.{name}-predictor"}


def made_by_kserve(service: Manifest, predictor: Pods) -> Iterator[Manifest]:
    """What KServe makes of a predictor: the first port of its container is port 80 of the Service, others stay.

    Under Knative its Deployments are revisions, whose names nobody knows, and its Service is another name of the
    gateway's, without pods of its own.
    """
    name = f"{service['metadata']['name']}-predictor"
    ports = [port for each in predictor.containers if each["name"] == SERVING for port in each.get("ports", [])]
    further = [service_port(port) for port in ports[1:] if port["containerPort"] != ports[0]["containerPort"]]
    spec = {"ports": [{"name": "http", "port": 80}, *further]}
    made = {"kind": "Service", "apiVersion": "v1", "metadata": {"name": name}, "spec": spec}
    if not on_knative(service):
        yield {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": name}}
        made["spec"] = {**spec, "selector": chosen_by_kserve(service["metadata"]["name"])}
    yield made


def service_port(port: Manifest) -> Manifest:
    """What KServe makes of a container's further port; one of gRPC it knows by the name.

    Source: KServe 0.20, `createDefaultSvc` and `isGrpcPort`.
    """
    h2c = {"appProtocol": H2C} if "grpc" in port["name"] or "h2c" in port["name"] else {}
    return {"name": port["name"], "port": port["containerPort"], "targetPort": port["containerPort"], **h2c}


def matches(selector: dict[str, Any] | None, labels: dict[str, str]) -> bool:
    """Whether a label selector picks these labels; an empty one picks all, none at all picks nothing."""
    if selector is None:
        return False
    plain = selector.get("matchLabels", {})
    rules = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in plain.items()) and all(holds(rule, labels) for rule in rules)


def holds(rule: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values", [])
    return {
        "In": value in values,
        "NotIn": value not in values,
        "Exists": value is not None,
        "DoesNotExist": value is None,
    }[rule["operator"]]
