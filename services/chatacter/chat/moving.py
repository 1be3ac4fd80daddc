"""`chatacter export` and `chatacter import`: a character with all that was said with it, as one ZIP file.

In it lie `archive.json` (what this is), `card.charx` (the character, with portrait and voice) and `memories.json` (what
`GET /api/v1/memories/export` returns). A file from elsewhere is read entry by entry, within bounds; nothing of it is
unpacked to disk, and what it holds is judged by the server.
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

T = TypeVar("T")

ARCHIVE: Final = "archive.json"
CARD: Final = "card.charx"
MEMORIES: Final = "memories.json"
MARK: Final = {"object": "chatacter.archive", "version": 1}
# What Python's reader raises for a ZIP that is not as it should be, beside what it raises for wrong arguments.
DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError)
MOST: Final = {ARCHIVE: 4_096, CARD: 64 * 1024 * 1024, MEMORIES: 256 * 1024 * 1024}

NO_ARCHIVE: Final = "{file} is no archive of Chatacter's, or it is damaged."
TOO_LARGE: Final = "{file} holds more than an archive may."
NO_FILE: Final = "{file} cannot be read."
THERE: Final = "{file} is there already; name another."

Url = Annotated[str, typer.Option(envvar="CHATACTER_URL", help="Where Chatacter answers.")]
Key = Annotated[str | None, typer.Option(envvar="CHATACTER_API_KEY", help="A key, where the server wants one.")]
HERE: Final = "http://localhost:8000"


def export(
    character: Annotated[str, typer.Argument(help="Whose card, conversations and memories are taken along.")],
    file: Annotated[Path | None, typer.Argument(help="The file to write; CHARACTER.zip unless it is named.")] = None,
    *,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Write a character, and all that you have with it, to a file."""
    target = file or Path(f"{character}.zip")
    if target.exists():
        raise InvalidInput(THERE.format(file=target))
    packed = done(lambda api: taken(api, character), url, api_key)
    target.write_bytes(packed)
    typer.echo(f"{target}: {len(packed)} bytes")


def import_(
    file: Annotated[Path, typer.Argument(help="A file that `chatacter export` wrote.")],
    *,
    character: Annotated[str | None, typer.Option("--as", help="Its id here; its own unless named.")] = None,
    url: Url = HERE,
    api_key: Key = None,
) -> None:
    """Put down what `export` wrote: the character, where there is none of its id, and all that you had with it."""
    parts = opened(file)
    name = character or str(parts[ARCHIVE].get("character"))
    arrived = done(lambda api: put(api, parts, name), url, api_key)
    counts = ", ".join(f"{arrived[kind]} {kind}" for kind in ("conversations", "messages", "facts", "amendments"))
    typer.echo(f"{name}: {counts}")
    for one in arrived["refused"]:
        typer.echo(f"left out {one['id']}: {one['why']}", err=True)


async def taken(api: Api, character: str) -> bytes:
    """Return the archive of a character."""
    (card, _), memories = await api.card(character, "charx"), await api.memories(character)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(ARCHIVE, json.dumps({**MARK, "character": character}))
        archive.writestr(CARD, card)
        archive.writestr(MEMORIES, json.dumps(memories, ensure_ascii=False))
    return packed.getvalue()


async def put(api: Api, parts: dict[str, Any], character: str) -> dict[str, Any]:
    """Put an archive's parts down; a character that is there already stays as it is."""
    try:
        await api.take_card(parts[CARD], character)
    except Refused as refusal:
        if refusal.status != 409:
            raise
    return await api.take_memories(parts[MEMORIES], character)


def opened(file: Path) -> dict[str, Any]:
    """Read an archive's parts. Raises `InvalidInput`."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts: dict[str, Any] = {name: content(archive, name, file) for name in MOST}
        parts |= {name: json.loads(parts[name]) for name in (ARCHIVE, MEMORIES)}
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
