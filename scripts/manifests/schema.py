"""Makes a chart's `values.schema.json` from `values.schema.yaml`: settings are filled in from the code.

A map with `x-settings: chattr` takes every setting of that process by its environment name, but for those in
`x-settings-except`, which other values set, and for passwords, keys and tokens, which belong into Secrets.
"""

import json
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from chatacter.chassis.settings import ServiceSettings
from chattr.settings import ChattrSettings
from chattr.ui.settings import UiSettings
from visualizr.settings import VisualizrSettings
from vocalizr.settings import VocalizrSettings

from .helm import CHART, objects

PROCESSES: dict[str, type[ServiceSettings]] = {
    "chattr": ChattrSettings,
    "dispatcher": ChattrSettings,
    "ui": UiSettings,
    "vocalizr": VocalizrSettings,
    "visualizr": VisualizrSettings,
}
Schema = dict[str, Any]
WHOLE = r"^-?[0-9]+$"
NUMBER = r"^-?[0-9]+(\.[0-9]+)?$"
BOUNDS = {Ge: ("minimum", "ge"), Gt: ("exclusiveMinimum", "gt"), Le: ("maximum", "le"), Lt: ("exclusiveMaximum", "lt")}


class Mistake(Exception):
    """A schema says something that the code or the values do not bear out."""


def sources() -> list[Path]:
    """The schemas that people write, of the umbrella and its subcharts."""
    return sorted(CHART.rglob("values.schema.yaml"))


def load(source: Path) -> Schema:
    """Read a schema that people write, settings filled in."""
    return filled(objects(source.read_text("utf-8"))[0])


def text(source: Path) -> str:
    """Write the schema that Helm reads."""
    return json.dumps(load(source), indent=2, ensure_ascii=False) + "\n"


def filled(node: Any) -> Any:
    """Replace each marker by the settings that it stands for."""
    if isinstance(node, list):
        return [filled(each) for each in node]
    if not isinstance(node, dict):
        return node
    if "x-settings" not in node:
        return {key: filled(value) for key, value in node.items()}
    asked = node["x-settings"]
    known: Schema = {}
    for process in [asked] if isinstance(asked, str) else asked:
        known.update(settings_of(PROCESSES[process]))
    left_out = set(node.get("x-settings-except", ()))
    everything = {name for name, field in fields(asked)}
    if strangers := left_out - everything - set(node.get("x-settings-elsewhere", ())):
        raise Mistake(f"x-settings-except names what {asked} does not know: {', '.join(sorted(strangers))}")
    kept = {key: value for key, value in node.items() if not key.startswith("x-settings")}
    properties = {name: known[name] for name in sorted(known.keys() - left_out)}
    return {**kept, "type": "object", "additionalProperties": False, "properties": properties}


def fields(asked: str | list[str]) -> list[tuple[str, FieldInfo]]:
    """List the settings of these processes with their environment names."""
    processes = [asked] if isinstance(asked, str) else asked
    return [pair for process in processes for pair in within(PROCESSES[process])]


def within(settings: type[BaseModel], prefix: str = "") -> list[tuple[str, FieldInfo]]:
    found = []
    for name, field in settings.model_fields.items():
        variable = f"{prefix}{name}".upper()
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            found += within(section, f"{variable}__")
        else:
            found.append((variable, field))
    return found


def settings_of(settings: type[BaseModel]) -> Schema:
    """Write a property for each setting that may stand in plain sight."""
    return {name: setting(field) for name, field in within(settings) if not is_secret(name, field)}


def is_secret(name: str, field: FieldInfo) -> bool:
    """Whether a setting is a password, a key or a token; an address counts as none."""
    return SecretStr in flat(field.annotation) and not name.endswith("URL")


def flat(kind: Any) -> list[Any]:
    """The types that a setting may have, without None and without annotations."""
    origin = get_origin(kind)
    if origin is Annotated:
        return flat(get_args(kind)[0])
    if origin in (Union, types.UnionType):
        return [each for part in get_args(kind) if part is not type(None) for each in flat(part)]
    return [kind]


def setting(field: FieldInfo) -> Schema:
    """Write what a setting takes, as YAML or as the text of its environment variable."""
    meaning = " ".join((field.description or "").split())
    shapes = [shape(kind, field) for kind in flat(field.annotation)]
    return {"description": meaning, **(shapes[0] if len(shapes) == 1 else {"anyOf": shapes})}


def shape(kind: Any, field: FieldInfo) -> Schema:
    if get_origin(kind) is Literal:
        return {"enum": list(get_args(kind))}
    if get_origin(kind) is dict or kind is dict:
        return {"type": ["object", "string"]}
    if kind is bool:
        return {"enum": [True, False, "true", "false"]}
    if kind in (int, float):
        plain = {
            "type": ["integer" if kind is int else "number", "string"],
            "pattern": WHOLE if kind is int else NUMBER,
        }
        return {**plain, **bounds(field)}
    return {"type": "string"}


def bounds(field: FieldInfo) -> Schema:
    found = {}
    for rule in field.metadata:
        for kind, (name, attribute) in BOUNDS.items():
            if isinstance(rule, kind):
                found[name] = getattr(rule, attribute)
    return found
