"""What voice and camera need to know of a character."""

from dataclasses import dataclass
from typing import Protocol

from chattr.domain.identity import Owner


@dataclass(frozen=True, slots=True)
class Picture:
    """An image and its kind: PNG, JPEG, WebP, or a layered SVG portrait."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Actor:
    """A character in front of microphone and camera. Without a portrait it can only be heard.

    `speech_model` is the one that its voice belongs to; None: whichever speaks where nobody names one.
    """

    id: str
    voice: str
    portrait: Picture | None = None
    speech_model: str | None = None


class Casting(Protocol):
    """Finds the actor of a character."""

    @property
    def default_id(self) -> str:
        """Who speaks where a request names nobody."""
        ...

    async def actor(self, owner: Owner, character_id: str, *, filmed: bool) -> Actor | None:
        """Return a character's actor, its portrait where it is `filmed`; None when there is no such character."""
        ...
