"""A cast of three: one with a portrait, one without, one whose voice is of another model."""

from chattr.domain.identity import Owner
from chattr.ports.casting import Actor, Picture

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"/>'


class FakeCasting:
    """Knows `ada`, who is the default, `voice_only` and `clara`."""

    default_id = "ada"

    async def actor(self, owner: Owner, character_id: str, *, filmed: bool) -> Actor | None:
        """Return a character's actor."""
        face = Picture(SVG, "image/svg+xml") if filmed else None
        if character_id == "ada":
            return Actor("ada", "af_heart", face)
        if character_id == "voice_only":
            return Actor("voice_only", "bm_george")
        if character_id == "clara":
            return Actor("clara", "Claribel Dervla", face, speech_model="xtts")
        return None
