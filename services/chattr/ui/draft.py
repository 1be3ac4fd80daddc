"""A conversation that nobody has begun: shown as it would open, and stored with the first thing that is said in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from chatacter.client.api import Api
from chatacter.client.errors import Refused
from chattr.ui.said import Said

GREETING: Final = "greeting-"
TAKEN: Final = 409


@dataclass(slots=True)
class Draft:
    """What a conversation would begin with; `body` begins it, in the same words."""

    body: dict[str, Any]
    greetings: list[Said]

    @classmethod
    async def of(cls, api: Api, body: Mapping[str, Any]) -> "Draft":
        """Ask how a conversation would open; nothing is stored. `body` is the API's, with an id or without."""
        shown = await api.preview({**body, "greeting": True})
        opened = [each for each in shown["messages"] if each["parent_id"] is None]
        ids = [f"{GREETING}{number}" for number in range(len(opened))]
        greetings = [
            Said("assistant", each["content"], name, ids, character=each.get("character") or "")
            for each, name in zip(opened, ids, strict=True)
        ]
        chosen = int(body.get("greeting") or 0)
        made = cls({**body, "id": shown["id"], "greeting": 0}, greetings)
        made.choose(f"{GREETING}{chosen}")
        return made

    async def begin(self, api: Api) -> dict[str, Any]:
        """Begin it; return it. Where it was begun already, in another tab, or unnoticed, it is another conversation."""
        try:
            return await api.begin(self.body)
        except Refused as refusal:
            if refusal.status != TAKEN:
                raise
        return await api.begin({name: each for name, each in self.body.items() if name != "id"})

    @property
    def id(self) -> str:
        """What the conversation will be called."""
        return str(self.body["id"])

    @property
    def cast(self) -> list[str]:
        """The characters that will be in it."""
        return list(self.body["characters"])

    @property
    def said(self) -> list[Said]:
        """The greeting that is heard, if any."""
        return [self.greetings[self.body["greeting"]]] if self.greetings else []

    def choose(self, greeting: str) -> None:
        """Hear another greeting; one that is not there changes nothing."""
        names = [each.id for each in self.greetings]
        if greeting in names:
            self.body["greeting"] = names.index(greeting)
