"""`chatacter export` and `chatacter import`: a character with all that was said with it, as one ZIP file.

In it lie `archive.json` (what this is), `card.charx` (the character, with its portrait and the name of its voice),
`memories.json` (what `GET /api/v1/memories/export` returns) and, where it speaks with a voice of one's own,
`voice.json` (what `GET /v1/audio/voices/{voice_id}/export` returns). A file from elsewhere is read entry by entry,
within bounds; nothing of it is unpacked to disk, and what it holds is judged by the server.
"""

import asyncio
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from chatacter.chassis.errors import InvalidInput
from chatacter.chat.command import told
from chatacter.client.api import Api
from chatacter.client.errors import ClientError, Refused
from chatacter.contracts.speech import Voice

T = TypeVar("T")

ARCHIVE: Final = "archive.json"
CARD: Final = "card.charx"
MEMORIES: Final = "memories.json"
VOICE: Final = "voice.json"
# What the names of voices of one's own begin with; all others came with their models.
OWN: Final = "voice_"
MARK: Final = {"object": "chatacter.archive", "version": 1}
# What Python's reader raises for a ZIP that is not as it should be, beside what it raises for wrong arguments.
DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError)
MOST: Final = {ARCHIVE: 4_096, CARD: 64 * 1024 * 1024, MEMORIES: 256 * 1024 * 1024, VOICE: 96 * 1024 * 1024}

NO_ARCHIVE: Final = "{file} is no archive of Chatacter's, or it is damaged."
TOO_LARGE: Final = "{file} holds more than an archive may."
NO_FILE: Final = "{file} cannot be read."
THERE: Final = "{file} is there already; name another."
UNVOICED: Final = "voice {voice}: {why} Nothing was {done}; --without-voice leaves the voice out."
GONE: Final = "left out voice {voice}: {why}"
UNUSED: Final = "voice {voice} is there, and {character}, who was before and stays as it was, does not speak with it."
CARDLESS: Final = "{why} The voice {voice} is there already, and nobody speaks with it yet."

Url = Annotated[str, typer.Option(envvar="CHATACTER_URL", help="Where Chatacter answers.")]
Key = Annotated[str | None, typer.Option(envvar="CHATACTER_API_KEY", help="A key, where the server wants one.")]
Voiceless = Annotated[bool, typer.Option("--without-voice", help="Leave the character's own voice out.")]
HERE: Final = "http://localhost:8000"


def export(
    character: Annotated[str, typer.Argument(help="Whose card, conversations and memories are taken along.")],
    file: Annotated[Path | None, typer.Argument(help="The file to write; CHARACTER.zip unless it is named.")] = None,
    *,
    without_voice: Voiceless = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Write a character, its own voice, and all that you have with it, to a file."""
    target = file or Path(f"{character}.zip")
    if target.exists():
        raise InvalidInput(THERE.format(file=target))
    packed = done(lambda api: taken(api, character, voice=not without_voice), url, api_key)
    target.write_bytes(packed)
    typer.echo(f"{target}: {len(packed)} bytes")


def import_(
    file: Annotated[Path, typer.Argument(help="A file that `chatacter export` wrote.")],
    *,
    character: Annotated[str | None, typer.Option("--as", help="Its id here; its own unless named.")] = None,
    without_voice: Voiceless = False,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Put down what `export` wrote: the character, where there is none of its id, and all that you had with it."""
    parts = opened(file)
    if without_voice:
        parts.pop(VOICE, None)
    name = character or str(parts[ARCHIVE].get("character"))
    arrived = done(lambda api: put(api, parts, name), url, api_key)
    counts = ", ".join(f"{arrived[kind]} {kind}" for kind in ("conversations", "messages", "facts", "amendments"))
    typer.echo(f"{name}: {counts}")
    for one in arrived["refused"]:
        typer.echo(f"left out {one['id']}: {one['why']}", err=True)


async def taken(api: Api, character: str, *, voice: bool) -> bytes:
    """Return the archive of a character."""
    (card, _), memories = await api.card(character, "charx"), await api.memories(character)
    fields, _ = await api.character(character)
    mark = {**MARK, "character": character, "speech_model": fields.get("speech_model")}
    own = await voice_of(api, fields.get("voice"), fields.get("speech_model")) if voice else None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ARCHIVE, json.dumps(mark))
        archive.writestr(CARD, card)
        archive.writestr(MEMORIES, json.dumps(memories, ensure_ascii=False))
        if own is not None:
            archive.writestr(VOICE, json.dumps(own))
    return packed.getvalue()


