"""Sizes that keep a house habitable. Complexity and parameters are ruff's; see `pyproject.toml`."""

import ast

import pytest

from tests.architecture.repository import PYTHON, sources

pytestmark = pytest.mark.architecture

LONGEST_FILE = 400
LONGEST_FUNCTION = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_files_are_short() -> None:
    counted = {str(source): len(source.text.splitlines()) for source in sources(*PYTHON)}
    assert {name: lines for name, lines in counted.items() if lines > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    """A function within another counts as one of its own, not as lines of the other."""
    long = {}
    for source in sources(*PYTHON):
        for function in source.functions():
            lines = span(function) - sum(span(inner) for inner in functions_in(function))
            if lines > LONGEST_FUNCTION:
                long[f"{source}:{function.lineno} {function.name}"] = lines
    assert long == {}


def span(node: Function) -> int:
    """How many lines it takes, without its decorators."""
    return (node.end_lineno or 0) - node.lineno + 1


def functions_in(node: ast.AST) -> list[Function]:
    """The functions that stand directly in one."""
    found: list[Function] = []
    for child in ast.iter_child_nodes(node):
        found += [child] if isinstance(child, Function) else functions_in(child)
    return found
