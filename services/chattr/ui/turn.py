"""One thing said to a character: the reply's text as it comes, and its sound, sentence by sentence, beside it."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from dataclasses import dataclass
from typing import Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError
from chatacter.client.events import CANCELLED, CREATED, FAILED, TERMINAL, ReplyEvent
from chatacter.client.sentences import Sentences
from chatacter.contracts.speech import MEDIA_TYPES, AudioFormat

Connect = Callable[[], AbstractAsyncContextManager[Api]]
Asking = Callable[[Api], AsyncGenerator[ReplyEvent]]

# Browsers without exception play it, and each clip carries its mark as synthetic.
AUDIO_FORMAT: Final[AudioFormat] = "mp3"
# The browser redraws no more often than this; deltas in between are one change.
FRAME_SECONDS: Final = 0.08
FAILED_ANYHOW: Final = "The reply failed."
# So long a stopped reply may take to say how it was stored.
LAST_WORD_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Line:
    """What asks for the reply, and in whose voice it is spoken unless it says; `speech_model` None: in nobody's."""

    ask: Asking
    character: str
    speech_model: str | None
    begun: str = ""
    """The words that the reply goes on from; they are not spoken again."""


@dataclass(slots=True)
class Part:
    """One reply of a turn; in a group others may follow on it."""

    character: str
    text: str


class Turn:
    """Runs in the background; `changes` tells whenever there is more to show."""

    def __init__(self, connect: Connect, line: Line) -> None:
        self._connect = connect
        self._line = line
        self._sentences: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._written = asyncio.Event()
        self.session: str | None = None
        self.reply_id = ""
        self.parts = [Part(line.character, line.begun)]
        self.clips: list[str] = []
        self.writing = True
        self._stored = False
        self.settled = False
        """Whether the conversation holds by now what was said."""
        self.shown = False
        """Whether it is shown as the conversation holds it."""
        self.cancelled = False
        self.error: ClientError | None = None
        self.told: list[str] = []

    @property
    def text(self) -> str:
        """Everything that was said in it."""
        return "".join(part.text for part in self.parts)

    @property
    def done(self) -> bool:
        """Whether nothing more comes."""
        return self._work is not None and self._work.done()

    async def changes(self) -> AsyncGenerator[None]:
        """Begin, and yield each time there is something new; the last time when all is said and heard."""
        self._work = asyncio.create_task(self._run())
        self._work.add_done_callback(lambda _: self._changed.set())
        while not self.done:
            await self._changed.wait()
            self._changed.clear()
            yield
            await asyncio.sleep(FRAME_SECONDS)
        if not self._work.cancelled():
            self._work.result()
        yield

    async def stop(self) -> None:
        """End it: the reply on the server as well, and the sound that is still being made.

        The server has the last word, for what was said so far is kept.
        """
        if self._work is None or self._work.done():
            return
        if self.writing and self.reply_id:
            self.cancelled = True
            with suppress(ClientError, TimeoutError):
                async with self._connect() as api, asyncio.timeout(LAST_WORD_SECONDS):
                    await api.cancel(self.reply_id)
                    await self._written.wait()
        self.cancelled = self.cancelled or self.writing
        self.writing = False
        self._work.cancel()
        await asyncio.wait([self._work])

    async def _run(self) -> None:
        try:
            async with self._connect() as api, asyncio.TaskGroup() as group:
                if self._line.speech_model is not None:
                    group.create_task(self._speak(api, self._line.speech_model))
                await self._write(api)
        except* ClientError as errors:
            self.error = first_of(errors)
        finally:
            self.writing = False
            self._written.set()

    async def _write(self, api: Api) -> None:
        cutter = Sentences()
        async with aclosing(self._line.ask(api)) as events:
            async for event in events:
                self._take(event)
                over = event.type in TERMINAL
                for sentence in [*cutter.feed(event.text), *(cutter.finish() if over and not self.cancelled else ())]:
                    self._sentences.put_nowait((sentence, self.parts[-1].character))
                cutter = Sentences() if over else cutter
                self._changed.set()
        self._sentences.put_nowait(None)
        self.settled = self._stored
        self.writing = False
        self._written.set()
        self._changed.set()

    def _take(self, event: ReplyEvent) -> None:
        if event.type == CREATED:
            if self.reply_id:  # somebody else of a group goes on
                self.parts.append(Part("", ""))
            self.reply_id = event.data["reply_id"]
            self.session = event.data.get("conversation_id") or self.session
            self.parts[-1].text = event.data.get("begun") or ""
            self.parts[-1].character = event.data.get("character_id") or self._line.character
        elif event.type == CANCELLED:
            self.cancelled = True
        elif event.type == FAILED:
            self.settled = True
            raise ClientError(str(event.data.get("message") or FAILED_ANYHOW))
        self.parts[-1].text += event.text
        self._stored = self._stored or bool(event.data.get("stored"))
        self.told += event.data.get("told") or []

    async def _speak(self, api: Api, model: str) -> None:
        """Speak what is written; a voice that fails is told, and the text goes on."""
        try:
            while (said := await self._sentences.get()) is not None:
                sentence, who = said
                spoken = api.speak(sentence, voice=who, model=model, audio_format=AUDIO_FORMAT)
                async with aclosing(spoken) as chunks:
                    sound = b"".join([chunk async for chunk in chunks])
                self.clips.append(data_url(sound, MEDIA_TYPES[AUDIO_FORMAT]))
                self._changed.set()
        except ClientError as error:
            self.told.append(f"No sound: {error.message}")
            self._changed.set()


def first_of(errors: BaseExceptionGroup[ClientError]) -> ClientError:
    """Return an error that says what happened, out of those that happened at once."""
    found = errors.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found


def data_url(data: bytes, media_type: str) -> str:
    """Write bytes so that a page can show them without asking for them again."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
