"""The conversations with a character: which there are, and what is done with them."""

import base64
import time
from collections.abc import Mapping
from typing import Any, Final

from chatacter.client.conversations import TranscriptForm
from chatacter.client.errors import ClientError
from chattr.ui import words
from chattr.ui.seat import Seat
from chattr.ui.turn import data_url

MOST: Final = 60
# So much of what somebody said first names a conversation without a title.
FIRST_WORDS: Final = 80
SILENT: Final = "Nothing said yet"

Shown = dict[str, Any]


async def shelve(seat: Seat, event: Any) -> Shown:
    """Do what the browser asks for, and describe to it what is there now; what went wrong is told in a sentence."""
    did = Did(seat)
    told = ""
    try:
        told = await did.do(str(event.what), str(event.id), event)
    except ClientError as error:
        told = words.told_of(error)
    try:
        items = await listed(seat)
    except ClientError as error:
        items, told = [], told or words.told_of(error)
    who = seat.character
    return {
        "at": time.time(),
        "open": told != "" or did.stays,
        "told": told,
        "name": who.name if who else "",
        "current": seat.session,
        "items": items,
        "file": did.file,
    }


class Did:
    """One thing that is done. `stays`: the sheet stays open; `file`: what the browser keeps."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self.stays = True
        self.file: dict[str, str] | None = None

    async def do(self, deed: str, session: str, event: Any) -> str:
        """Do it; return what is to be told. Raises `ClientError`."""
        seat = self._seat
        if deed == "open":
            self.stays = False
            await seat.turn_to(session)
        elif deed == "rename":
            async with seat.api() as api:
                await api.change(session, title=str(event.title) or None)
        elif deed == "delete":
            async with seat.api() as api:
                await api.forget_conversation(session)
            if session == seat.session and seat.character is not None:
                await seat.face(seat.character.id)
        elif deed == "export":
            await self._give(session, str(event.form))
        elif deed == "import":
            return await self._take(str(event.data))
        return ""

    async def _give(self, session: str, form: str) -> None:
        wanted: TranscriptForm = "sillytavern" if form == "sillytavern" else "json"
        async with self._seat.api() as api:
            data, name = await api.transcript(session, wanted)
        self.file = {"name": name, "source": data_url(data, "application/octet-stream")}

    async def _take(self, data: str) -> str:
        who = self._seat.character
        if who is None:
            return ""
        async with self._seat.api() as api:
            made = await api.take_transcript(base64.b64decode(data), who.id)
        await self._seat.turn_to(made["id"])
        self.stays = False
        return "\n".join(made.get("warnings") or [])


async def listed(seat: Seat) -> list[Shown]:
    """List the conversations with this character, the newest first. Where nothing was said, only the one that is on."""
    if seat.character is None:
        return []
    async with seat.api() as api:
        found = await api.conversations(seat.character.id, MOST)
    return [
        {"id": each["id"], "title": title(each) or SILENT, "when": each["created_at"]}
        for each in found
        if title(each) or each["id"] == seat.session
    ]


def title(conversation: Mapping[str, Any]) -> str:
    """Return a conversation's title, else what the person said first in it; empty where that is nothing."""
    if conversation["title"]:
        return str(conversation["title"])
    first = " ".join(str(conversation.get("opening") or "").split())
    return first if len(first) <= FIRST_WORDS else f"{first[:FIRST_WORDS].rstrip()} …"
