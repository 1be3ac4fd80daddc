"""One conversation in a terminal: messages, replies, their sound and film."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from chatacter.chat.sound import Sink, kept, played
from chatacter.chat.terminal import Terminal
from chatacter.client.api import Api
from chatacter.client.errors import ClientError, Refused
from chatacter.client.events import CANCELLED, COMPLETED, CREATED, FAILED, ReplyEvent
from chatacter.client.sentences import Sentences, filmable, plain, speakable
from chatacter.contracts.video import MAX_PROMPT_CHARACTERS, VIDEO_MEDIA_TYPES, Video, VideoFormat

CANCEL_SECONDS: Final = 5.0
NOTHING_SAID: Final = "Nothing was said yet that could be {}."
SHORTENED: Final = "The reply is long; only its first {} characters are filmed."
CANCELLED_NOTE: Final = "(cancelled)"
NOTHING_THERE: Final = "Nothing was said yet in this conversation."
MOST_CONVERSATIONS: Final = 20

Asking = Callable[[Api], AsyncGenerator[ReplyEvent]]


class Chat:
    """A person, a character and what they said. Raises `ClientError` for what cannot be done."""

    def __init__(self, api: Api, terminal: Terminal, *, session: str | None = None) -> None:
        self._api = api
        self._terminal = terminal
        self._cast: list[dict[str, Any]] = []
        self._reply_id = ""
        self.session = session
        self.character: dict[str, Any] = {}
        self.last_reply = ""
        self.aloud = False

    @property
    def name(self) -> str:
        """The character's name."""
        return str(self.character["name"])

    async def open(self, wanted: str | None) -> None:
        """Find out who can be talked with, and choose one: the conversation's own, where one is continued."""
        self._cast = await self._api.characters()
        if self.session is not None and wanted is None:
            wanted = await self._whose(self.session)
        if wanted is None:
            wanted = str((await self._api.health()).get("default_character") or self._cast[0]["id"])
        self.switch(wanted, keep_session=True)

    async def _whose(self, session: str) -> str | None:
        try:
            return str((await self._api.history(session))["character"])
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def switch(self, character: str, *, keep_session: bool = False) -> None:
        """Talk with somebody else; a conversation is with one character, so a new one begins."""
        found = next((each for each in self._cast if character in (each["id"], each["name"])), None)
        if found is None:
            known = ", ".join(str(each["id"]) for each in self._cast)
            raise ClientError(f"There is no character {character!r}. Known: {known}.")
        self.character = found
        if not keep_session:
            self.restart()

    def restart(self) -> None:
        """Begin a new conversation with the same character."""
        self.session, self.last_reply = None, ""

    def characters(self) -> list[str]:
        """Describe everybody, a line each."""
        return [
            f"{'*' if each['id'] == self.character['id'] else ' '} {each['id']:12} {each['name']}"
            + (f": {each['description']}" if each.get("description") else "")
            for each in self._cast
        ]

    async def history(self) -> list[tuple[str, str]]:
        """Return who said what, oldest first."""
        if self.session is None:
            return []
        messages = (await self._api.history(self.session))["messages"]
        return [("you" if each["role"] == "user" else self.name, str(each["content"])) for each in messages]

    async def say(self, message: str, sound: Path | None = None) -> bool:
        """Say something and show the reply as it comes; False when it was cancelled or failed.

        Cancelling this task once cancels the reply, on the server too; what was said so far is kept.
        """
        character, session = str(self.character["id"]), self.session
        return await self._hear(lambda api: api.say(message, character, session), sound)

    async def again(self) -> bool:
        """Get another reply to what was said last; as `say`."""
        session, last = await self._last()
        return await self._hear(lambda api: api.regenerate(session, last["id"]))

    async def go_on(self) -> bool:
        """Have the last reply go on where it stopped; as `say`."""
        session, last = await self._last()
        return await self._hear(lambda api: api.go_on(session, last["id"]))

    async def say_instead(self, message: str) -> bool:
        """Say something else in the place of what one said last; as `say`."""
        session, last = await self._last("user")
        return await self._hear(lambda api: api.say_instead(session, last["id"], message))

    async def swipe(self) -> tuple[str, str]:
        """Go to the next version of the last message; return which it is, and what it says."""
        session, last = await self._last()
        siblings = last["siblings"]
        at = (last["index"] + 1) % len(siblings)
        await self._api.change(session, head_id=siblings[at])
        messages = (await self._api.history(session))["messages"]
        return f"{at + 1}/{len(siblings)}", next(
            str(each["content"]) for each in messages if each["id"] == siblings[at]
        )

    async def conversations(self) -> list[dict[str, Any]]:
        """Return the newest conversations with this character."""
        return await self._api.conversations(str(self.character["id"]), MOST_CONVERSATIONS)

    async def turn_to(self, session: str) -> None:
        """Go on with another conversation with this character."""
        messages = (await self._api.history(session))["messages"]
        self.session = session
        self.last_reply = next((str(each["content"]) for each in messages[::-1] if each["role"] == "assistant"), "")

    async def _last(self, role: str = "") -> tuple[str, dict[str, Any]]:
        """Return the conversation, and what was said last in it, by anybody or in this role."""
        messages = (await self._api.history(self.session))["messages"] if self.session else []
        last = next((each for each in messages[::-1] if role in ("", each["role"])), None)
        if last is None or self.session is None:
            raise ClientError(NOTHING_THERE)
        return self.session, last

    async def _hear(self, ask: Asking, sound: Path | None = None) -> bool:
        self._reply_id, self.last_reply = "", ""
        work = asyncio.create_task(self._reply(ask, sound))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if work.done() or current is None:
                raise
            current.uncancel()
            return await self._cancelled(work)

    async def _cancelled(self, work: "asyncio.Task[bool]") -> bool:
        try:
            async with asyncio.timeout(CANCEL_SECONDS):
                if self._reply_id:
                    await self._api.cancel(self._reply_id)
                    await asyncio.wait([work], timeout=CANCEL_SECONDS / 2)
        except (ClientError, TimeoutError):
            self._terminal.note("The server could not be told to stop; the reply goes on there.")
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        self._terminal.note(CANCELLED_NOTE)
        return False

    async def _reply(self, ask: Asking, sound: Path | None) -> bool:
        self._terminal.speaker(self.name)
        ending: ReplyEvent | None = None
        async with (
            self._voiced(sound) as heard,
            aclosing(ask(self._api)) as events,
        ):
            async for event in events:
                if event.type == CREATED:
                    self._reply_id = event.data["reply_id"]
                    self.session = event.data.get("conversation_id") or self.session
                    self.last_reply = event.data.get("begun") or ""
                    self._terminal.text(self.last_reply)
                self._terminal.text(event.text)
                self.last_reply += event.text
                heard.text(event.text)
                ending = event
            self._reply_id = ""  # what is still to be heard needs no word to the server
            self._terminal.end_line()
            heard.ended(cancelled=ending is None or ending.type == CANCELLED)
        return self._told(ending)

    def _told(self, ending: ReplyEvent | None) -> bool:
        """Say how a reply ended, where that was not well."""
        if ending is None or ending.type == CANCELLED:
            return False
        if ending.type == FAILED:
            raise ClientError(str(ending.data.get("message") or "The reply failed."))
        for sentence in ending.data.get("told") or []:
            self._terminal.note(f"({sentence})")
        return ending.type == COMPLETED

    @asynccontextmanager
    async def _voiced(self, file: Path | None) -> AsyncIterator["Voice"]:
        """Speak the reply beside its text, if it shall be heard. A voice that fails is told; the text goes on."""
        if file is None and not self.aloud:
            yield Voice(None)
            return
        voice = Voice(asyncio.Queue())
        speaking = asyncio.create_task(self._speak(voice, kept(file) if file is not None else played()))
        try:
            yield voice
            await speaking
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)

    async def _speak(self, voice: "Voice", place: AbstractAsyncContextManager[Sink]) -> None:
        try:
            model = await self._api.speech_model()
            async with place as sink:
                async for sentence in voice.sentences():
                    sink.begin()
                    await self._speak_into(sink, sentence, model)
        except ClientError as error:
            self._terminal.note(f"(no sound: {error.message})")

    async def _speak_into(self, sink: Sink, text: str, model: str) -> None:
        spoken = self._api.speak(text, voice=str(self.character["id"]), model=model, audio_format=sink.audio_format)
        async with aclosing(spoken) as chunks:
            async for chunk in chunks:
                await sink.write(chunk)

    async def write_sound(self, file: Path) -> None:
        """Write the last reply's sound into a file. Raises `ClientError`."""
        text = speakable(self.last_reply)
        if not text:
            raise ClientError(NOTHING_SAID.format("heard"))
        model = await self._api.speech_model()
        async with kept(file) as sink:
            await self._speak_into(sink, text, model)

    async def film(self, file: Path) -> bool:
        """Film the last reply into a file, showing how far it is; False when it was cancelled.

        Cancelling this task once removes the film from the server.
        """
        text = filmable(self.last_reply, MAX_PROMPT_CHARACTERS)
        if not text:
            raise ClientError(NOTHING_SAID.format("filmed"))
        if len(plain(self.last_reply)) > MAX_PROMPT_CHARACTERS:
            self._terminal.note(SHORTENED.format(MAX_PROMPT_CHARACTERS))
        kind = film_format(file)
        video = await self._api.film(text, str(self.character["id"]), kind)
        try:
            video = await self._watch(video)
        except asyncio.CancelledError:
            if (current := asyncio.current_task()) is None or current.uncancel():
                raise
            await self._api.forget_film(video.id)
            self._terminal.note(CANCELLED_NOTE)
            return False
        if video.error is not None:
            raise ClientError(video.error.message)
        await self._download(video, file)
        return True

    async def _watch(self, video: Video) -> Video:
        async with aclosing(self._api.filmed(video)) as states:
            async for state in states:
                self._terminal.progress("film", state.phase or state.status, state.progress)
                video = state
        return video

    async def _download(self, video: Video, file: Path) -> None:
        part = file.with_name(file.name + ".part")
        try:
            with part.open("wb") as out:
                async with aclosing(self._api.content(video.id)) as chunks:
                    async for chunk in chunks:
                        out.write(chunk)
            size = part.replace(file).stat().st_size
        except OSError as error:
            raise ClientError(f"{file} cannot be written ({error.strerror}).") from error
        finally:
            part.unlink(missing_ok=True)
        self._terminal.note(f"film: {file} ({size / 1000:.0f} kB, {video.seconds or '?'} s)")


