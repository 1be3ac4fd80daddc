"""Characters from files: those that come with Chattr, and an operator's own. Mistakes are told with file and line."""

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from chatacter.chassis.errors import Misconfigured
from chattr.domain.character import Character

SUFFIXES: Final = (".yaml", ".yml", ".json")
SHAPE: Final = "write one character, or a list of characters"
NO_FILES: Final = "CHARACTER_CONFIG_PATH: {path} holds no .yaml, .yml or .json file."
NO_PATH: Final = "CHARACTER_CONFIG_PATH: there is no file or folder {path}."
UNREADABLE: Final = "this has dates, keys or nesting that no character has, or letters that its format forbids"
TWICE: Final = "the id {id!r} is already taken by {other}"


def built_in() -> dict[str, Character]:
    """Read the characters that come with Chattr, by id. Blocks."""
    return read(found_in(resources.files("chattr") / "characters"))


def portraits() -> dict[str, bytes]:
    """Read the layered portraits (SVG) that come with Chattr, by name. Blocks."""
    folder = resources.files("chattr") / "characters" / "portraits"
    files = (file for file in folder.iterdir() if file.name.endswith(".svg"))
    return {file.name.removesuffix(".svg"): file.read_bytes() for file in files}


def from_path(path: Path) -> dict[str, Character]:
    """Read a file, or every file directly in a folder, by id. Blocks. Raises `Misconfigured` with every mistake."""
    if path.is_file():
        return read([path])
    if not path.is_dir():
        raise Misconfigured(NO_PATH.format(path=path))
    files = found_in(path)
    if not files:
        raise Misconfigured(NO_FILES.format(path=path))
    return read(files)


def found_in(folder: Traversable) -> list[Traversable]:
    """List a folder's files by name. Hidden ones are left out: a mounted ConfigMap keeps its versions in them."""
    entries = [entry for entry in folder.iterdir() if entry.name.endswith(SUFFIXES) and not entry.name.startswith(".")]
    return sorted((entry for entry in entries if entry.is_file()), key=lambda entry: entry.name)


def read(files: Sequence[Traversable]) -> dict[str, Character]:
    """Read all files, then tell all mistakes at once."""
    characters: dict[str, Character] = {}
    origins: dict[str, str] = {}
    mistakes: list[str] = []
    for file in files:
        for line, outcome in characters_in(file):
            where = f"{file}:{line}" if line else str(file)
            if isinstance(outcome, str):
                mistakes.append(f"{where}: {outcome}")
            elif outcome.id in characters:
                mistakes.append(f"{where}: {TWICE.format(id=outcome.id, other=origins[outcome.id])}")
            else:
                characters[outcome.id] = outcome
                origins[outcome.id] = where
    if mistakes:
        raise Misconfigured("\n".join(mistakes))
    return characters


def characters_in(file: Traversable) -> Iterator[tuple[int, Character | str]]:
    """Yield each character of a file, or what is wrong with it, and the line; 0 where the line is not known."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        yield 0, "cannot be read as UTF-8 text"
        return
    try:
        content, lines = parsed(text, is_json=file.name.endswith(".json"))
    except yaml.MarkedYAMLError as error:
        yield (error.problem_mark.line + 1 if error.problem_mark else 0), f"this is not YAML: {error.problem}"
        return
    except json.JSONDecodeError as error:
        yield error.lineno, f"this is not JSON: {error.msg}"
        return
    except (yaml.YAMLError, ValueError, RecursionError):  # letters that YAML forbids, a date that is none, a deep nest
        yield 0, UNREADABLE
        return
    several = isinstance(content, list)
    for index, item in enumerate(content if several else [content]):
        place: tuple[int | str, ...] = (index,) if several else ()
        if not isinstance(item, dict):
            yield lines.get(place, 0), SHAPE
            continue
        try:
            yield lines.get(place, 0), Character.model_validate_json(json.dumps(item, default=str))
        except ValidationError as error:
            yield from mistakes_of(error, place, lines)
        except (TypeError, ValueError, RecursionError):  # a key that is no text, a node within itself
            yield lines.get(place, 0), UNREADABLE


def mistakes_of(
    error: ValidationError, place: tuple[int | str, ...], lines: Mapping[tuple[int | str, ...], int]
) -> Iterator[tuple[int, str]]:
    """Yield each mistake with the line of the nearest thing that stands in the file."""
    for mistake in error.errors(include_url=False, include_input=False):
        path = (*place, *mistake["loc"])
        while path and path not in lines:
            path = path[:-1]
        name = ".".join(str(part) for part in mistake["loc"])
        yield lines.get(path, 0), f"{name}: {mistake['msg']}" if name else mistake["msg"]


def parsed(text: str, *, is_json: bool) -> tuple[Any, dict[tuple[int | str, ...], int]]:
    """Parse a file; return its content, and the line of every key and item by its path."""
    if is_json:
        content = json.loads(text)
        try:
            return content, dict(lines_of(yaml.compose(text, Loader=yaml.SafeLoader)))
        except yaml.YAMLError:  # Not all JSON is YAML: tabs, for one.
            return content, {}
    return yaml.safe_load(text), dict(lines_of(yaml.compose(text, Loader=yaml.SafeLoader)))


def lines_of(node: yaml.Node | None, path: tuple[int | str, ...] = ()) -> Iterator[tuple[tuple[int | str, ...], int]]:
    """Yield paths with lines, from 1."""
    if node is None:
        return
    yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            for inner, line in lines_of(value, (*path, str(key.value))):
                yield inner, key.start_mark.line + 1 if len(inner) == len(path) + 1 else line
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from lines_of(value, (*path, index))
