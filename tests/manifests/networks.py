"""Every address, port and selector leads to pods that listen there."""

import json
import re
from collections.abc import Iterator
from typing import Any

from scripts.manifests.helm import NAMESPACE, Manifest
from tests.manifests.workloads import Cluster, Pods, matches

INSIDE = re.compile(r"\b([a-z0-9][a-z0-9-]*)\.([a-z0-9-]+)\.svc(?:\.[a-z0-9.-]*[a-z0-9])?(?::(\d+))?")
WEB = {"http": 80, "https": 443}
DNS = 53


def faults(cluster: Cluster, *, whole: bool = True) -> list[str]:
    """What leads nowhere. `whole` is said of what is rendered at once: there each rule of a policy leads to pods."""
    found = [*services(cluster), *routes(cluster), *monitors(cluster), *addresses(cluster)]
    for policy in cluster.of_kind("NetworkPolicy"):
        found += policy_faults(cluster, policy, whole=whole)
    return found


def services(cluster: Cluster) -> Iterator[str]:
    for service in cluster.of_kind("Service"):
        name, spec = service["metadata"]["name"], service["spec"]
        if "selector" not in spec:
            continue
        behind = [pods for pods in cluster.pods() if matches({"matchLabels": spec["selector"]}, pods.labels)]
        if not behind:
            yield f"Service {name} selects no pods"
        owners = {pods.owner for pods in behind if not pods.owner.startswith(("Job/", "Pod/"))}
        if len(owners) > 1:
            yield f"Service {name} selects the pods of {', '.join(sorted(owners))}"
        for port in spec["ports"]:
            # KServe points the Service of a predictor at the port of its container.
            target = port.get("targetPort", port["port"])
            made = service in cluster.derived
            if not made and not all(pods.listens_on(target) for pods in behind):
                yield f"Service {name} leads to port {target}, on which its pods do not listen"


def has_port(service: Manifest | None, port: str | int) -> bool:
    return service is not None and any(port in (p.get("name"), p["port"]) for p in service["spec"]["ports"])


def routes(cluster: Cluster) -> Iterator[str]:
    for ingress in cluster.of_kind("Ingress"):
        for rule in ingress["spec"].get("rules", []):
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                port = backend["port"].get("name") or backend["port"].get("number")
                if not has_port(cluster.find("Service", backend["name"]), port):
                    yield f"Ingress {ingress['metadata']['name']} leads to {backend['name']}:{port}"
    for route in cluster.of_kind("HTTPRoute"):
        for rule in route["spec"].get("rules", []):
            for backend in rule.get("backendRefs", []):
                if not has_port(cluster.find("Service", backend["name"]), backend["port"]):
                    yield f"HTTPRoute {route['metadata']['name']} leads to {backend['name']}:{backend['port']}"


def monitors(cluster: Cluster) -> Iterator[str]:
    for monitor in cluster.of_kind("ServiceMonitor"):
        name, spec = monitor["metadata"]["name"], monitor["spec"]
        behind = [s for s in cluster.of_kind("Service") if matches(spec["selector"], s["metadata"].get("labels", {}))]
        for endpoint in spec["endpoints"]:
            if not any(has_port(service, endpoint.get("port", "")) for service in behind):
                yield f"ServiceMonitor {name} asks port {endpoint.get('port')}, which no Service of its has"
    for monitor in cluster.of_kind("PodMonitor"):
        name, spec = monitor["metadata"]["name"], monitor["spec"]
        behind = [pods for pods in cluster.pods() if matches(spec["selector"], pods.labels)]
        for endpoint in spec["podMetricsEndpoints"]:
            port = endpoint.get("port", endpoint.get("portNumber", ""))
            if not behind or not all(pods.listens_on(port) for pods in behind):
                yield f"PodMonitor {name} asks port {port}, on which its pods do not listen"


def addresses(cluster: Cluster) -> Iterator[str]:
    """Addresses inside the namespace, wherever they stand: environments, configuration files, triggers."""
    seen = set()
    for manifest in cluster.manifests:
        owner = f"{manifest['kind']}/{manifest['metadata']['name']}"
        for text in texts_within(manifest):
            for match in INSIDE.finditer(text):
                seen.add((owner, *match.groups(), scheme_before(text, match.start())))
    for owner, name, namespace, port, scheme in sorted(seen, key=str):
        if namespace != NAMESPACE:
            continue
        service = cluster.find("Service", name)
        if service is None and (host := behind_headless(cluster, name)):
            service = host
        if service is None:
            yield f"{owner} speaks of the Service {name}, which is not there"
        elif (port or scheme in WEB) and not has_port(service, int(port or WEB[scheme])):
            yield f"{owner} speaks of {name}:{port or WEB[scheme]}, a port that the Service does not have"


