"""Where the host names of a render lead: through Services, by their selectors and ports, to loopback."""

import re
from collections.abc import Mapping
from typing import Any

from scripts.manifests.helm import NAMESPACE
from tests.manifests.workloads import Cluster, Pods, matches

# A process listens on every address, as in a pod; one that listened on 127.0.0.1 alone would not be met here.
POD_ADDRESS = "127.0.0.2"
DEFAULT_PORTS = {"http": 80, "https": 443, "redis": 6379, "rediss": 6379}
URL = re.compile(r"\b(?P<scheme>https?|rediss?)://(?P<login>[^/@\s\"]*@)?(?P<host>[^/:\s\"?#]+)(?::(?P<port>\d+))?")
LOCAL = re.compile(rf"\.{NAMESPACE}(\.svc(\.cluster\.local\.?)?)?$")


class Unreachable(Exception):
    """A name or a port that leads nowhere in the cluster that was rendered."""


class Addresses:
    """Turns URLs of the cluster into URLs of loopback.

    `listening` says where a container's port is met, by the owner of its pods and the number: `("Deployment/x", 8000)`
    → `"127.0.0.2:4711"`. `outside` does the same for hosts that are not in the cluster, as they stand in URLs.
    """

    def __init__(self, cluster: Cluster, listening: Mapping[tuple[str, int], str], outside: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._listening = listening
        self._outside = outside

    def substituted(self, text: str) -> str:
        """The text with each address in it replaced. Raises `Unreachable` for one that leads nowhere."""
        return URL.sub(self._replaced, text)

    def _replaced(self, found: re.Match[str]) -> str:
        host, scheme = found["host"], found["scheme"]
        port = int(found["port"] or DEFAULT_PORTS[scheme])
        return f"{scheme}://{found['login'] or ''}{self.reached(host, port)}"

    def reached(self, host: str, port: int) -> str:
        """The loopback address behind a host and port of the cluster."""
        if f"{host}:{port}" in self._outside:
            return self._outside[f"{host}:{port}"]
        service = self._cluster.find("Service", LOCAL.sub("", host))
        if service is None:
            raise Unreachable(f"{host} is no Service of the render")
        owner, target = self.behind(service, port)
        try:
            return self._listening[owner, target]
        except KeyError:
            raise Unreachable(f"{host}:{port} leads to port {target} of {owner}, where nobody listens") from None

    def behind(self, service: dict[str, Any], port: int) -> tuple[str, int]:
        """The workload that a Service selects, and the container's port that one of its ports leads to."""
        name = service["metadata"]["name"]
        offered = next((each for each in service["spec"]["ports"] if each["port"] == port), None)
        if offered is None:
            raise Unreachable(f"Service {name} has no port {port}")
        selector = {"matchLabels": service["spec"]["selector"]}
        pods = [each for each in self._cluster.pods() if matches(selector, each.labels)]
        if len(pods) != 1:
            raise Unreachable(f"Service {name} selects {[each.owner for each in pods]}, not one workload")
        return pods[0].owner, number_of(offered, pods[0], name)


def number_of(offered: dict[str, Any], pods: Pods, service: str) -> int:
    """The container port behind a Service's port; KServe's own Service leads to the container's first one."""
    ports = list(pods.ports())
    target = offered.get("targetPort", ports[0][1] if service.endswith("-predictor") else offered["port"])
    for port_name, number in ports:
        if target in {port_name, number}:
            return number
    raise Unreachable(f"Service {service} leads to port {target}, which no container of {pods.owner} declares")
