"""A container as the render describes it: its command, environment, mounts, probes and how long it may take to end."""

import base64
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.manifests.workloads import Cluster, Pods
from tests.pods.image import Image, image_of

REFERENCE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
# Kubernetes waits so long where nobody says otherwise.
DEFAULT_GRACE = 30


class Unresolved(Exception):
    """Something that a pod refers to and that nobody gave: the kubelet would not start the container."""


@dataclass(frozen=True)
class Probe:
    """What the kubelet asks; times in seconds."""

    path: str
    port: int
    period: float
    timeout: float
    failures: int
    delay: float

    @property
    def budget(self) -> float:
        """How long it may take until it answers for the first time."""
        return self.delay + self.period * self.failures


@dataclass(frozen=True)
class Mount:
    """A place in the container, and what stands there: `files` by their path, or an empty folder of its own."""

    path: str
    writable: bool
    # Folders that are shared have a name: all who mount the same claim see the same files.
    claim: str | None = None
    files: dict[str, str] | None = None
    mode: int = 0o644


class Secrets:
    """Secrets and ConfigMaps of a render, with those that an operator made beforehand."""

    def __init__(self, cluster: Cluster, existing: Mapping[str, Mapping[str, str]]) -> None:
        self._cluster = cluster
        self._existing = existing

    def data(self, kind: str, name: str) -> Mapping[str, str] | None:
        found = self._cluster.find(kind, name)
        if found is None:
            return self._existing.get(name) if kind == "Secret" else None
        plain: dict[str, str] = found.get("data", {})
        if kind == "Secret":
            decoded = {key: base64.b64decode(value).decode() for key, value in plain.items()}
            return {**decoded, **found.get("stringData", {})}
        return plain

    def value(self, kind: str, ref: Mapping[str, Any]) -> str | None:
        """A key's value; None when it is missing and may be."""
        data = self.data(kind, ref["name"])
        if data is not None and ref["key"] in data:
            return data[ref["key"]]
        if ref.get("optional"):
            return None
        raise Unresolved(f"{kind} {ref['name']} has no key {ref['key']}")


