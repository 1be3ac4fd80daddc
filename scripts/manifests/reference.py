"""Writes the chart's README: every value with its type, its default and what it means."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import schema
from .helm import CHART, defaults, objects
from .schema import Mistake, Schema

HEAD = """# The chart `chatacter`

{description}. It needs Kubernetes {kubernetes}; `docs/deployment.md` walks from an empty cluster to the first reply.

```bash
helm install chatacter charts/chatacter --namespace chatacter --create-namespace --values my-values.yaml
```

Starting points beside `values.yaml`: {starts}. The tables list every value; a name that is in none of them is refused.
They are generated from `values.schema.yaml` and `values.yaml` by `make render`.
"""
TABLE = "| value | type | default | meaning |\n| --- | --- | --- | --- |\n"
# What a key of the operator's choice is called in the tables.
ANY = "<name>"


class Row(NamedTuple):
    """One value."""

    name: str
    kind: str
    default: str
    meaning: str


def markdown() -> str:
    """Write the whole page."""
    about = objects((CHART / "Chart.yaml").read_text("utf-8"))[0]
    starts = ", ".join(f"`{path.name}`" for path in sorted(CHART.glob("values-*.yaml"))) or "none yet"
    page = HEAD.format(description=about["description"], kubernetes=about["kubeVersion"], starts=starts)
    values = defaults()
    umbrella = schema.load(CHART / "values.schema.yaml")
    for name, part in umbrella["properties"].items():
        whole = resolved(part, umbrella)
        meaning = whole.get("description", "")
        subchart = CHART / "charts" / name / "values.schema.yaml"
        root = schema.load(subchart) if subchart.exists() else umbrella
        section = {**root, "description": meaning} if subchart.exists() else whole
        table = [row for row in rows(name, section, root, values.get(name)) if row.name != f"{name}.global"]
        body = "".join(f"| `{row.name}` | {row.kind} | {row.default} | {row.meaning} |\n" for row in table)
        page += f"\n## {name}\n\n{meaning}\n\n{TABLE}{body}"
    return page


def resolved(node: Schema, root: Schema) -> Schema:
    """Follow a reference within one file; what stands beside it wins."""
    if "$ref" not in node:
        return node
    target: Any = root
    for part in node["$ref"].removeprefix("#/").split("/"):
        target = target[part]
    beside = {key: value for key, value in node.items() if key != "$ref"}
    return {**resolved(target, root), **beside}


def rows(name: str, node: Schema, root: Schema, default: Any) -> Iterator[Row]:
    """Yield a row for a value, or one for each value within it."""
    node = resolved(node, root)
    free = node.get("additionalProperties")
    if is_settings(node):
        yield Row(name, "map of settings", code(default), cell(node))
    elif node.get("properties"):
        for key, part in node["properties"].items():
            yield from rows(f"{name}.{key}", part, root, default.get(key) if isinstance(default, dict) else None)
    elif isinstance(free, dict) and resolved(free, root).get("properties"):
        yield Row(name, "map", "see `values.yaml`" if default else code(default), cell(node))
        yield from rows(f"{name}.{ANY}", free, root, None)
    else:
        yield Row(name, kind_of(node, root), code(default), cell(node))


def is_settings(node: Schema) -> bool:
    """Whether a map takes settings of a process, which docs/configuration.md lists."""
    names = node.get("properties", {})
    return bool(names) and all(key.isupper() for key in names)


def cell(node: Schema) -> str:
    return " ".join(str(node.get("description", "")).split()).replace("|", "\\|")


def kind_of(node: Schema, root: Schema) -> str:
    if "enum" in node:
        return " or ".join(f"`{json.dumps(each) if not isinstance(each, str) else each}`" for each in node["enum"])
    if "anyOf" in node:
        return " or ".join(dict.fromkeys(kind_of(resolved(each, root), root) for each in node["anyOf"]))
    names = {
        "object": "map",
        "array": "list",
        "string": "text",
        "integer": "whole number",
        "boolean": "`true` or `false`",
    }
    given = node.get("type", "any")
    kinds = [given] if isinstance(given, str) else [each for each in given if each != "null"]
    return " or ".join(names.get(each, each) for each in kinds)


def code(default: Any) -> str:
    if default is None:
        return "unset"
    if default in ("", [], {}):
        return "empty"
    written = default if isinstance(default, str) else json.dumps(default, ensure_ascii=False)
    return f"`{written}`".replace("|", "\\|").replace("\n", " ")


def check_agreement() -> None:
    """Raise `Mistake` when a value stands in a chart's values but not in its schema, or the other way round."""
    wrong: list[str] = []
    for source in schema.sources():
        chart = source.parent
        root = schema.load(source)
        values = objects((chart / "values.yaml").read_text("utf-8"))[0]
        below = {path.name for path in (chart / "charts").glob("*/")}
        wrong += disagreements(chart.name, root, root, values, skipped={"global"} if chart != CHART else below)
    if wrong:
        raise Mistake("values.yaml and values.schema.yaml disagree:\n" + "\n".join(wrong))


def disagreements(name: str, node: Schema, root: Schema, value: Any, skipped: set[str]) -> Iterator[str]:
    node = resolved(node, root)
    known = node.get("properties")
    if not known or not isinstance(value, dict) or is_settings(node):
        return
    if not node.get("additionalProperties", True):
        yield from (f"{name}.{key} has no schema" for key in value.keys() - known.keys())
    yield from (f"{name}.{key} has no default" for key in known.keys() - value.keys() - skipped)
    for key in value.keys() & known.keys() - skipped:
        yield from disagreements(f"{name}.{key}", known[key], root, value[key], set())


def described(chart: Path) -> Iterator[str]:
    """Yield the values of a chart that nobody has described."""
    root = schema.load(chart / "values.schema.yaml")
    for row in rows(chart.name, root, root, {}):
        if not row.meaning and not row.name.endswith(".global"):
            yield row.name
