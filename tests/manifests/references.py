"""Every name that an object says must exist in what was rendered, unless the values say that it is somebody else's."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from scripts.manifests.helm import Manifest
from tests.manifests.workloads import KSERVES_RUNTIMES, Cluster, Pods, matches

# What the operator's one Secret holds; see the values reference, `global.existingSecret`.
SHARED_KEYS = frozenset(
    {"model-api-key", "embeddings-api-key", "service-token", "redis-password", "qdrant-api-key", "api_keys.json"}
)
# Made in every namespace by Kubernetes itself.
ALWAYS = {"ServiceAccount": {"default"}, "ConfigMap": {"kube-root-ca.crt"}}


@dataclass
class Elsewhere:
    """Objects that others make: kind → name → the keys that are known, None where any may be there."""

    known: dict[str, dict[str, set[str] | None]] = field(default_factory=dict)

    def add(self, kind: str, name: str, key: str | None = None) -> None:
        keys = self.known.setdefault(kind, {}).setdefault(name, set())
        if keys is not None and key:
            keys.add(key)

    def has(self, kind: str, name: str, key: str | None) -> bool:
        if name in ALWAYS.get(kind, ()):
            return True
        if name not in self.known.get(kind, {}):
            return False
        keys = self.known[kind][name]
        return key is None or not keys or key in keys


def declared_elsewhere(values: Mapping[str, Any]) -> Elsewhere:
    """Find what the values say exists already, wherever in them it stands."""
    found = Elsewhere()
    shared = values.get("global", {}).get("existingSecret")
    for key in SHARED_KEYS if shared else ():
        found.add("Secret", shared, key)
    for each in maps_within(values):
        if each.get("existingSecret") and each["existingSecret"] != shared:
            found.add("Secret", each["existingSecret"], each.get("existingSecretKey"))
        if each.get("existingConfigMap"):
            found.add("ConfigMap", each["existingConfigMap"])
        if each.get("existingClaim"):
            found.add("PersistentVolumeClaim", each["existingClaim"])
        if str(each.get("storageUri", "")).startswith("pvc://"):
            found.add("PersistentVolumeClaim", each["storageUri"].split("/")[2])
        account = each.get("serviceAccount")
        if isinstance(account, Mapping) and account.get("name") and not account.get("create", True):
            found.add("ServiceAccount", account["name"])
        for name in each.get("imagePullSecrets") or ():
            found.add("Secret", name["name"] if isinstance(name, Mapping) else name)
    return found


def maps_within(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        yield value
        for each in value.values():
            yield from maps_within(each)
    elif isinstance(value, list):
        for each in value:
            yield from maps_within(each)


class References:
    """Looks up what objects name, and remembers what is missing."""

    def __init__(self, cluster: Cluster, elsewhere: Elsewhere) -> None:
        self.cluster = cluster
        self.elsewhere = elsewhere
        self.missing: list[str] = []

    def need(self, who: str, kind: str, name: str, key: str | None = None) -> None:
        found = self.cluster.find(kind, name)
        there = found is not None and (key is None or key in keys_of(found))
        if not there and not self.elsewhere.has(kind, name, key):
            self.missing.append(f"{who} names {kind} {name}" + (f", key {key}" if key else ""))

    def check(self) -> list[str]:
        for pods in self.cluster.pods():
            self.check_pods(pods)
        for each in self.cluster.manifests:
            check = CHECKS.get(each["kind"])
            if check:
                check(self, f"{each['kind']}/{each['metadata']['name']}", each["spec"])
        return self.missing

    def check_pods(self, pods: Pods) -> None:
        if "serviceAccountName" in pods.spec:
            self.need(pods.owner, "ServiceAccount", pods.spec["serviceAccountName"])
        for each in pods.spec.get("imagePullSecrets") or []:
            self.need(pods.owner, "Secret", each["name"])
        for volume in pods.spec.get("volumes") or []:
            self.check_volume(pods.owner, volume)
        for container in pods.containers:
            self.check_environment(f"{pods.owner} {container['name']}", container)
        self.check_mounts(pods)
        self.check_probes(pods)

    def check_volume(self, who: str, volume: Manifest) -> None:
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            if secret := source.get("secret"):
                self.check_keys(who, "Secret", secret.get("secretName") or secret.get("name"), secret)
            if config := source.get("configMap"):
                self.check_keys(who, "ConfigMap", config["name"], config)
        if claim := volume.get("persistentVolumeClaim"):
            self.need(who, "PersistentVolumeClaim", claim["claimName"])

    def check_keys(self, who: str, kind: str, name: str, source: Manifest) -> None:
        if source.get("optional"):
            return
        self.need(who, kind, name)
        for item in source.get("items", []):
            self.need(who, kind, name, item["key"])

    def check_environment(self, who: str, container: Manifest) -> None:
        names = [each["name"] for each in container.get("env") or []]
        self.missing += [f"{who} sets {name} twice" for name in sorted({n for n in names if names.count(n) > 1})]
        for each in container.get("env") or []:
            source = each.get("valueFrom", {})
            for field_name, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                ref = source.get(field_name)
                if ref and not ref.get("optional"):
                    self.need(f"{who} {each['name']}", kind, ref["name"], ref["key"])
        for each in container.get("envFrom") or []:
            for field_name, kind in (("secretRef", "Secret"), ("configMapRef", "ConfigMap")):
                ref = each.get(field_name)
                if ref and not ref.get("optional"):
                    self.need(who, kind, ref["name"])

    def check_mounts(self, pods: Pods) -> None:
        volumes = [each["name"] for each in pods.spec.get("volumes") or []]
        mounts = [(c["name"], m) for c in pods.containers for m in c.get("volumeMounts") or []]
        self.missing += [f"{pods.owner} {c} mounts volume {m['name']}" for c, m in mounts if m["name"] not in volumes]
        used = {mount["name"] for _, mount in mounts}
        self.missing += [
            f"{pods.owner} has volume {name}, which nothing mounts" for name in volumes if name not in used
        ]
        self.missing += [f"{pods.owner} has two volumes {name}" for name in set(volumes) if volumes.count(name) > 1]
        paths = [(container, mount["mountPath"]) for container, mount in mounts]
        self.missing += [f"{pods.owner} {c} mounts {p} twice" for c, p in set(paths) if paths.count((c, p)) > 1]

    def check_probes(self, pods: Pods) -> None:
        for container in pods.containers:
            ports = [
                value for port in container.get("ports") or [] for value in (port.get("name"), port["containerPort"])
            ]
            for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
                probe = container.get(kind, {})
                for verb in ("httpGet", "tcpSocket", "grpc"):
                    port = probe.get(verb, {}).get("port")
                    if port is not None and port not in ports:
                        self.missing.append(f"{pods.owner} {container['name']} {kind} asks port {port}")


def keys_of(manifest: Manifest) -> set[str]:
    return {key for part in ("data", "stringData", "binaryData") for key in manifest.get(part) or {}}


def check_scaler(references: References, who: str, spec: Manifest) -> None:
    target = spec["scaleTargetRef"]
    references.need(who, target.get("kind", "Deployment"), target["name"])
    for trigger in spec.get("triggers", []):
        ref = trigger.get("authenticationRef")
        if ref:
            references.need(who, ref.get("kind", "TriggerAuthentication"), ref["name"])


def check_trigger_authentication(references: References, who: str, spec: Manifest) -> None:
    for ref in spec.get("secretTargetRef", []):
        references.need(who, "Secret", ref["name"], ref["key"])


def check_pdb(references: References, who: str, spec: Manifest) -> None:
    chosen = [pods.owner for pods in references.cluster.pods() if matches(spec["selector"], pods.labels)]
    if not chosen:
        references.missing.append(f"{who} selects no pods")
    # Kubernetes asks the owner's scale how many pods there should be, and a RayCluster has none: no pod may ever go.
    if "maxUnavailable" in spec and any(owner.startswith("RayService/") for owner in chosen):
        references.missing.append(f"{who} counts from what a RayCluster cannot tell")


def check_workload(references: References, who: str, spec: Manifest) -> None:
    labels = spec["template"]["metadata"]["labels"]
    if "selector" in spec and not matches(spec["selector"], labels):
        references.missing.append(f"{who} does not select its own pods")
    mine = [p.owner for p in references.cluster.pods() if "selector" in spec and matches(spec["selector"], p.labels)]
    references.missing += [f"{who} would take the pods of {other}" for other in mine if other != who]
    if "serviceName" in spec:
        references.need(who, "Service", spec["serviceName"])


def check_inference_service(references: References, who: str, spec: Manifest) -> None:
    runtime = spec["predictor"].get("model", {}).get("runtime")
    if runtime and runtime not in KSERVES_RUNTIMES:
        references.need(who, "ServingRuntime", runtime)


def check_monitor(references: References, who: str, spec: Manifest) -> None:
    for endpoint in [*spec.get("endpoints", []), *spec.get("podMetricsEndpoints", [])]:
        authorization = endpoint.get("authorization", {}).get("credentials") or endpoint.get("bearerTokenSecret")
        if authorization:
            references.need(who, "Secret", authorization["name"], authorization["key"])


CHECKS = {
    "HorizontalPodAutoscaler": check_scaler,
    "ScaledObject": check_scaler,
    "TriggerAuthentication": check_trigger_authentication,
    "PodDisruptionBudget": check_pdb,
    "Deployment": check_workload,
    "StatefulSet": check_workload,
    "DaemonSet": check_workload,
    "InferenceService": check_inference_service,
    "ServiceMonitor": check_monitor,
    "PodMonitor": check_monitor,
}
