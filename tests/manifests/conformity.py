"""What holds for any set of objects that we give to a cluster, gathered: one list of faults, empty when all is well."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.manifests.helm import NAMESPACE, Manifest
from tests.manifests import networks, pod_security
from tests.manifests.references import References, declared_elsewhere
from tests.manifests.workloads import Cluster

# Every object says to what it belongs. Helm's own labels are left out of what is rendered for kubectl.
LABELS = ("app.kubernetes.io/name", "app.kubernetes.io/part-of", "app.kubernetes.io/version")
IN_A_RELEASE = ("app.kubernetes.io/instance", "app.kubernetes.io/managed-by", "helm.sh/chart")
IMAGE = re.compile(r"^[a-z0-9.\-/:_]+(:(?P<tag>[\w][\w.\-]*)|@sha256:[0-9a-f]{64})$")
# Without a label on purpose: a namespace is nobody's part, and KServe would hand the chart's version on to the pods,
# so that every new one would load the models anew.
UNLABELLED = {"Namespace": {*LABELS, *IN_A_RELEASE}, "InferenceService": {"helm.sh/chart"}}
CLUSTER_WIDE = frozenset(
    {"ClusterRole", "ClusterRoleBinding", "ClusterServingRuntime", "CustomResourceDefinition", "Namespace"}
)


def faults(manifests: list[Manifest], values: Mapping[str, Any] | None = None, *, release: bool = True) -> list[str]:
    """Everything that is wrong but for the schemas; `values` say what exists elsewhere.

    Without a release, i.e. for kubectl, Helm's labels are missing, one namespace is named and made, and a policy may
    keep a rule towards pods that a component took away.
    """
    cluster = Cluster(manifests)
    elsewhere = declared_elsewhere(values or {})
    return [
        *identities(manifests, {None} if release else {None, NAMESPACE}),
        *labels(manifests, LABELS + (IN_A_RELEASE if release else ())),
        *images(cluster),
        *References(cluster, elsewhere).check(),
        *networks.faults(cluster, whole=release),
        *pod_security.faults(cluster),
    ]


def identities(manifests: list[Manifest], namespaces: set[str | None]) -> Iterator[str]:
    seen = set()
    for each in manifests:
        identity = (each["apiVersion"].partition("/")[0], each["kind"], each["metadata"]["name"])
        if identity in seen:
            yield f"{each['kind']} {each['metadata']['name']} is there twice"
        seen.add(identity)
        if each["metadata"].get("namespace") not in namespaces:
            yield f"{each['kind']} {each['metadata']['name']} names a namespace, which is the installer's to choose"
        if each["kind"] in CLUSTER_WIDE and each["metadata"]["name"] not in namespaces:
            yield f"{each['kind']} {each['metadata']['name']} is the whole cluster's, which a release does not own"
        if len(each["metadata"]["name"]) > 63:
            yield f"{each['kind']} {each['metadata']['name']} has a name that is too long"


def labels(manifests: list[Manifest], wanted: tuple[str, ...]) -> Iterator[str]:
    for each in manifests:
        found = each["metadata"].get("labels") or {}
        missing = [name for name in wanted if not found.get(name) and name not in UNLABELLED.get(each["kind"], ())]
        if missing:
            yield f"{each['kind']} {each['metadata']['name']} lacks {', '.join(missing)}"


def images(cluster: Cluster) -> Iterator[str]:
    for pods in cluster.pods():
        for container in pods.containers:
            image = container.get("image", "")
            match = IMAGE.match(image)
            if not match or match["tag"] == "latest":
                yield f"{pods.owner} {container['name']} runs {image or 'no image'}, which is not pinned"