class Container:
    """The one container of a pod, and what of its pod concerns it. `name` is the pod's name."""

    def __init__(self, cluster: Cluster, pods: Pods, name: str, existing: Mapping[str, Mapping[str, str]]) -> None:
        assert len(pods.containers) == 1, f"{pods.owner} has {len(pods.containers)} containers"
        self.owner = pods.owner
        self.name = name
        self.pod = pods.spec
        self.spec: Mapping[str, Any] = pods.containers[0]
        self._secrets = Secrets(cluster, existing)

    @property
    def image(self) -> Image:
        return image_of(self.spec["image"]) or Image()

    @property
    def command(self) -> list[str]:
        """What runs, with `$(NAME)` filled in."""
        known = self.environment()
        words = [*self.spec["command"], *self.spec.get("args", [])]
        return [expanded(word, known) for word in words]

    @property
    def ports(self) -> list[int]:
        return [each["containerPort"] for each in self.spec.get("ports", [])]

    @property
    def grace(self) -> float:
        """Seconds from the pod's deletion to SIGKILL."""
        return float(self.pod.get("terminationGracePeriodSeconds", DEFAULT_GRACE))

    @property
    def pause(self) -> float:
        """Seconds that the preStop hook sleeps before SIGTERM; they count into the grace."""
        hook = self.spec.get("lifecycle", {}).get("preStop")
        assert hook is None or set(hook) == {"sleep"}, "only sleeping is known here"
        return float(hook["sleep"]["seconds"]) if hook else 0.0

    @property
    def group(self) -> int | None:
        """The group that owns its volumes."""
        group: int | None = self.pod.get("securityContext", {}).get("fsGroup")
        return group

    def user(self) -> tuple[int, int]:
        """User and group that it runs as: the container's word before the pod's."""
        both = {**self.pod.get("securityContext", {}), **self.spec.get("securityContext", {})}
        return int(both["runAsUser"]), int(both["runAsGroup"])

    @property
    def stored(self) -> bool:
        """Whether KServe fetches its weights."""
        return bool(self.pod.get("model", {}).get("storageUri"))

    @property
    def read_only(self) -> bool:
        return bool(self.spec.get("securityContext", {}).get("readOnlyRootFilesystem"))

    def environment(self) -> dict[str, str]:
        """What the kubelet would set, over the image's own; a later entry of a name replaces an earlier one."""
        entries = {each["name"]: each for each in self.spec.get("env", [])}
        assert "envFrom" not in self.spec
        known: dict[str, str] = {}
        for name, entry in entries.items():
            value = self._value(entry)
            if value is not None:
                known[name] = expanded(value, known) if "value" in entry else value
        return {**self.image.environment, **known}

    def told(self) -> list[str]:
        """The names that the render sets."""
        return [each["name"] for each in self.spec.get("env", [])]

    def _value(self, entry: Mapping[str, Any]) -> str | None:
        source = entry.get("valueFrom")
        if source is None:
            return str(entry.get("value", ""))
        if "secretKeyRef" in source:
            return self._secrets.value("Secret", source["secretKeyRef"])
        if "configMapKeyRef" in source:
            return self._secrets.value("ConfigMap", source["configMapKeyRef"])
        assert source == {"fieldRef": source["fieldRef"]}
        assert source["fieldRef"]["fieldPath"] == "metadata.name", source
        return self.name

    def probe(self, kind: str) -> Probe:
        """`startup`, `readiness` or `liveness`."""
        told = self.spec[f"{kind}Probe"]
        port = told["httpGet"]["port"]
        named = {each.get("name"): each["containerPort"] for each in self.spec["ports"]}
        number = port if isinstance(port, int) else named[port]
        assert number in self.ports, f"{self.owner}: the {kind} probe asks port {number}, which is not the container's"
        return Probe(
            told["httpGet"]["path"],
            number,
            told.get("periodSeconds", 10),
            told.get("timeoutSeconds", 1),
            told.get("failureThreshold", 3),
            told.get("initialDelaySeconds", 0),
        )

    def mounts(self) -> Iterator[Mount]:
        volumes = {each["name"]: each for each in self.pod.get("volumes", [])}
        for mount in self.spec.get("volumeMounts", []):
            assert not {"subPath", "subPathExpr"} & set(mount), f"{self.owner} mounts a part of a volume"
            yield self._mount(mount, volumes[mount["name"]])

    def _mount(self, mount: Mapping[str, Any], volume: Mapping[str, Any]) -> Mount:
        path, writable = mount["mountPath"], not mount.get("readOnly", False)
        if "emptyDir" in volume:
            return Mount(path, writable)
        if "ephemeral" in volume:  # made from a StatefulSet's template
            return Mount(path, writable, claim=f"{volume['name']}-{self.name}")
        if claim := volume.get("persistentVolumeClaim"):
            return Mount(path, writable, claim=claim["claimName"])
        if secret := volume.get("secret"):
            return self._files(path, "Secret", secret["secretName"], secret)
        if config := volume.get("configMap"):
            return self._files(path, "ConfigMap", config["name"], config)
        raise Unresolved(f"{self.owner}: no way to make the volume {volume}")

    def _files(self, path: str, kind: str, name: str, source: Mapping[str, Any]) -> Mount:
        data = self._secrets.data(kind, name)
        if data is None:
            if not source.get("optional"):
                raise Unresolved(f"{self.owner} mounts {kind} {name}, which is not there")
            data = {}
        items = source.get("items") or [{"key": key, "path": key} for key in data]
        if missing := [each["key"] for each in items if each["key"] not in data]:
            raise Unresolved(f"{self.owner} mounts {missing} of {kind} {name}, which has {sorted(data)}")
        files = {each["path"]: data[each["key"]] for each in items}
        return Mount(path, writable=False, files=files, mode=source.get("defaultMode", 0o644))


def expanded(text: str, known: Mapping[str, str]) -> str:
    """Fill in `$(NAME)` as the kubelet does: from what was set before; an unknown one stays, `$$` is a `$`."""
    return REFERENCE.sub(lambda found: known.get(found[1], found[0]) if found[1] else "$", text)