async def voice_of(api: Api, voice: str | None, speech_model: str | None) -> dict[str, Any] | None:
    """Return a voice of one's own; None for others, and for one that is gone or whose consent was revoked."""
    if voice is None or not voice.startswith(OWN):
        return None
    try:
        return await api.voice_archive(voice, speech_model)
    except Refused as refusal:
        if refusal.status != 404:
            raise unvoiced(refusal, voice, "written") from refusal
        typer.echo(GONE.format(voice=voice, why=refusal.message), err=True)
        return None


async def put(api: Api, parts: dict[str, Any], character: str) -> dict[str, Any]:
    """Put an archive's parts down; a character that is there already stays as it is.

    The voice comes first: where it is refused, nothing else was done.
    """
    voice = await voiced(api, parts) if VOICE in parts else None
    named = (voice.id, voice.model) if voice else (None, None)
    try:
        await api.take_card(parts[CARD], character, *named)
    except Refused as refusal:
        if refusal.status != 409:
            raise left(refusal, voice) from refusal
        if voice is not None and not await speaks_with(api, character, voice):
            typer.echo(UNUSED.format(voice=voice.id, character=character), err=True)
    return await api.take_memories(parts[MEMORIES], character)


async def voiced(api: Api, parts: dict[str, Any]) -> Voice:
    """Put an archive's voice down."""
    try:
        return await api.take_voice(parts[VOICE], parts[ARCHIVE].get("speech_model"))
    except Refused as refusal:
        named = parts[VOICE].get("id") if isinstance(parts[VOICE], dict) else None
        raise unvoiced(refusal, str(named), "put down") from refusal


async def speaks_with(api: Api, character: str, voice: Voice) -> bool:
    """Whether a character that is there speaks with a voice."""
    fields, _ = await api.character(character)
    return fields.get("voice") == voice.id


def left(refusal: Refused, voice: Voice | None) -> Refused:
    """Say of what was refused that a voice was put down before it."""
    why = CARDLESS.format(why=refusal.message, voice=voice.id) if voice else refusal.message
    return Refused(why, status=refusal.status, code=refusal.code, retry_after=refusal.retry_after)


def unvoiced(refusal: Refused, voice: str, done: str) -> Refused:
    """Say that it was the voice that was refused, and what can be done."""
    why = UNVOICED.format(voice=voice, why=refusal.message, done=done)
    return Refused(why, status=refusal.status, code=refusal.code, retry_after=refusal.retry_after)


def opened(file: Path) -> dict[str, Any]:
    """Read an archive's parts. Raises `InvalidInput`."""
    try:
        with zipfile.ZipFile(file) as archive:
            there = [name for name in MOST if name != VOICE or VOICE in archive.namelist()]
            parts: dict[str, Any] = {name: content(archive, name, file) for name in there}
        parts |= {name: json.loads(parts[name]) for name in there if name != CARD}
    except OSError as error:
        raise InvalidInput(NO_FILE.format(file=file)) from error
    except (*DAMAGE, KeyError, ValueError, RecursionError, NotImplementedError, RuntimeError) as error:
        raise InvalidInput(NO_ARCHIVE.format(file=file)) from error
    mark = parts[ARCHIVE]
    if not isinstance(mark, dict) or any(mark.get(name) != value for name, value in MARK.items()):
        raise InvalidInput(NO_ARCHIVE.format(file=file))
    return parts


def content(archive: zipfile.ZipFile, name: str, file: Path) -> bytes:
    """Read one entry, no more of it than is allowed, whatever the directory says of its size."""
    with archive.open(name) as entry:
        data = entry.read(MOST[name] + 1)
    if len(data) > MOST[name]:
        raise InvalidInput(TOO_LARGE.format(file=file))
    return data


def done(work: Callable[[Api], Coroutine[Any, Any, T]], url: str, api_key: str | None) -> T:
    """Do something with a server; what goes wrong is a sentence."""

    async def asked() -> T:
        async with Api.connected(url, api_key) as api:
            return await work(api)

    try:
        return asyncio.run(asked())
    except ClientError as error:
        raise InvalidInput(told(error, url, has_key=api_key is not None)) from error
