"""Stage directions: what is said and what is acted, told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.contracts.directions import EMOTIONS, GAZES, Direction, script

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "spoken", "acted"),
    [
        ("Plain *words* (really), see [1].", "Plain *words* (really), see [1].", []),
        ("[smiles] Hello there.", "Hello there.", [("happy", 0)]),
        ("Hello *looks away* there.", "Hello there.", [("aside", 5)]),
        ("Oh *sighs*, dear.", "Oh, dear.", [("sigh", 2)]),
        ("[happy] So! [sad] No.", "So! No.", [("happy", 0), ("sad", 3)]),
        ("So *happy*, so (sad).", "So *happy*, so (sad).", []),
        ("She *smiles and nods* yes.", "She yes.", [("happy", 3), ("nod", 3)]),
        ("[emotion=angry, gaze: left] Go.", "Go.", [("angry", 0), ("left", 0)]),
        ("Yes (laughs). (laughing all the way to the bank)", None, [("laugh", 3)]),
        ("See [he smiles](http://x.example) and **nods**.", "See [he smiles](http://x.example) and **nods**.", []),
        ("Bye. *shakes her head*", "Bye.", [("shake", 4)]),
        ("*raises an eyebrow*\n\nIndeed.", "Indeed.", [("brow", 0)]),
    ],
)
def test_what_is_said_and_what_is_acted(text: str, spoken: str | None, acted: list[tuple[str, int]]) -> None:
    found = script(text)
    if spoken is not None:
        assert found.spoken == spoken
    assert [(each.value, each.position) for each in found.directions] == acted
    assert found.unknown == ()


def test_how_much_is_told_by_words() -> None:
    slight, plain, strong = (script(f"[{how} smiles]").directions[0].strength for how in ("slightly", "", "broadly"))
    assert slight < plain == 1.0 < strong


def test_a_setting_without_a_meaning_is_named_and_never_spoken() -> None:
    found = script("[emotion=hungry] Hm. [gaze=inwards]")
    assert (found.spoken, found.directions, found.unknown) == ("Hm.", (), ("emotion", "gaze"))


@pytest.mark.parametrize("name", [*(f"emotion={each}" for each in EMOTIONS), *(f"gaze={each}" for each in GAZES)])
def test_every_setting_is_understood(name: str) -> None:
    kind, _, value = name.partition("=")
    assert script(f"[{name}] A.").directions == (Direction(0, kind, value),)  # type: ignore[arg-type]


@given(st.text(alphabet="ab []*()=,.\nsmile", max_size=60))
def test_any_text_has_a_script(text: str) -> None:
    found = script(text)
    assert len(found.spoken) <= len(text)
    assert all(0 <= each.position <= len(found.spoken) for each in found.directions)
    if not found.directions and not found.unknown:
        assert found.spoken == text
