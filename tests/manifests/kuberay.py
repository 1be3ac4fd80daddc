"""What KubeRay makes of a RayService: its pods, with what the operator adds, and the Service before them.

Source: KubeRay of 2026-08-19, `ray-operator/controllers/ray/common/pod.go` and `service.go`.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from scripts.manifests.helm import Manifest

SERVING = "ray.io/serve"
NODE = "ray.io/node-type"
CLUSTER = "ray.io/cluster"
SMALL = {"cpu": "200m", "memory": "256Mi"}


def pods(service: Manifest) -> Iterator[tuple[str, Manifest]]:
    """Yield each group's owner and template."""
    config = service["spec"]["rayClusterConfig"]
    name = service["metadata"]["name"]
    head = labelled(config["headGroupSpec"]["template"], name, "head")
    if config.get("enableInTreeAutoscaling"):
        head["spec"]["containers"].append(autoscaler(config, head["spec"]["containers"][0]["image"]))
    yield f"RayService/{name} head", head
    for group in config["workerGroupSpecs"]:
        worker = labelled(group["template"], name, "worker")
        worker["spec"]["initContainers"] = [waiting(worker["spec"]["containers"][0])]
        yield f"RayService/{name} {group['groupName']}", worker


def labelled(template: Manifest, name: str, node: str) -> Manifest:
    """Return a template with the operator's labels; the cluster's real name has an end that nobody knows before."""
    whole = deepcopy(template)
    own = {CLUSTER: f"{name}-x7k2p", NODE: node, SERVING: "true" if node == "worker" else "false"}
    whole["metadata"]["labels"] = {**whole["metadata"]["labels"], **own}
    return whole


def autoscaler(config: Manifest, image: str) -> Manifest:
    said: dict[str, Any] = config.get("autoscalerOptions", {})
    return {"name": "autoscaler", "image": image, **{key: said[key] for key in ("securityContext", "resources")}}


def waiting(container: Manifest) -> Manifest:
    """The container that waits for the head, before a worker's own."""
    kept = {key: container[key] for key in ("image", "securityContext", "env", "volumeMounts") if key in container}
    return {"name": "wait-gcs-ready", **kept, "resources": {"limits": SMALL, "requests": SMALL}}


def service(ray: Manifest) -> Manifest:
    """Return the Service: as the RayService says, with the operator's selector."""
    said = deepcopy(ray["spec"]["serveService"])
    selector = {CLUSTER: f"{ray['metadata']['name']}-x7k2p", SERVING: "true"}
    return {"apiVersion": "v1", "kind": "Service", **said, "spec": {**said["spec"], "selector": selector}}
