"""Licences of weights: what has to be accepted, by which name, and what is said."""

import pytest

from chatacter.chassis.errors import Misconfigured
from chatacter.serving.licences import APACHE, Licence, require_accepted

pytestmark = pytest.mark.unit

STRICT = Licence("CPML", "forbids commercial use", "https://coqui.ai/cpml")


@pytest.mark.parametrize("licence", [None, APACHE])
def test_what_is_free_or_unknown_needs_no_accepting(licence: Licence | None) -> None:
    require_accepted("kokoro", licence, ())


def test_what_is_restricted_is_refused_with_the_setting_that_accepts_it() -> None:
    with pytest.raises(Misconfigured) as refused:
        require_accepted("xtts", STRICT, ("something-else",))
    said = refused.value.message
    assert "ACCEPT_MODEL_LICENSES=CPML" in said
    assert "forbids commercial use" in said
    assert "https://coqui.ai/cpml" in said


@pytest.mark.parametrize("name", ["CPML", "cpml"])
def test_the_licences_own_name_accepts_it(name: str) -> None:
    require_accepted("xtts", STRICT, ("mit", name))


def test_a_models_name_accepts_no_licence() -> None:
    with pytest.raises(Misconfigured):
        require_accepted("xtts", STRICT, ("xtts",))
