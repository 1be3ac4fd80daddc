"""Sizes that keep a house habitable. Complexity and parameters are ruff's; see `pyproject.toml`."""

import pytest

from tests.architecture.repository import PYTHON, sources

pytestmark = pytest.mark.architecture

LONGEST_FILE = 400
LONGEST_FUNCTION = 50


def test_files_are_short() -> None:
    counted = {str(source): len(source.text.splitlines()) for source in sources(*PYTHON)}
    assert {name: lines for name, lines in counted.items() if lines > LONGEST_FILE} == {}


def test_functions_are_short() -> None:
    long = {}
    for source in sources(*PYTHON):
        for function in source.functions():
            lines = (function.end_lineno or 0) - function.lineno + 1
            if lines > LONGEST_FUNCTION:
                long[f"{source}:{function.lineno} {function.name}"] = lines
    assert long == {}
