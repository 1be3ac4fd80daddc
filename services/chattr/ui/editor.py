"""The sheet in which a character is made, changed, brought in and kept as a card."""

import base64
import time
from typing import Any, Final

import orjson

from chatacter.client.api import Api
from chatacter.client.characters import CardForm
from chatacter.client.errors import ClientError, Refused
from chatacter.contracts.speech import Voice
from chattr.ui import words
from chattr.ui.seat import Seat
from chattr.ui.someone import portrait
from chattr.ui.studio import named_model
from chattr.ui.turn import data_url

CHANGED_MEANWHILE: Final = 412
FORMS: Final[dict[str, CardForm]] = {"png": "png", "charx": "charx", "json": "json"}
ELSEWHERE: Final = "Somebody else has changed this character meanwhile. Close this, open it again, and change it anew."
IMPORTED: Final = "Imported. {}"

Shown = dict[str, Any]


class Editor:
    """One thing that is done in the sheet; `shown` describes to the browser what is there then."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._shown: Shown = {"open": True, "fresh": False, "told": "", "file": None}

    async def do(self, deed: str, character: str, event: Any) -> Shown:
        """Do it; what went wrong is told in a sentence, and what was typed stays."""
        try:
            async with self._seat.api() as api:
                await self._do(api, deed, character, event)
        except ClientError as error:
            stale = isinstance(error, Refused) and error.status == CHANGED_MEANWHILE
            self._shown["told"] = ELSEWHERE if stale else words.told_of(error)
        return {**self._shown, "at": time.time()}

    async def _do(self, api: Api, deed: str, character: str, event: Any) -> None:
        if deed == "new":
            self._shown |= {"fresh": True, "new": True, "character": {}, "portrait": None}
            self._shown["voices"] = await voices(api)
        elif deed == "edit" and self._seat.character is not None:
            await self._show(api, self._seat.character.id)
        elif deed == "save":
            await self._save(api, character, event)
        elif deed == "import":
            made = await api.take_card(base64.b64decode(str(event.data)))
            await self._seat.recast(made["id"])
            await self._show(api, made["id"])
            self._shown["told"] = IMPORTED.format(" ".join(made["warnings"])).strip()
        elif deed == "export":
            data, name = await api.card(character, FORMS[str(event.form)])
            self._shown["file"] = {"name": name, "source": data_url(data, "application/octet-stream")}
        elif deed == "delete":
            await api.delete_character(character)
            await self._seat.recast(None)
            self._shown["open"] = False

    async def _save(self, api: Api, character: str, event: Any) -> None:
        fields = orjson.loads(str(event.fields))
        if character:
            found, _ = await api.character(character)
            await api.replace_character({**found, **fields}, str(event.etag))
        else:
            character = (await api.create_character(fields))["id"]
        kind, _, picture = str(event.picture).partition(",")
        if picture:
            await api.set_portrait(character, base64.b64decode(picture), kind)
        await self._seat.recast(character)
        self._shown["open"] = False

    async def _show(self, api: Api, character: str) -> None:
        found, etag = await api.character(character)
        self._shown |= {
            "fresh": True,
            "new": False,
            "character": found,
            "etag": etag,
            "portrait": await portrait(api, found),
            "voices": await voices(api),
        }


async def voices(api: Api) -> list[Shown]:
    """List the voices that there are, one's own by name; none where nothing speaks."""
    try:
        found = await api.voice_list()
    except Refused:
        return []
    return [{"id": voice.id, "label": label(voice), "model": named_model(voice, found)} for voice in found.data]


def label(voice: Voice) -> str:
    """Say how a voice is called in the sheet."""
    return voice.id if voice.kind == "built_in" else f"{voice.name} ({voice.kind})"
