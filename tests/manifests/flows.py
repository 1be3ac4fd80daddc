"""Who may speak with whom: NetworkPolicies, judged as a cluster's network judges them.

Source: Kubernetes, "Network Policies": a pod that no policy selects for a direction is open in it; what several allow
adds up; a connection needs leave at both ends.
"""

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass, field

from scripts.manifests.helm import NAMESPACE, Manifest
from tests.manifests.workloads import Cluster, Pods, matches

NAME_OF_NAMESPACE = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class End:
    """One end of a connection: pods in a namespace, or an address outside the cluster."""

    name: str
    namespace: str = NAMESPACE
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    ports: tuple[tuple[str | None, int], ...] = ()
    address: str | None = None

    @classmethod
    def of(cls, pods: Pods) -> "End":
        """The pods of one workload; a predictor by its model, everything else by its component."""
        labels = pods.labels
        name = labels.get("chatacter.ai/model") or labels["app.kubernetes.io/component"]
        return cls(name, labels=labels, ports=tuple(pods.ports()))

    @classmethod
    def outside(cls, address: str) -> "End":
        return cls(address, namespace="", address=address)


@dataclass(frozen=True)
class Network:
    """What the policies of one release allow."""

    policies: list[Manifest]
    ends: tuple[End, ...]

    @classmethod
    def of(cls, manifests: list[Manifest]) -> "Network":
        cluster = Cluster(manifests)
        return cls(cluster.of_kind("NetworkPolicy"), tuple(map(End.of, cluster.pods())))

    def end(self, name: str) -> End:
        return next(each for each in self.ends if each.name == name)

    def within(self) -> set[tuple[str, str, int]]:
        """Every connection between two different parts of the release: client, server, port of the server."""
        return {
            (client.name, server.name, port)
            for client in self.ends
            for server in self.ends
            for _, port in server.ports
            if client.name != server.name and self.lets(client, server, port)
        }

    def reached(self, client: End) -> set[tuple[str, int]]:
        """What somebody who is not of the release reaches in it."""
        return {(s.name, port) for s in self.ends for _, port in s.ports if self.lets(client, s, port)}

    def lets(self, client: End, server: End, port: int, protocol: str = "TCP") -> bool:
        return all(
            self.allowed(way, ruled, other, server, port, protocol)
            for way, ruled, other in (("Egress", client, server), ("Ingress", server, client))
        )

    def allowed(self, way: str, ruled: End, other: End, server: End, port: int, protocol: str) -> bool:
        ruling = [policy["spec"] for policy in self.policies if rules(policy["spec"], way, ruled)]
        peers = "to" if way == "Egress" else "from"
        return not ruling or any(
            names(rule.get(peers), other) and opens(rule.get("ports"), server, port, protocol)
            for spec in ruling
            for rule in spec.get(way.lower()) or []
        )


def rules(spec: Manifest, way: str, end: End) -> bool:
    return end.namespace == NAMESPACE and way in spec["policyTypes"] and matches(spec["podSelector"], end.labels)


def names(peers: list[Manifest] | None, end: End) -> bool:
    """Whether a rule speaks of this end; a rule without peers speaks of everybody."""
    return not peers or any(is_peer(peer, end) for peer in peers)


def is_peer(peer: Manifest, end: End) -> bool:
    if block := peer.get("ipBlock"):
        return end.address is not None and within(end.address, block["cidr"], block.get("except", []))
    if end.address is not None:
        return False
    if (namespaces := peer.get("namespaceSelector")) is None:
        return end.namespace == NAMESPACE and matches(peer["podSelector"], end.labels)
    here = matches(namespaces, {NAME_OF_NAMESPACE: end.namespace})
    return here and matches(peer.get("podSelector", {}), end.labels)


def within(address: str, cidr: str, exceptions: list[str]) -> bool:
    there = ipaddress.ip_address(address)
    return there in ipaddress.ip_network(cidr) and not any(there in ipaddress.ip_network(each) for each in exceptions)


def opens(ports: list[Manifest] | None, server: End, port: int, protocol: str) -> bool:
    """Whether a rule opens a port; a rule without ports opens all, and a port's name is the server's."""
    return not ports or any(
        each.get("protocol", "TCP") == protocol and number == port
        for each in ports
        for number in numbers(each["port"], server)
    )


def numbers(port: str | int, server: End) -> Iterator[int]:
    if isinstance(port, int):
        yield port
    else:
        yield from (number for name, number in server.ports if name == port)
