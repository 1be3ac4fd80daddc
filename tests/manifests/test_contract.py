"""A misspelt or ill-typed value is refused at install, wherever it stands; `values.schema.json` is what Helm reads."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from scripts.manifests import helm, reference, schema
from scripts.manifests.helm import CHART
from tests.manifests.contract import Place, levels, places, values

pytestmark = pytest.mark.manifests

STRANGER = "surelyNoSuchKey"
# A value of each kind in JSON, and its name there.
KINDS: dict[str, Any] = {"string": "§", "number": -0.5, "boolean": True, "array": [["§"]], "object": {"§": ["§"]}}


@cache
def validator(chart: Path) -> Any:
    return jsonschema_rs.Draft7Validator(json.loads((chart / "values.schema.json").read_text("utf-8")))


def accepts(place: Place, value: Any) -> bool:
    """Whether the chart's own schema lets a value stand in this place."""
    held: Any = place.holding(value)
    return bool(validator(place.chart).is_valid(held if place.chart == CHART else held[place.chart.name]))


@pytest.mark.parametrize("level", levels(), ids=str)
def test_helm_refuses_a_misspelt_key_at_every_level(level: Place) -> None:
    with pytest.raises(helm.Refused, match=STRANGER):
        helm.template((), helm.merged(helm.LEAST, level.holding({STRANGER: 1})))


@pytest.mark.parametrize("place", values(), ids=str)
def test_a_value_of_the_wrong_kind_is_refused(place: Place) -> None:
    refused = [kind for kind, value in KINDS.items() if not accepts(place, value)]
    # A list of anything and a map of anything still are a list and a map.
    assert len(refused) >= 3, f"{place} takes anything but {refused}"


def test_the_wrong_kind_is_refused_by_helm_too() -> None:
    for given in ({"chattr": {"replicas": "many"}}, {"redis": {"persistence": {"size": ["1Gi"]}}}, {"model": "gpt"}):
        with pytest.raises(helm.Refused, match="schema"):
            helm.template((), helm.merged(helm.LEAST, given))


def test_values_and_schemas_agree_and_everything_is_described() -> None:
    reference.check_agreement()
    assert [name for source in schema.sources() for name in reference.described(source.parent)] == []


def test_every_part_has_a_contract() -> None:
    charts = {path.parent for path in CHART.rglob("Chart.yaml")}
    assert charts == {path.parent for path in schema.sources()}


def test_a_map_that_takes_any_key_is_a_shape_of_kubernetes() -> None:
    """The API server checks those; resources may be of any name, and a subchart has a contract of its own."""
    free = {str(p).rpartition(".")[2] for p in places() if p.node.get("type") == "object" and p.path and is_free(p)}
    assert free <= {"affinity", "behavior", "global", "redis", "qdrant", "otel-collector", "inference"}
    known = {
        p.path[-1] for p in places() if p.node.get("properties") and p.node.get("additionalProperties") is not False
    }
    assert known <= {"limits", "requests"}


def is_free(place: Place) -> bool:
    return place.node.get("additionalProperties", True) is True and "propertyNames" not in place.node
