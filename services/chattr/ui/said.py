"""What was said, as the page shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(slots=True, eq=False)
class Said:
    """One message of the branch that is shown. Without an id it is not stored, and nothing can be done with it yet."""

    role: Literal["user", "assistant"]
    content: str
    id: str = ""
    siblings: Sequence[str] = ()
    """What else was said in its place, itself among them, oldest first."""
    status: str = "complete"
    character: str = ""
    """Who said it, where that is known."""

    @classmethod
    def of(cls, message: Mapping[str, Any]) -> "Said":
        """Read a message as the API shows it."""
        siblings = message.get("siblings") or [message["id"]]
        status, who = message.get("status") or "complete", message.get("character") or ""
        return cls(message["role"], message["content"], message["id"], siblings, status, who)

    def shown(self) -> dict[str, Any]:
        """Describe it to the browser."""
        return {
            "id": self.id,
            "role": self.role,
            "content": self.content,
            "siblings": list(self.siblings),
            "index": self.siblings.index(self.id) if self.id in self.siblings else 0,
            "status": self.status,
            "character": self.character,
        }
