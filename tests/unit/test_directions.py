"""Stage directions: what is said and what is acted, told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatacter.contracts.directions import EMOTIONS, GAZES, Direction, Script, bracketed, script

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("text", "spoken", "acted"),
    [
        ("Plain *words* (really), see [1].", "Plain *words* (really), see [1].", []),
        ("[smiles] Hello there.", "Hello there.", [("happy", 0)]),
        ("Hello. *looks away* There!", "Hello. There!", [("aside", 6)]),
        ("Hello [looks away] there.", "Hello there.", [("aside", 5)]),
        ("Oh [sighs], dear.", "Oh, dear.", [("sigh", 2)]),
        ("[happy] So! [sad] No.", "So! No.", [("happy", 0), ("sad", 3)]),
        ("So *happy*, so (sad).", "So *happy*, so (sad).", []),
        ("*smiles and nods* Yes.", "Yes.", [("happy", 0), ("nod", 0)]),
        ('"No." *She slowly nods.* *laughs* "Yes."', '"No." "Yes."', [("nod", 5), ("laugh", 5)]),
        ("[smiles, leaning in] So! [slightly sad and angry] No.", "So! No.", [("happy", 0), ("sad", 3), ("angry", 3)]),
        ("*sigh* I know. *Nervously* Hm.", "I know. Hm.", [("sigh", 0), ("afraid", 7)]),
        ("[emotion=angry, gaze: left] Go.", "Go.", [("angry", 0), ("left", 0)]),
        ("Yes. (laughs) (laughing all the way to the bank)", None, [("laugh", 4)]),
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


@pytest.mark.parametrize(
    "text",
    [
        "Have you seen *The Crying Game*?",
        "Your *smile* is beautiful",
        "I was *thinking* about you",
        "*laughter* is the best medicine",
        "*Nobody who smiles at the poor should be judged for it*",
        "[I am so glad you came]",
        "He [the mad king] was dead",
        "*Thinking, Fast and Slow*",
        "x[happy]=1",
        "[mad as a hatter][1], [happy][2]",
        "Call me (I was thinking)",
        "*Sadly, no.* *Smiles are free.*",
        "*Smiles of a Summer Night*. *Cries and Whispers*.",
        "*Smile*! *Nod if you understand.*",
        "*Looking back, I was wrong.* *Thinking is hard.*",
        "*Sadly* he left. Everybody *laughs*. *Laughing* 5 times a day",
        "[Sad, but true]",
    ],
)
def test_what_may_be_meant_to_be_said_is_said(text: str) -> None:
    assert script(text) == Script(text, (), ())


def test_directions_know_where_what_is_said_begins() -> None:
    found = script("\n\n *smiles*\n\nHello [sad] you \n")
    assert (found.spoken, [each.position for each in found.directions]) == ("Hello you", [0, 5])
    first = script("\n \nHello you, [sad] there")
    assert first.spoken[first.directions[0].position :] == " there"
    assert script("*Smiling*, I left", "Well,").directions == ()
    assert len(script("*Smiling*, I left", "Well.").directions) == 1


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


def test_directions_are_told_apart_once_stars_are_taken_away() -> None:
    written = "*smiles* So! *Looks away.* [emotion=sad, gaze=up] It is *very* late. [gaze=inwards] (sighs) Hm."
    marked = "[smiles] So! [Looks away.] [emotion=sad, gaze=up] It is *very* late.  [sighs] Hm."
    assert bracketed(written) == marked
    assert script(marked).directions == script(written).directions


@given(st.text(alphabet="ab []*()=,.\nsmiles", max_size=60))
def test_what_is_bracketed_says_the_same(text: str) -> None:
    assert script(bracketed(text)).spoken.split() == script(text).spoken.split()
