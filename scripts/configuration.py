"""Writes `docs/configuration.md` from the settings classes: each setting's variable, type, default and docstring."""

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chatacter.chassis.settings import ServiceSettings
from chatacter.supervise.settings import LauncherSettings
from chattr.settings import ChattrSettings
from chattr.ui.settings import UiSettings
from visualizr.settings import VisualizrSettings
from vocalizr.settings import VocalizrSettings

TARGET = Path("docs/configuration.md")
HEAD = """# Configuration

Settings are environment variables, nested by `__`, also read from a file `.env` in the working folder; a variable of
the environment wins over the file. They are read once, at start; a mistake ends the start with a sentence that names
the variable. This page is generated from the code by `make render`.
"""
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("Every service", "Chattr, its page, Vocalizr and Visualizr each take these.", ServiceSettings),
    ("Chattr", "Characters, conversations, memory and the public doors.", ChattrSettings),
    ("The page", "Where it is a process of its own (`python -m chattr.ui`); a visitor's key is theirs.", UiSettings),
    ("Vocalizr", "Speech.", VocalizrSettings),
    ("Visualizr", "Video.", VisualizrSettings),
    ("The launcher", "`chatacter up`, which `make run` calls. It passes on everything else.", LauncherSettings),
)


class Row(NamedTuple):
    """One setting."""

    variable: str
    kind: str
    default: str
    meaning: str


def rows(settings: type[BaseModel], prefix: str = "") -> Iterator[Row]:
    """Yield the settings of a class and of the sections within it."""
    for name, field in settings.model_fields.items():
        variable = f"{prefix}{name}".upper()
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield from rows(section, f"{variable}__")
        else:
            yield Row(variable, kind_of(field), default_of(field), " ".join((field.description or "").split()))


def kind_of(field: FieldInfo) -> str:
    """Say what values a setting takes."""
    return written(field.annotation)


def written(kind: Any) -> str:
    """Write a type for people."""
    origin = get_origin(kind)
    if origin is Annotated:
        return written(get_args(kind)[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in get_args(kind))
    if origin in (Union, types.UnionType):
        return " or ".join(written(part) for part in get_args(kind) if part is not type(None))
    if origin is tuple:
        return "list, by commas"
    if origin is dict:
        return "JSON object"
    names = {
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true` or `false`",
        Path: "path",
        SecretStr: "secret",
    }
    return names.get(kind, getattr(kind, "__name__", str(kind)))


def default_of(field: FieldInfo) -> str:
    """Write a default; a secret one stays hidden unless it is an address without a password."""
    value = field.default
    if value is PydanticUndefined:
        return "see the meaning"
    if value is None:
        return "unset"
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | dict):
        return f"`{','.join(map(str, value))}`" if value else "empty"
    return f"`{value}`"


def markdown() -> str:
    """Write the whole page."""
    shared = {row.variable: row for row in rows(ServiceSettings)}
    parts = [HEAD]
    for title, meaning, settings in SECTIONS:
        own = [row for row in rows(settings) if settings is ServiceSettings or row != shared.get(row.variable)]
        table = "\n".join(f"| `{row.variable}` | {row.kind} | {row.default} | {row.meaning} |" for row in own)
        parts.append(
            f"## {title}\n\n{meaning}\n\n| variable | value | default | meaning |\n| --- | --- | --- | --- |\n{table}\n"
        )
    return "\n".join(parts)
