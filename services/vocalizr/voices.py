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


def spoken(language: str | None, supported: frozenset[str]) -> str | None:
    """Return the supported tag that is meant; None is the voice's own. Raises `Unsupported` with all languages.

    A tag without a region means any region of its language (BCP 47, section 2.1: tags compare without case).
    """
    if language is None:
        return None
    wanted = language.casefold()
    for tag in sorted(supported):
        if tag.casefold() == wanted:
            return tag
    if any(tag.casefold().partition("-")[0] == wanted for tag in supported):
        return None
    raise Unsupported(f"language: this model speaks {', '.join(sorted(supported))}.", param="language")
