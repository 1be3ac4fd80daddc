"""Which voice and which language a request means, and what is said when there is no such one."""

from collections.abc import Sequence

from chatacter.chassis.errors import NotFound, Unsupported
from chatacter.contracts.speech import Voice


def found(voices: Sequence[Voice], voice_id: str) -> Voice:
    """Return a voice by its id. Raises `NotFound` with all ids."""
    for voice in voices:
        if voice.id == voice_id:
            return voice
    known = ", ".join(voice.id for voice in voices) or "none"
    raise NotFound(f"voice: there is no such voice. This model has: {known}.", param="voice")


def spoken(language: str | None, supported: frozenset[str], own: str = "") -> str | None:
    """Return the supported tag that is meant; None is that of the voice, which is `own`.

    A tag without a region means any region of its language, the voice's if it speaks that. One with a region is spoken
    by a model that knows the language as a whole, and not by one of other regions: that would be another accent.
    Raises `Unsupported` with all languages. Source: RFC 4647, section 3.4, lookup.
    """
    if language is None:
        return None
    wanted = language.casefold()
    known = {tag.casefold(): tag for tag in supported}
    if wanted not in known and any(tag.partition("-")[0] == wanted for tag in known):
        return None if own.casefold().partition("-")[0] == wanted else nearest(language, supported)
    while wanted:
        if wanted in known:
            return known[wanted]
        wanted = wanted.rpartition("-")[0]
    raise Unsupported(f"language: this model speaks {', '.join(sorted(supported))}.", param="language")


def nearest(language: str, supported: frozenset[str]) -> str:
    """Return the supported tag of a voice's own language: the same one, else one of another region.

    Raises `Unsupported` with all languages.
    """
    wanted = language.casefold()
    by_closeness = sorted(supported, key=lambda tag: (tag.casefold() != wanted, len(tag), tag))
    for tag in by_closeness:
        if tag.casefold().partition("-")[0] == wanted.partition("-")[0]:
            return tag
    raise Unsupported(
        f"language: the voice speaks {language}, and this model {', '.join(sorted(supported))}.", param="language"
    )
