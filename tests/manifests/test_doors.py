"""The ways in: which address leads where, by an Ingress and by an HTTPRoute."""

from collections.abc import Callable
from typing import Any

import pytest

from chattr.app import create_app
from chattr.settings import ChattrSettings
from chattr.ui.paths import API_PREFIXES, PAGE_PATHS
from scripts.manifests import helm
from tests.manifests.rendering import Installation
from tests.manifests.workloads import Cluster

pytestmark = pytest.mark.manifests

HOST = "chat.example.org"
INGRESS: dict[str, Any] = {"ingress": {"enabled": True, "host": HOST}}
ROUTE: dict[str, Any] = {"httpRoute": {"enabled": True, "hostnames": [HOST], "parentRefs": [{"name": "public"}]}}
NGINX = "nginx.ingress.kubernetes.io/"
# Either makes cert-manager ask for a certificate.
ASKING = {"cert-manager.io/cluster-issuer": "letsencrypt", "kubernetes.io/tls-acme": "true"}
BOTH = pytest.mark.parametrize("given", [INGRESS, ROUTE], ids=["ingress", "httproute"])
# The page's process answers them, for those who run it.
INSIDE = ("/metrics", "/livez", "/readyz", "/api-of-somebody-else", "/v10", "/gradio_apis", "/upload", "/docs")


def cluster(*given: dict[str, Any]) -> Cluster:
    return Cluster(Installation(given=helm.merged(*given)).manifests())


def leads_to(there: Cluster) -> Callable[[str], str | None]:
    """Return what says to which Service a path leads: Exact before Prefix, the longest prefix first."""
    known = [
        (path["path"], path["pathType"] == "Exact", path["backend"]["service"]["name"])
        for ingress in there.of_kind("Ingress")
        for rule in ingress["spec"]["rules"]
        for path in rule["http"]["paths"]
    ] + [
        (match["path"]["value"], match["path"]["type"] == "Exact", rule["backendRefs"][0]["name"])
        for route in there.of_kind("HTTPRoute")
        for rule in route["spec"]["rules"]
        for match in rule["matches"]
    ]

    def service(path: str) -> str | None:
        found = [
            (exact, len(prefix), name)
            for prefix, exact, name in known
            if path == prefix or (not exact and path.startswith(f"{prefix.rstrip('/')}/"))
        ]
        return max(found)[2] if found else None

    return service


@BOTH
def test_the_pages_addresses_lead_to_the_page(given: dict[str, Any]) -> None:
    to = leads_to(cluster(given))
    asked = [f"{path}x" if path.endswith("/") and path != "/" else path for path in PAGE_PATHS]
    assert {path: to(path) for path in asked} == dict.fromkeys(asked, "chatacter-ui")


@BOTH
def test_every_door_of_the_api_leads_to_chattr(given: dict[str, Any]) -> None:
    to = leads_to(cluster(given))
    paths = [*create_app(ChattrSettings(enable_ui=False)).openapi()["paths"], "/api/v1/ws/chat", "/openapi.json"]
    assert {path: to(path) for path in paths} == dict.fromkeys(paths, "chatacter-chattr")
    assert [to(f"{prefix}/x") for prefix in API_PREFIXES] == ["chatacter-chattr"] * len(API_PREFIXES)


@BOTH
def test_what_is_for_the_inside_has_no_way_in(given: dict[str, Any]) -> None:
    to = leads_to(cluster(given))
    assert {path: to(path) for path in INSIDE} == dict.fromkeys(INSIDE)


@BOTH
def test_routes_of_a_plugin_can_be_let_in(given: dict[str, Any]) -> None:
    to = leads_to(cluster(given, {"apiPaths": ["/v1", "/guestbook"]}))
    assert to("/guestbook/entries") == "chatacter-chattr"
    assert to("/api/v1/keys") is None


@BOTH
def test_without_a_page_only_the_api_is_there(given: dict[str, Any]) -> None:
    to = leads_to(cluster(given, {"ui": {"enabled": False}}))
    assert to("/v1/models") == "chatacter-chattr"
    assert to("/") is None


def test_no_way_in_unless_it_is_asked_for() -> None:
    assert cluster().of_kind("Ingress", "HTTPRoute") == []


