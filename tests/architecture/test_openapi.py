"""The OpenAPI documents tell people what each door does: a summary, a sentence, one operation id."""

import re

import pytest
from fastapi import FastAPI

from chattr.app import create_app as create_chattr
from chattr.settings import ChattrSettings
from chattr.ui.paths import API_PREFIXES
from tests.architecture.repository import ROOT
from visualizr.app import create_app as create_visualizr
from visualizr.settings import VisualizrSettings
from vocalizr.app import create_app as create_vocalizr
from vocalizr.settings import VocalizrSettings

pytestmark = pytest.mark.architecture

VERBS = frozenset({"get", "put", "post", "patch", "delete"})


def services() -> dict[str, FastAPI]:
    """The three applications; nothing is opened before they run."""
    return {
        "chattr": create_chattr(ChattrSettings(enable_ui=False)),
        "vocalizr": create_vocalizr(VocalizrSettings(vocalizr_model="fake")),
        "visualizr": create_visualizr(VisualizrSettings(visualizr_model="fake")),
    }


@pytest.mark.parametrize("name", ["chattr", "vocalizr", "visualizr"])
def test_every_door_says_what_it_does(name: str) -> None:
    silent = []
    ids = []
    for path, operations in services()[name].openapi()["paths"].items():
        for verb in VERBS & operations.keys():
            operation = operations[verb]
            ids.append(operation["operationId"])
            if not operation.get("summary") or not operation.get("description"):
                silent.append(f"{verb.upper()} {path}")
    assert silent == []
    assert len(ids) == len(set(ids))


def test_the_api_page_names_every_door_of_chattr() -> None:
    page = (ROOT / "docs" / "api.md").read_text("utf-8")
    mentioned = re.sub(r"\{[a-z_]+\}", "{}", page)
    missing = [
        path
        for path, operations in services()["chattr"].openapi()["paths"].items()
        if any("Not built yet" not in operations[verb].get("description", "") for verb in VERBS & operations.keys())
        and re.sub(r"\{[a-z_]+\}", "{}", path) not in mentioned
    ]
    assert not missing, "\n".join(missing)


def test_every_door_of_chattr_is_where_a_balancer_looks_for_the_api() -> None:
    """The Ingress sends these prefixes to Chattr and everything else to the page."""
    prefixes = tuple(f"{prefix}/" for prefix in API_PREFIXES)
    doors = services()["chattr"].openapi()["paths"]
    assert [path for path in doors if not f"{path}/".startswith(prefixes)] == []
