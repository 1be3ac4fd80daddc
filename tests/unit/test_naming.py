"""Names that people have are taken, and what would break a line or cannot be seen is not."""

import pytest
from pydantic import ValidationError

from chattr.domain.character import CharacterCreate
from chattr.domain.naming import printable
from chattr.domain.person import Persona

pytestmark = pytest.mark.unit

PERSIAN = "\u0639\u0644\u06cc\u200c\u0631\u0636\u0627"
FAMILY = "\U0001f469\u200d\U0001f4bb Ada"


@pytest.mark.parametrize("name", [PERSIAN, FAMILY, "Ann", "O'Hara", "\u5f35\u5049"])
def test_a_name_is_taken_as_it_is_spelt(name: str) -> None:
    assert Persona(name=f" {name} ").name == name
    made = CharacterCreate.model_validate({"id": "somebody", "name": name, "nickname": name, "personality": "Even."})
    assert (made.name, made.nickname) == (name, name)
    assert printable(name) == name


@pytest.mark.parametrize("name", ["A\nB", "A\u2028B", "Ann\a", "\u200d", "\u200c \u200d", "A\u202eB"])
def test_a_name_that_breaks_a_line_or_cannot_be_seen_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Persona(name=name)
    with pytest.raises(ValidationError):
        CharacterCreate.model_validate({"id": "somebody", "name": name, "personality": "Even."})
    cleaned = printable(name).strip()
    assert not cleaned or Persona(name=cleaned).name == cleaned


def test_nobody_has_to_have_a_name() -> None:
    assert Persona(name=" ").name == ""
