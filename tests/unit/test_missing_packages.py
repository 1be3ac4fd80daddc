"""A package that is missing is told with the line that installs it."""

import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.plugins import needing

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("package", "extra", "line"),
    [
        ("torch", None, "chatacter[coqui]"),
        ("torch", "bark", "chatacter[bark]"),
        ("safetensors.torch", "coqui", "chatacter[coqui]"),
        ("somebody_elses", None, "pip install somebody_elses"),
    ],
)
def test_the_extra_is_that_of_who_needs_it(package: str, extra: str | None, line: str) -> None:
    with pytest.raises(Misconfigured) as told, needing("VOCALIZR_MODEL=bark", extra):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    assert line in told.value.message