class Voice:
    """Hands sentences to whoever speaks them, as the text comes. Without a queue nobody does."""

    def __init__(self, queue: "asyncio.Queue[str | None] | None") -> None:
        self._queue = queue
        self._cutter = Sentences()

    def text(self, piece: str) -> None:
        """Take text."""
        if self._queue is not None:
            for sentence in self._cutter.feed(piece):
                self._queue.put_nowait(sentence)

    def ended(self, *, cancelled: bool) -> None:
        """Say that no more comes; a cancelled reply's rest is not spoken."""
        if self._queue is None:
            return
        while cancelled and not self._queue.empty():
            self._queue.get_nowait()
        for sentence in [] if cancelled else self._cutter.finish():
            self._queue.put_nowait(sentence)
        self._queue.put_nowait(None)

    async def sentences(self) -> AsyncIterator[str]:
        """Yield what is to be spoken, in order."""
        if self._queue is not None:
            while (sentence := await self._queue.get()) is not None:
                yield sentence


def film_format(file: Path) -> VideoFormat:
    """Return the format that a film's file name asks for. Raises `ClientError`."""
    for known in VIDEO_MEDIA_TYPES:
        if file.suffix.lower() == f".{known}":
            return known
    raise ClientError(f"Films are written to files that end in .webm or .mp4, not {file.name!r}.")