def annotations(there: Cluster, name: str) -> dict[str, str]:
    found = there.find("Ingress", name)
    assert found is not None
    return dict(found["metadata"]["annotations"])


def test_streams_pass_and_visitors_stay_at_their_pod() -> None:
    there = cluster(INGRESS)
    api, page = annotations(there, "chatacter-chattr"), annotations(there, "chatacter-ui")
    for each in (api, page):
        assert each[f"{NGINX}proxy-buffering"] == "off"
        assert int(each[f"{NGINX}proxy-read-timeout"]) >= 3600
    assert page[f"{NGINX}affinity"] == "cookie"
    assert page[f"{NGINX}session-cookie-secure"] == "true"
    # Else the controller makes a cookie for each path, and each may lead to another pod.
    assert page[f"{NGINX}session-cookie-path"] == "/"
    assert f"{NGINX}affinity" not in api


def test_a_body_may_be_as_large_as_chattr_takes_it() -> None:
    limit = f"{NGINX}proxy-body-size"
    assert annotations(cluster(INGRESS), "chatacter-chattr")[limit] == str(ChattrSettings().max_request_bytes)
    larger = {"chattr": {"settings": {"MAX_REQUEST_BYTES": 123456789}}}
    assert annotations(cluster(INGRESS, larger), "chatacter-chattr")[limit] == "123456789"


def test_the_operators_annotations_win() -> None:
    mine = {
        "ingress": {
            "annotations": {f"{NGINX}proxy-read-timeout": "60", **ASKING},
            "uiAnnotations": {f"{NGINX}affinity-mode": "balanced"},
        }
    }
    there = cluster(INGRESS, mine)
    api, page = annotations(there, "chatacter-chattr"), annotations(there, "chatacter-ui")
    assert api[f"{NGINX}proxy-read-timeout"] == page[f"{NGINX}proxy-read-timeout"] == "60"
    assert page[f"{NGINX}affinity-mode"] == "balanced"
    # Two objects that ask cert-manager for one Secret would quarrel over it.
    assert api.items() >= ASKING.items()
    assert not page.keys() & ASKING.keys()


def test_https_is_served_unless_it_is_switched_off() -> None:
    wanted = [{"hosts": [HOST], "secretName": "chatacter-tls"}]
    assert [each["spec"].get("tls") for each in cluster(INGRESS).of_kind("Ingress")] == [wanted, wanted]
    plain = cluster(INGRESS, {"ingress": {"tls": {"enabled": False}}})
    assert [each["spec"].get("tls") for each in plain.of_kind("Ingress")] == [None, None]
    assert annotations(plain, "chatacter-ui")[f"{NGINX}session-cookie-secure"] == "false"


def rules(*given: dict[str, Any]) -> list[dict[str, Any]]:
    (route,) = cluster(ROUTE, *given).of_kind("HTTPRoute")
    return list(route["spec"]["rules"])


def test_a_route_does_not_cut_streams() -> None:
    assert [rule["timeouts"] for rule in rules()] == [{"request": "0s"}, {"request": "0s"}]
    assert all("timeouts" not in rule for rule in rules({"httpRoute": {"requestTimeout": ""}}))


def test_a_route_keeps_visitors_at_their_pod_where_the_gateway_can() -> None:
    assert all("sessionPersistence" not in rule for rule in rules())
    api, page = rules({"httpRoute": {"sessionPersistence": True}, "ui": {"replicas": 3}})
    assert "sessionPersistence" not in api
    assert page["sessionPersistence"]["type"] == "Cookie"


def test_a_route_of_a_gateway_with_a_policy_of_its_own_needs_no_field_for_it() -> None:
    assert all(
        "sessionPersistence" not in rule
        for rule in rules({"httpRoute": {"affinityByPolicy": True}, "ui": {"replicas": 3}})
    )


def test_objects_of_the_operators_own_may_use_templates() -> None:
    mine = {
        "extraObjects": [
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-text",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": '{{ include "chatacter.fullname" . }}-map'}},
        ]
    }
    there = cluster(mine)
    assert there.find("ConfigMap", "chatacter-text")
    assert there.find("ConfigMap", "chatacter-map")
