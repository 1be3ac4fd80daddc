"""What passes for a spoken consent, in each language: the phrase, nearly; never a sentence that agrees to nothing."""

import pytest

from chatacter.chassis.errors import InvalidInput
from vocalizr.cloning.consent import BEARING, NEGATIONS, PHRASES, require_said

pytestmark = pytest.mark.unit

REFUSALS = [
    ("en", "I agree", "I object"),
    ("en", "I agree that it", "it"),
    ("en", "I agree", "I scarcely agree"),
    ("en", "I agree", "I dispute"),
    ("en", "the owner", "the neighbour"),
    ("en", "the owner of this", "the owner of another"),
    ("de", "stimme zu", "lehne ab"),
    ("de", "und stimme zu", "und bestreite"),
    ("de", "stimme zu", "stimme selten zu"),
    ("es", "acepto que", "rechazo que"),
    ("es", "acepto que", "lamento que"),
    ("fr", "j'accepte", "j'interdis"),
    ("fr", "j'accepte", "je regrette"),
    ("it", "accetto che", "vieto che"),
    ("it", "accetto che", "temo che"),
    ("nl", "ik ga ermee akkoord", "ik verbied"),
    ("nl", "akkoord", "oneens"),
    ("pl", "zgadzam się", "zabraniam"),
    ("pl", "zgadzam się", "boję się"),
    ("pt", "aceito que", "proíbo que"),
    ("pt", "aceito que", "lamento que"),
    ("ru", "согласен", "против"),
    ("ru", "согласен", "боюсь"),
]


@pytest.mark.parametrize("code", PHRASES)
def test_the_phrase_itself_is_a_consent(code: str) -> None:
    assert require_said(PHRASES[code].upper(), code) == 0
    assert PHRASES.keys() == NEGATIONS.keys() == BEARING.keys()


@pytest.mark.parametrize(
    ("code", "heard"),
    [
        ("en", "I'm the owner of this voice and I agree that it is used to make a synthetic voice"),
        ("de", PHRASES["de"].replace("der Eigentümer", "die Eigentümerin")),
        ("fr", PHRASES["fr"].replace("le propriétaire", "la propriétaire").replace("'", "’")),
        ("nl", PHRASES["nl"].replace("ermee", "er mee")),
        ("pl", PHRASES["pl"].replace("właścicielem", "właścicielką")),
        ("ru", PHRASES["ru"].replace("владелец", "владелица").replace("согласен", "согласна")),
    ],
)
def test_what_is_heard_a_little_differently_is_a_consent(code: str, heard: str) -> None:
    assert require_said(heard, code) > 0 or code == "fr"


@pytest.mark.parametrize(("code", "agreeing", "instead"), REFUSALS)
def test_a_sentence_that_does_not_agree_is_no_consent(code: str, agreeing: str, instead: str) -> None:
    assert agreeing in PHRASES[code]
    with pytest.raises(InvalidInput, match="Say only this"):
        require_said(PHRASES[code].replace(agreeing, instead), code)
