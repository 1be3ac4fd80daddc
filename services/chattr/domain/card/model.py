"""What a card is: its JSON as it came, and the files that came with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Version = Literal["v1", "v2", "v3"]
"""Of the Character Card specification."""
Form = Literal["json", "png", "charx"]
"""Of the file that carries a card."""
OWN: Final = "chatacter"
"""Our place within `extensions`."""


@dataclass(frozen=True, slots=True)
class Card:
    """A card with nothing taken away. What is within is never changed; a change makes another card."""

    document: dict[str, Any]
    """The JSON of `json_text.parse`: V1, V2 or V3, with all that is unknown in it."""
    picture: bytes | None = None
    """The PNG or APNG that carried it, without the chunks that were the card."""
    cover: bytes = b""
    """The JPEG that stood before a CHARX."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """What else came along, by the URI that names it: `embeded://PATH` or `__asset:PATH`."""


def own_part(data: dict[str, Any]) -> dict[str, Any]:
    """Return what stands in our place within `extensions`."""
    extensions = data.get("extensions")
    found = extensions.get(OWN) if isinstance(extensions, dict) else None
    return found if isinstance(found, dict) else {}


def with_own_part(data: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """Put something in our place; nothing removes it."""
    found = data.get("extensions")
    extensions = dict(found) if isinstance(found, dict) else {}
    if part:
        extensions[OWN] = part
    elif isinstance(extensions.get(OWN), dict):
        del extensions[OWN]
    return {**data, "extensions": extensions}
