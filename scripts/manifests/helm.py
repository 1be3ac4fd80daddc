"""Renders the chart with Helm."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from .programs import ROOT, run

CHART = ROOT / "charts" / "chatacter"
RELEASE = "chatacter"
NAMESPACE = "chatacter"
# What an operator must say before anything can be installed; it holds no secret, only the name of one.
LEAST: dict[str, Any] = {
    "global": {"existingSecret": "chatacter-secrets"},
    "model": {"url": "https://llm.example.com/v1", "name": "example-model"},
}
Manifest = dict[str, Any]


class Refused(Exception):
    """Helm did not render or lint; the text is what it said."""


class UniqueKeys(yaml.CSafeLoader):
    """Reads YAML and refuses a key that stands twice in one mapping, as an API server does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands twice in one mapping", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def least(files: Sequence[Path] = ()) -> dict[str, Any]:
    """Say what an operator must add to these values files: secrets and who answers, unless they say it themselves."""
    said = merged(*(objects(path.read_text("utf-8"))[0] for path in files))
    model = said.get("model", {})
    there = {
        "global": "existingSecret" in said.get("global", {}),
        "model": bool(model.get("url") or model.get("fromInference")),
    }
    return {name: value for name, value in LEAST.items() if not there[name]}


def template(
    values: Sequence[Path] = (),
    given: Mapping[str, Any] | None = None,
    *arguments: str,
    release: str = RELEASE,
    chart: Path = CHART,
) -> str:
    """Render the chart with these values files, then these values over them; raise `Refused` with Helm's words."""
    files = [word for path in values for word in ("--values", str(path))]
    command = ["template", release, str(chart), "--namespace", NAMESPACE, *files, "--values", "-", *arguments]
    done = run("helm", *command, given=json.dumps(given or {}))
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def lint(values: Sequence[Path] = (), given: Mapping[str, Any] | None = None) -> str:
    """Lint the chart strictly with these values; raise `Refused` with what is wrong."""
    files = [word for path in values for word in ("--values", str(path))]
    done = run("helm", "lint", "--strict", str(CHART), *files, "--values", "-", given=json.dumps(given or {}))
    if done.returncode:
        raise Refused(done.stdout + done.stderr)
    return done.stdout


def objects(text: str) -> list[Manifest]:
    """Read the objects of a stream of YAML documents."""
    return [each for each in yaml.load_all(text, UniqueKeys) if each]


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over each other as Helm does: maps are merged, the rest is replaced. A null is Helm's to obey."""
    result: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            below = result.get(key)
            if isinstance(value, Mapping):
                result[key] = merged(below if isinstance(below, Mapping) else {}, value)
            else:
                result[key] = value
    return result


def defaults(chart: Path = CHART) -> dict[str, Any]:
    """The values of a chart with those of its subcharts beneath their names."""
    below = {path.name: defaults(path) for path in sorted((chart / "charts").glob("*/"))}
    return merged(below, *objects((chart / "values.yaml").read_text("utf-8")))
