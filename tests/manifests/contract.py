"""The chart's contract of values, walked: every map in which keys are known, and every single value."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from scripts.manifests import schema
from scripts.manifests.helm import CHART
from scripts.manifests.reference import resolved

# What the maps of models and the like are filled with: a name that is in values.yaml.
NAMED = {"inference.models": "voice"}


class Place(NamedTuple):
    """One node of a schema and where its value stands."""

    chart: Path
    path: tuple[str, ...]
    node: dict[str, Any]

    def __str__(self) -> str:
        return ".".join(self.path)

    def holding(self, value: Any) -> dict[str, Any]:
        """Values of the umbrella that say nothing but this."""
        for key in reversed(self.path):
            value = {key: value}
        return dict(value)


def places() -> Iterator[Place]:
    """Every place in the values of the umbrella and its subcharts."""
    for source in schema.sources():
        root = schema.load(source)
        start = () if source.parent == CHART else (source.parent.name,)
        yield from below(Place(source.parent, start, root), root)


def below(place: Place, root: dict[str, Any]) -> Iterator[Place]:
    node = resolved(place.node, root)
    yield place._replace(node=node)
    for key, part in node.get("properties", {}).items():
        yield from below(Place(place.chart, (*place.path, key), part), root)
    free = node.get("additionalProperties")
    name = NAMED.get(str(place))
    if isinstance(free, dict) and name:
        yield from below(Place(place.chart, (*place.path, name), free), root)


def levels() -> list[Place]:
    """Maps that hold known keys and no others. What a subchart shares with the umbrella is described there."""
    known = [place for place in places() if place.node.get("properties") and not is_shared(place)]
    return [place for place in known if place.node.get("additionalProperties") is False]


def values() -> list[Place]:
    """Single values, free maps and lists."""
    return [place for place in places() if not place.node.get("properties") and not is_shared(place)]


def is_shared(place: Place) -> bool:
    """Whether it is `global` as a subchart sees it, or a whole subchart as the umbrella sees it."""
    seen_from_below = place.chart != CHART and place.path[1:2] == ("global",)
    subchart = place.chart == CHART and len(place.path) == 1 and (CHART / "charts" / place.path[0]).is_dir()
    return seen_from_below or subchart
