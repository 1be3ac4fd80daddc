"""An installed release on this machine: the pods of a render as processes, their Services as addresses of loopback."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from scripts.manifests.helm import Manifest
from tests.manifests.workloads import Cluster, Pods
from tests.pods.addresses import POD_ADDRESS, Addresses
from tests.pods.containers import Container
from tests.pods.rooms import Rooms
from tests.pods.running import RunningPod, running
from tests.redis_server import free_port
from tests.round_robin import balanced

COMPONENT = "app.kubernetes.io/component"
# How a configuration file of Redis says where it listens.
LISTENS = re.compile(r"^port (\d+)$", re.MULTILINE)
# Addresses of browsers' pages, which no process calls.
NOT_CALLED = {"CORS_ORIGINS"}
MODEL = "chatacter.ai/model"


@dataclass(frozen=True)
class World:
    """What is around the release. Addresses are `host:port`."""

    outside: Mapping[str, str] = field(default_factory=dict)
    """Where hosts that are not in the cluster are met, e.g. the provider."""
    stand_ins: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """What listens in place of pods that are not started here, by component (or model) and container port."""
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Those that an operator made before."""


@dataclass(frozen=True)
class Placed:
    """A pod that may be started, with the port of loopback for each of its container's."""

    container: Container
    ports: dict[int, int]


@dataclass(frozen=True)
class Instead:
    """A command, what it is told besides, and folders that it needs and no image has."""

    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    beside: Sequence[Path] = ()


class Release:
    """Every pod of the render that `replicas` names (a component, or the key of a model) gets so many places.

    Callers of a Service with several pods meet them by turns. What is started is killed at the end of the block.
    """

    def __init__(
        self, manifests: Sequence[Manifest], folder: Path, models: Path, replicas: Mapping[str, int], world: World
    ) -> None:
        self.cluster = Cluster(list(manifests))
        self.world = world
        self._rooms = Rooms(folder, models)
        self._stack = ExitStack()
        self._running: dict[tuple[str, int], RunningPod] = {}
        self._placed = {name: self._places(name, count) for name, count in replicas.items()}
        self.addresses: Addresses

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            listening = {place: address for name in self._placed for place, address in self._met(name, stack).items()}
            for (component, port), address in self.world.stand_ins.items():
                listening |= {(pods.owner, port): address for pods in self._named(component)}
            self.addresses = Addresses(self.cluster, listening, self.world.outside)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def pods(self, name: str) -> Pods:
        """The workload of a component or of a model."""
        found = self._named(name)
        assert len(found) == 1, f"{name} names {[each.owner for each in found]}"
        return found[0]

    def _named(self, name: str) -> list[Pods]:
        return [each for each in self.cluster.pods() if name in {each.labels.get(COMPONENT), each.labels.get(MODEL)}]

    def _places(self, name: str, count: int) -> list[Placed]:
        pods = self.pods(name)
        called = pods.owner.partition("/")[2]
        containers = [Container(self.cluster, pods, f"{called}-{n}", self.world.secrets) for n in range(count)]
        return [Placed(each, {port: free_port() for port in each.ports}) for each in containers]

    def _met(self, name: str, stack: ExitStack) -> dict[tuple[str, int], str]:
        """Where each port of a workload is met: at its one pod, or at a balancer before them."""
        places = self._placed[name]
        met = {}
        for port in places[0].container.ports:
            each = [f"{POD_ADDRESS}:{place.ports[port]}" for place in places]
            if len(each) > 1:
                url = stack.enter_context(balanced([f"http://{address}" for address in each]))
                each = [url.removeprefix("http://")]
            met[places[0].container.owner, port] = each[0]
        return met

    def container(self, name: str, number: int = 0) -> Container:
        return self._placed[name][number].container

    def environment(self, name: str, number: int = 0) -> dict[str, str]:
        """A container's environment with addresses of this machine in it, and ports that are free."""
        container, ports = self._placed[name][number].container, self._placed[name][number].ports
        told = container.environment()
        names = [each for each in container.told() if each in told and each not in NOT_CALLED]
        changed = {each: self.addresses.substituted(told[each]) for each in names}
        port = {"PORT": str(ports[int(told["PORT"])])} if "PORT" in told else {}
        return {**told, **changed, **port}

    def ready(self, name: str, number: int = 0) -> RunningPod:
        """A pod that is up: started now unless it runs already."""
        pod = self._running.get((name, number))
        if pod is None or pod.process.poll() is not None:
            pod = self.start(name, number)
        pod.until_started()
        return pod

    def start(self, name: str, number: int = 0, instead: Instead | None = None) -> RunningPod:
        """Start a pod without waiting for it; `instead` of its own command, something else may run."""
        place = self._placed[name][number]
        other = instead or Instead(place.container.command)
        told = {**self.environment(name, number), **other.environment}

        def on_free_ports(text: str) -> str:
            return LISTENS.sub(lambda found: f"port {place.ports[int(found[1])]}", text)

        room = self._rooms.room(place.container, told, on_free_ports, other.command, other.beside)
        pod = self._stack.enter_context(running(place.container, room, place.ports))
        self._running[name, number] = pod
        return pod
