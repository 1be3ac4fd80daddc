"""Somebody before the page: whom they talk with, what was said, and what is being made for them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError, Refused
from chatacter.client.sentences import speakable
from chatacter.contracts.video import MAX_PROMPT_CHARACTERS, Video
from chattr.ui import words
from chattr.ui.door import Door
from chattr.ui.turn import Line, Turn, data_url

Message = dict[str, str]

# So many portraits are fetched for the gallery; further characters show their initial.
MOST_PORTRAITS: Final = 24
LARGEST_FILM: Final = 48 * 1024 * 1024
TOO_LARGE: Final = "The film is too large to show here."
NOBODY: Final = "There is nobody to talk with."


@dataclass(frozen=True, slots=True)
class Someone:
    """A character as the page shows it; `portrait` is a data URL."""

    id: str
    name: str
    line: str
    greeting: str | None
    portrait: str | None

    def card(self) -> dict[str, str | None]:
        """Describe it to the browser."""
        return {"id": self.id, "name": self.name, "line": self.line, "portrait": self.portrait}


@dataclass(slots=True)
class Shoot:
    """A film of the last reply, and how far it is."""

    state: str
    told: str = ""
    percent: int = 0
    id: str = ""
    source: str = ""
    name: str = ""
    label: str = ""

    def shown(self) -> dict[str, Any]:
        """Describe it to the browser."""
        return {each: getattr(self, each) for each in ("state", "told", "percent", "id", "source", "name", "label")}


@dataclass(slots=True, eq=False)
class Seat:
    """The state of one visit. Calls raise `ClientError`."""

    door: Door
    key: str | None
    cast: list[Someone] = field(default_factory=list)
    character: Someone | None = None
    sessions: dict[str, str] = field(default_factory=dict)
    """Each character's conversation."""
    messages: list[Message] = field(default_factory=list)
    health: Mapping[str, Any] = field(default_factory=dict)
    speech_model: str | None = None
    turn: Turn | None = None
    turns: int = 0
    shoot: Shoot | None = None

    def api(self) -> AbstractAsyncContextManager[Api]:
        """Connect to the public API, as the visitor."""
        return self.door.api(self.key)

    async def open(self, wanted: str | None) -> None:
        """Find out who is there and what works, and sit down before somebody."""
        await self.door.enter(self.key)
        async with self.api() as api:
            found = await api.characters()
            self.health = await api.health()
            self.speech_model = await speech_model(api)
            pictures = await asyncio.gather(*(portrait(api, each) for each in found[:MOST_PORTRAITS]))
        faces = dict(zip((each["id"] for each in found), pictures, strict=False))
        self.cast = [someone(each, faces.get(each["id"])) for each in found]
        if not self.cast:
            raise ClientError(NOBODY)
        wishes = (wanted, self.health.get("default_character"), self.cast[0].id)
        chosen = next(each for wish in wishes for each in self.cast if each.id == wish)
        await self.face(chosen.id)

    async def face(self, character: str, *, anew: bool = False) -> None:
        """Talk with somebody, going on with a conversation where there is one, unless `anew`."""
        await self.leave()
        self.character = next((each for each in self.cast if each.id == character), self.cast[0])
        self.turn, self.shoot, self.messages = None, None, []
        session = self.sessions.pop(self.character.id, None)
        if session is not None and not anew:
            await self._remember(self.character.id, session)
        if not self.messages and self.character.greeting:
            self.messages = [{"role": "assistant", "content": self.character.greeting}]

    async def _remember(self, character: str, session: str) -> None:
        try:
            async with self.api() as api:
                known = await api.history(session)
        except Refused:
            return  # it was deleted, or is somebody else's: a new one begins
        self.sessions[character] = session
        self.messages = [{"role": each["role"], "content": each["content"]} for each in known["messages"]]

    def shown(self) -> list[Message]:
        """Return what was said as the conversation shows it."""
        return [{**message, "content": harmless(message["content"])} for message in self.messages]

    @property
    def last_reply(self) -> str:
        """What was said last by the character, as it can be spoken; empty before that."""
        if self.character is None or self.character.id not in self.sessions:
            return ""  # a greeting alone was not said by a model
        if self.messages[-1]["role"] != "assistant":
            return ""
        return speakable(self.messages[-1]["content"])

    @property
    def can_film(self) -> bool:
        """Whether there is something to film, and no film of it being made."""
        busy = self.shoot is not None and self.shoot.state == "working"
        return bool(self.last_reply) and not busy

    async def leave(self) -> None:
        """Stop what is being said."""
        if self.turn is not None:
            await self.turn.stop()

    async def say(self, text: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Say something; yield the turn each time it has more to show. Something new said meanwhile ends this one."""
        await self.leave()
        if self.character is None:
            raise ClientError(NOBODY)
        who = self.character.id
        line = Line(text, who, self.sessions.get(who), self.speech_model if aloud else None)
        self.turn = turn = Turn(self.api, line)
        self.turns += 1
        self.messages += [{"role": "user", "content": text}, {"role": "assistant", "content": ""}]
        said = self.messages[-1]
        try:
            async with aclosing(turn.changes()) as changes:
                async for _ in changes:
                    if turn is not self.turn:
                        return
                    said["content"] = turn.text
                    if turn.session is not None:
                        self.sessions[who] = turn.session
                    yield turn
        finally:
            await turn.stop()
            if not turn.text and said in self.messages:
                self.messages.remove(said)

    async def film(self) -> AsyncGenerator[Shoot]:
        """Film the last reply; yield how far it is. Closing this early removes the order from the server."""
        text = self.last_reply[:MAX_PROMPT_CHARACTERS]
        if self.character is None or not text:
            raise ClientError(words.NOTHING_TO_FILM)
        character = self.character
        self.shoot = shoot = Shoot("working", words.phase("queued"))
        yield shoot
        try:
            async with self.api() as api:
                video = await api.film(text, character.id)
                try:
                    async with aclosing(api.filmed(video)) as states:
                        async for state in states:
                            video = state
                            shoot.told, shoot.percent = words.phase(state.phase), state.progress
                            yield shoot
                    await self._finish(api, video, shoot, character)
                finally:
                    if video.status not in {"completed", "failed"}:
                        await api.forget_film(video.id)
        except ClientError:
            shoot.state = "failed"
            raise
        yield shoot

    async def _finish(self, api: Api, video: Video, shoot: Shoot, character: Someone) -> None:
        if video.error is not None:
            raise ClientError(video.error.message)
        data = bytearray()
        async with aclosing(api.content(video.id)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) > LARGEST_FILM:
                    raise ClientError(TOO_LARGE)
        shoot.source = data_url(bytes(data), "video/webm")
        shoot.id, shoot.name = video.id, f"{character.id}.webm"
        shoot.label = f"Film of {character.name}"
        shoot.state = "ready"


def harmless(text: str) -> str:
    """Keep Markdown's emphasis and lists; make its pictures, and HTML, the characters that they are written with."""
    return text.replace("<", "\\<").replace("![", "!\\[")


async def speech_model(api: Api) -> str | None:
    """Return what speaks here; None where nothing does."""
    try:
        return await api.speech_model()
    except Refused:
        return None


async def portrait(api: Api, character: Mapping[str, Any]) -> str | None:
    """Return a character's picture as a data URL."""
    if not character.get("portrait"):
        return None
    found = await api.portrait(str(character["id"]))
    return data_url(*found) if found else None


def someone(character: Mapping[str, Any], picture: str | None) -> Someone:
    """Read a character as the API shows it."""
    greetings = character.get("greetings") or []
    return Someone(
        id=str(character["id"]),
        name=str(character["name"]),
        line=str(character.get("description") or ""),
        greeting=str(greetings[0]) if greetings else None,
        portrait=picture,
    )
