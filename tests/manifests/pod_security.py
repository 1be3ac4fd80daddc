"""The `restricted` Pod Security Standard, and what we ask beyond it: a read-only root, limits, no token.

Source: Kubernetes, "Pod Security Standards".
"""

from collections.abc import Iterator

from scripts.manifests.helm import Manifest
from tests.manifests.workloads import Cluster, Pods

VOLUMES = frozenset(
    {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
HOST = ("hostNetwork", "hostPID", "hostIPC")
# Requests that a scheduler needs and limits that keep a neighbour alive.
RESOURCES = ("cpu", "memory")


def faults(cluster: Cluster) -> list[str]:
    return [f"{pods.owner}: {fault}" for pods in cluster.pods() for fault in of_pods(cluster, pods)]


def of_pods(cluster: Cluster, pods: Pods) -> Iterator[str]:
    spec, security = pods.spec, pods.spec.get("securityContext") or {}
    yield from (f"uses {name}" for name in HOST if spec.get(name))
    if not token_is_withheld(cluster, spec) and not asks_kubernetes(pods):
        yield "is given a token of Kubernetes"
    for volume in spec.get("volumes") or []:
        kinds = set(volume) - {"name"}
        if not kinds <= VOLUMES:
            yield f"volume {volume['name']} is a {', '.join(kinds)}"
    if not pods.containers:
        yield "has no container"
    for container in pods.containers:
        yield from (f"container {container['name']} {fault}" for fault in of_container(container, security))


def asks_kubernetes(pods: Pods) -> bool:
    """Whether a pod cannot do without: Ray's autoscaler asks for pods and lets them go."""
    return any(container["name"] == "autoscaler" for container in pods.containers)


def token_is_withheld(cluster: Cluster, spec: Manifest) -> bool:
    """A pod's own word comes before its account's."""
    said = spec.get("automountServiceAccountToken")
    if said is None:
        account = cluster.find("ServiceAccount", spec.get("serviceAccountName", "default")) or {}
        said = account.get("automountServiceAccountToken")
    return said is False


def of_container(container: Manifest, pod_security: Manifest) -> Iterator[str]:
    own = container.get("securityContext") or {}
    both = {**pod_security, **own}
    if own.get("privileged"):
        yield "is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "may escalate privileges"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "may write to its root"
    if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
        yield "may run as root"
    if (both.get("seccompProfile") or {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    capabilities = own.get("capabilities") or {}
    if capabilities.get("drop") != ["ALL"] or capabilities.get("add"):
        yield "keeps capabilities"
    resources = container.get("resources") or {}
    for part in ("requests", "limits"):
        missing = [name for name in RESOURCES if name not in (resources.get(part) or {})]
        if missing:
            yield f"has no {' and '.join(missing)} in its {part}"
