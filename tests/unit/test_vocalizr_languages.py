"""Which of a model's languages a request means."""

import pytest

from chatacter.chassis.errors import Unsupported
from vocalizr.voices import spoken

pytestmark = pytest.mark.unit

KOKORO = frozenset({"en-US", "en-GB"})
XTTS = frozenset({"en", "pt", "zh-CN"})


@pytest.mark.parametrize(
    ("language", "supported", "own", "meant"),
    [
        (None, KOKORO, "en-US", None),
        ("EN-gb", KOKORO, "en-US", "en-GB"),
        ("en", KOKORO, "en-US", None),
        ("en-US", XTTS, "en", "en"),
        ("pt-BR", XTTS, "en", "pt"),
        ("zh", XTTS, "en", "zh-CN"),
        ("zh-Hans-CN", frozenset({"zh-Hans"}), "en", "zh-Hans"),
        ("zh", XTTS, "zh-CN", None),
    ],
)
def test_the_nearest_language_that_is_no_other_accent_is_spoken(
    language: str | None, supported: frozenset[str], own: str, meant: str | None
) -> None:
    assert spoken(language, supported, own) == meant


@pytest.mark.parametrize(
    ("language", "supported"), [("en-AU", KOKORO), ("zh-TW", XTTS), ("fr", XTTS), ("e", XTTS), ("", XTTS)]
)
def test_another_language_or_accent_is_refused_with_those_there_are(language: str, supported: frozenset[str]) -> None:
    with pytest.raises(Unsupported, match="this model speaks en"):
        spoken(language, supported, "en")