def scheme_before(text: str, position: int) -> str:
    match = re.search(r"([a-z][a-z0-9+]*)://(?:[^/@\s]*@)?(?:[a-z0-9-]+\.)?$", text[:position])
    return match[1] if match else ""


def behind_headless(cluster: Cluster, name: str) -> Manifest | None:
    """The Service through which a pod of a StatefulSet has a name, when this is the name of such a pod."""
    stem, _, ordinal = name.rpartition("-")
    owner = cluster.find("StatefulSet", stem) if ordinal.isdigit() else None
    return cluster.find("Service", owner["spec"]["serviceName"]) if owner else None


def texts_within(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from texts_within(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_within(each)


def policy_faults(cluster: Cluster, policy: Manifest, *, whole: bool) -> list[str]:
    name, spec = policy["metadata"]["name"], policy["spec"]
    chosen = [pods for pods in cluster.pods() if matches(spec["podSelector"], pods.labels)]
    found = [] if chosen else [f"NetworkPolicy {name} selects no pods"]
    if not set(spec.get("policyTypes", [])):
        found.append(f"NetworkPolicy {name} does not say which ways it rules")
    for rule in spec.get("ingress") or []:
        found += [f"{name}: ingress from {said}" for said in unmatched(cluster, rule.get("from")) if whole]
        for port in rule.get("ports") or []:
            if not all(pods.listens_on(port["port"]) for pods in chosen):
                found.append(f"NetworkPolicy {name} opens port {port['port']}, on which its pods do not listen")
    for rule in spec.get("egress") or []:
        found += [f"{name}: egress to {said}" for said in unmatched(cluster, rule.get("to")) if whole]
        found += closed_ports(cluster, name, rule)
        found += unknown_services(cluster, name, rule, {pods.owner for pods in chosen})
    return found


def unmatched(cluster: Cluster, peers: list[Manifest] | None) -> Iterator[str]:
    for peer in peers or []:
        if "podSelector" in peer and "namespaceSelector" not in peer and not picked(cluster, peer):
            yield f"{json.dumps(peer['podSelector'])}, which selects no pods"


def picked(cluster: Cluster, peer: Manifest) -> list[Pods]:
    return [pods for pods in cluster.pods() if matches(peer["podSelector"], pods.labels)]


def closed_ports(cluster: Cluster, name: str, rule: Manifest) -> Iterator[str]:
    """Ports towards pods of ours on which those do not listen; a policy speaks of pods' ports, not of Services'."""
    for peer in rule.get("to") or []:
        if "podSelector" in peer and "namespaceSelector" not in peer:
            # All models on Ray have this one label in common, whatever their port.
            alike = "ray.io/serve" in peer["podSelector"].get("matchLabels", {})
            for pods in picked(cluster, peer):
                for port in rule.get("ports") or []:
                    if port["port"] != DNS and not pods.listens_on(port["port"]) and not alike:
                        yield f"NetworkPolicy {name} lets out to port {port['port']} of {pods.owner}, which has none"


def unknown_services(cluster: Cluster, name: str, rule: Manifest, own: set[str]) -> Iterator[str]:
    """Services in front of pods that a rule lets out to, which some networks would not know to be theirs.

    Pods of one kind (`own`) that meet each other do so without their Service.

    Amazon's VPC CNI judges what leaves a pod before the Service's address is exchanged for a pod's. It opens the
    address of a Service whose selector, read as labels, the rule's own selector picks.
    Source: aws/amazon-network-policy-controller-k8s, `getMatchingServiceClusterIPs`.
    """
    for peer in rule.get("to") or []:
        if "podSelector" not in peer or "namespaceSelector" in peer:
            continue
        if {pods.owner for pods in picked(cluster, peer)} <= own:
            continue
        for service in cluster.of_kind("Service"):
            spec = service["spec"]
            if spec.get("clusterIP") == "None" or not spec.get("selector"):
                continue
            behind = any(matches({"matchLabels": spec["selector"]}, pods.labels) for pods in picked(cluster, peer))
            if behind and not matches(peer["podSelector"], spec["selector"]):
                yield f"NetworkPolicy {name} lets out to pods, and not to their Service {service['metadata']['name']}"
