"""The models of a rendered release, each with all that belongs to it."""

import json
from dataclasses import dataclass
from typing import Any

from scripts.manifests import helm
from scripts.manifests.helm import LEAST, Manifest
from tests.manifests.workloads import Cluster, Pods

MODEL = "chatacter.ai/model"
ISVC = "serving.kserve.io/inferenceservice"
PREDICTOR = "predictor"


@dataclass(frozen=True)
class Served:
    """One model as it was rendered."""

    key: str
    cluster: Cluster

    @property
    def pods(self) -> Pods:
        found = [pods for pods in self.cluster.pods() if pods.labels.get(MODEL) == self.key]
        assert len(found) == 1, f"{self.key} has the pods of {[each.owner for each in found]}"
        return found[0]

    @property
    def container(self) -> Manifest:
        return self.pods.spec["containers"][0]  # type: ignore[no-any-return]

    @property
    def env(self) -> dict[str, Any]:
        """Values by name, or where the value comes from."""
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.container["env"]}

    @property
    def port(self) -> int:
        return int(self.container["ports"][0]["containerPort"])

    def one(self, kind: str) -> Manifest:
        found = self.all(kind)
        assert len(found) == 1, f"{self.key} has {len(found)} of {kind}"
        return found[0]

    def all(self, kind: str) -> list[Manifest]:
        named = [each for each in self.cluster.of_kind(kind) if "labels" in each["metadata"]]
        return [each for each in named if each["metadata"]["labels"].get(MODEL) == self.key]


def inference(values: dict[str, Any], umbrella: dict[str, Any] | None = None, **how: Any) -> Cluster:
    """Render the chart with these values of its part inference, and further ones of the umbrella."""
    given = helm.merged(LEAST, {"inference": values}, umbrella or {})
    return Cluster(helm.objects(helm.template((), given, **how)))


def served(values: dict[str, Any], umbrella: dict[str, Any] | None = None) -> dict[str, Served]:
    """Render the chart; give its models by their keys."""
    cluster = inference(values, umbrella)
    keys = {pods.labels[MODEL] for pods in cluster.pods() if MODEL in pods.labels}
    return {key: Served(key, cluster) for key in sorted(keys)}


def told(cluster: Cluster, component: str = "chattr") -> dict[str, Any]:
    """What a part of the release is told about its predictors; maps are read."""
    for pods in cluster.pods():
        container = pods.spec["containers"][0]
        if container["name"] == component:
            env = {each["name"]: each.get("value") for each in container["env"]}
            return {name: json.loads(value) if name.endswith("__URLS") else value for name, value in env.items()}
    raise AssertionError(f"there is no {component}")
