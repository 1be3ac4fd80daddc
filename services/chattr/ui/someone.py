"""A character as the page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chatacter.client.api import Api
from chattr.ui.turn import data_url

# So many portraits are fetched for the gallery; further characters show their initial.
MOST_PORTRAITS: Final = 24


@dataclass(frozen=True, slots=True)
class Someone:
    """Somebody to talk with; `portrait` is a data URL."""

    id: str
    name: str
    line: str
    portrait: str | None

    @classmethod
    def of(cls, character: Mapping[str, Any], portrait: str | None) -> "Someone":
        """Read a character as the API shows it."""
        line = str(character.get("description") or "")
        return cls(str(character["id"]), str(character["name"]), line, portrait)

    def card(self) -> dict[str, str | None]:
        """Describe it to the browser."""
        return {"id": self.id, "name": self.name, "line": self.line, "portrait": self.portrait}


async def portrait(api: Api, character: Mapping[str, Any]) -> str | None:
    """Return a character's picture as a data URL."""
    if not character.get("portrait"):
        return None
    found = await api.portrait(str(character["id"]))
    return data_url(*found) if found else None
