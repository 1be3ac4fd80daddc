"""What happens when somebody uses the page."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from hashlib import blake2b
from typing import Any, Final

import gradio as gr

from chatacter.client.errors import ClientError, KeyNeeded
from chattr.ui import words
from chattr.ui.company import gathered
from chattr.ui.door import Door
from chattr.ui.editor import Editor
from chattr.ui.knowing import known
from chattr.ui.parts import HEAR, Parts
from chattr.ui.seat import Seat
from chattr.ui.shelf import shelve
from chattr.ui.studio import Studio
from chattr.ui.turn import Turn

Changes = dict[Any, Any]
Memory = dict[str, Any]

HUSH: Final = "() => { window.dispatchEvent(new Event('chatacter:hush')); }"


class Page:
    """The page with its listeners."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.parts = Parts()
        self._listen()
        self.parts.blocks.queue(default_concurrency_limit=None, api_open=False)

    def _listen(self) -> None:
        """Connect the parts. Every listener is private: the page is not another API."""
        parts = self.parts
        with parts.blocks:
            arriving = [parts.seat, parts.memory, parts.key]
            kept = [parts.memory, parts.key]
            everything = [*parts.shown(), parts.seat]
            quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": True}
            parts.blocks.load(self.arrive, arriving, everything, **quiet)
            gr.on([parts.enter.click, parts.key.submit], self.arrive, arriving, everything, **quiet)
            parts.cast.choose(self.choose, [parts.seat, *kept], everything, **quiet)
            parts.again.click(self.restart, [parts.seat, *kept], everything, **quiet)
            gr.on(
                [parts.send.click, parts.message.submit],
                self.say,
                [parts.seat, parts.message, parts.aloud, *kept],
                everything,
                trigger_mode="multiple",
                **quiet,
            )
            parts.talk.act(self.act, [parts.seat, parts.aloud, *kept], everything, trigger_mode="multiple", **quiet)
            parts.shelf.act(self.shelve, [parts.seat, *kept], everything, trigger_mode="multiple", **quiet)
            parts.known.act(self.know, [parts.seat, *kept], everything, trigger_mode="multiple", **quiet)
            parts.company.act(self.gather, [parts.seat, *kept], everything, trigger_mode="multiple", **quiet)
            parts.voices.act(self.sound, [parts.seat, *kept], everything, **quiet)
            parts.editor.act(self.edit, [parts.seat, *kept], everything, **quiet)
            parts.stop.click(self.hush, [parts.seat], everything, **quiet)
            parts.stop.click(None, js=HUSH, api_visibility="private")
            parts.aloud.change(
                None, js=f"(on) => {{ if (!on) ({HUSH})(); }}", inputs=[parts.aloud], api_visibility="private"
            )
            parts.film.click(self.shoot, [parts.seat, *kept], everything, **quiet)

    async def arrive(self, seat: Seat | None, memory: Memory, key: str) -> Changes:
        """Sit down: find out who is there. Called when the page opens, and again with a key."""
        if seat is not None:
            await seat.leave()
        key = key.strip()
        memory = kept_with(key, memory)
        sessions = dict(memory.get("sessions") or {})
        seat = Seat(self._door, key or None, sessions=sessions, kept=memory.get("draft"))
        seat.usual = memory.get("persona")
        try:
            await seat.open(memory.get("character"))
        except KeyNeeded:
            told = words.KEY_WRONG if seat.key else words.KEY_WANTED
            return {self.parts.trouble: note(told), self.parts.door: gr.Row(visible=True), self.parts.seat: seat}
        except ClientError as error:
            return {self.parts.trouble: note(words.told_of(error)), self.parts.seat: seat}
        health = seat.health
        return {
            **self._sat(seat),
            self.parts.door: gr.Row(visible=False),
            self.parts.who: "\n\n".join([words.who_answers(health), *(f"- {each}" for each in words.missing(health))]),
            self.parts.about: gr.Accordion(label=words.SMALL if words.embedded(health) else words.WHO),
            self.parts.provider: gr.HTML(visible=words.embedded(health)),
            self.parts.aloud: gr.Checkbox(
                value=seat.speech_model is not None,
                interactive=seat.speech_model is not None,
                label=HEAR if seat.speech_model else "No voice",
            ),
        }

    async def back(self, seat: Seat | None, memory: Memory, key: str) -> tuple[Seat, Changes]:
        """Return the visitor's seat; a visitor of another process, or of a forgotten visit, gets one of their own.

        What the browser kept is enough for that: a process that ends takes nobody's conversation with it.
        """
        if seat is not None and seat.character is not None:
            return seat, {}
        changes = await self.arrive(seat, memory, key)
        return changes[self.parts.seat], changes

    async def choose(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Talk with somebody else."""
        seat, arrived = await self.back(seat, memory, key)
        return {**arrived, **await self._face(seat, str(event.id), anew=False)}

    async def restart(self, seat: Seat | None, memory: Memory, key: str) -> Changes:
        """Begin a new conversation with the same character."""
        seat, arrived = await self.back(seat, memory, key)
        character = seat.character.id if seat.character is not None else ""
        return {**arrived, **await self._face(seat, character, anew=True)}

    async def _face(self, seat: Seat, character: str, *, anew: bool) -> Changes:
        if not seat.cast:
            return {}  # arriving has told why
        try:
            await seat.face(character, anew=anew)
        except ClientError as error:
            return {self.parts.trouble: note(words.told_of(error)), self.parts.cast: self._cast(seat)}
        return self._sat(seat)

    def _cast(self, seat: Seat) -> dict[str, Any]:
        """Describe to the browser whom one can talk with, and with whom one does."""
        return {"cast": [each.card() for each in seat.cast], "chosen": seat.character.id if seat.character else None}

    def _sat(self, seat: Seat) -> Changes:
        """Show the character that somebody sits before."""
        who = seat.character
        assert who is not None
        return {
            self.parts.seat: seat,
            self.parts.trouble: nothing(),
            self.parts.cast: self._cast(seat),
            self.parts.stage: {"character": who.card(), "film": None},
            **self._now(seat),
        }

    async def say(
        self, seat: Seat | None, message: str, aloud: bool, memory: Memory, key: str
    ) -> AsyncGenerator[Changes]:
        """Say something, and show the reply while it is written and spoken."""
        if not message.strip():
            return
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            yield arrived
            return
        async with aclosing(self._heard(seat, seat.say(message.strip(), aloud=aloud))) as changes:
            yield {**arrived, self.parts.message: "", **self._now(seat)}
            async for change in changes:
                yield change

    async def act(
        self, seat: Seat | None, aloud: bool, memory: Memory, key: str, event: gr.EventData
    ) -> AsyncGenerator[Changes]:
        """Do something with a message: what, and with which one, comes from the browser."""
        seat, arrived = await self.back(seat, memory, key)
        yield {**arrived, self.parts.seat: seat, **self._now(seat)}
        deed, message = str(event.what), str(event.id)
        if (asked := replying(seat, deed, message, event, aloud=aloud)) is not None:
            async with aclosing(self._heard(seat, asked)) as changes:
                async for change in changes:
                    yield change
            return
        try:
            await done(seat, deed, message, event)
        except ClientError as error:
            yield {**self._now(seat), self.parts.trouble: note(words.told_of(error))}
            return
        yield {**self._now(seat), self.parts.trouble: nothing()}

    async def shelve(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Do something with the conversations with this character, and show them."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            return arrived
        shelf = await shelve(seat, event)
        return {**arrived, **self._there(seat), self.parts.shelf: shelf}

    async def know(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Do something with what this character remembers, and show it."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            return arrived
        found = await known(seat, event)
        return {**arrived, **self._there(seat), self.parts.known: found}

    async def gather(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Change who is in the conversation, and show it."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            return arrived
        company = await gathered(seat, event)
        return {**arrived, **self._there(seat), self.parts.company: company}

    async def sound(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Do something with voices, and show which there are and who is there then."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            return arrived
        voices = await Studio(seat).do(str(event.what), event)
        there = self._sat(seat) if event.what == "use" else self._there(seat)
        return {**arrived, **there, self.parts.voices: voices}

    def _there(self, seat: Seat) -> Changes:
        """Show the conversation that somebody is in, which may be another one now."""
        assert seat.character is not None
        stage = {"character": seat.character.card(), "film": seat.shoot.shown() if seat.shoot else None}
        return {self.parts.seat: seat, **self._now(seat), self.parts.stage: stage}

    async def edit(self, seat: Seat | None, memory: Memory, key: str, event: gr.EventData) -> Changes:
        """Make or change a character, and show who is there then."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            return arrived
        editor = await Editor(seat).do(str(event.what), str(event.id), event)
        return {**arrived, **self._sat(seat), self.parts.editor: editor}

    async def _heard(self, seat: Seat, asked: Awaitable[AsyncGenerator[Turn]]) -> AsyncGenerator[Changes]:
        """Show a reply while it is written and spoken."""
        yield {**self._now(seat), **self._ready(seat, speaking=True), self.parts.trouble: nothing()}
        try:
            async with aclosing(await asked) as turns:
                async for _ in turns:
                    yield self._now(seat)
        except ClientError as error:
            yield {**self._now(seat), self.parts.trouble: note(words.told_of(error))}
            return
        yield self._said(seat)

    def _now(self, seat: Seat) -> Changes:
        """Show what was said and what is heard.

        Each change of a listener that has several holds all of this: Gradio sends how a change differs from the one
        before, and where one left out what another had, the browser would get something between the two.
        """
        return {
            self.parts.talk: seat.talk(),
            self.parts.voice: seat.voice(),
            self.parts.memory: remembered(seat),
            **self._ready(seat, speaking=seat.writing),
        }

    def _said(self, seat: Seat) -> Changes:
        """Show how a turn ended. Gradio shows the last of a listener's changes again: it must be true by then."""
        turn = seat.turn
        now = self._now(seat)
        if turn is None or not turn.done:
            return now  # another turn, or another character, has taken its place
        told = [words.told_of(turn.error)] if turn.error else turn.told
        return {**now, self.parts.trouble: note("\n\n".join(told)) if told else nothing()}

    async def hush(self, seat: Seat | None) -> Changes:
        """Stop the reply, on the server too. What was said so far stays."""
        if seat is None:
            return {self.parts.seat: None}
        await seat.leave()
        return self._ready(seat, speaking=False)

    async def shoot(self, seat: Seat | None, memory: Memory, key: str) -> AsyncGenerator[Changes]:
        """Film the last reply."""
        seat, arrived = await self.back(seat, memory, key)
        if seat.character is None:
            yield arrived
            return
        who = seat.character.card()
        if arrived:
            yield {**arrived, self.parts.stage: {"character": who, "film": None}}
        try:
            async with aclosing(seat.film()) as shoots:
                async for shoot in shoots:
                    if seat.shoot is not shoot:
                        return
                    yield {
                        self.parts.trouble: nothing(),
                        self.parts.stage: {"character": who, "film": shoot.shown()},
                        self.parts.film: gr.Button(interactive=seat.can_film),
                    }
        except ClientError as error:
            yield {
                self.parts.trouble: note(words.told_of(error)),
                self.parts.stage: {"character": who, "film": None},
                self.parts.film: gr.Button(interactive=seat.can_film),
            }

    def _ready(self, seat: Seat, *, speaking: bool) -> Changes:
        """Offer what can be done now."""
        return {
            self.parts.send: gr.Button(visible=not speaking),
            self.parts.stop: gr.Button(visible=speaking),
            self.parts.film: gr.Button(
                interactive=seat.can_film and not speaking, visible=seat.health.get("video", True)
            ),
        }


def replying(
    seat: Seat, deed: str, message: str, event: gr.EventData, *, aloud: bool
) -> Awaitable[AsyncGenerator[Turn]] | None:
    """Ask for the reply that a deed brings; None where it brings none."""
    if deed == "again":
        return seat.again(message, aloud=aloud)
    if deed == "go_on":
        return seat.go_on(message, aloud=aloud)
    if deed == "next":
        return seat.speak_next(message, aloud=aloud)
    return seat.instead(message, str(event.text), aloud=aloud) if deed == "instead" else None


async def done(seat: Seat, deed: str, message: str, event: gr.EventData) -> None:
    """Do what brings no reply. Raises `ClientError`."""
    if deed == "swipe":
        await seat.swipe(message, str(event.to))
    elif deed == "rewrite":
        await seat.rewrite(message, str(event.text))
    elif deed == "cut":
        await seat.cut(message)
    elif deed == "fork":
        await seat.fork(message)
    elif deed == "address":
        seat.address(message)


def nothing() -> gr.Markdown:
    """Take the sentence above everything away."""
    return gr.Markdown("", visible=False)


def remembered(seat: Seat) -> Memory:
    """Return what the browser keeps: whom one talks with and as whom, each character's conversation, and a draft.

    Whoever comes with another key gets nothing of it.
    """
    draft = dict(seat.draft.body) if seat.draft else None
    return {
        "whose": mark(seat.key or ""),
        "character": seat.character.id if seat.character else None,
        "sessions": dict(seat.sessions),
        "draft": draft,
        "persona": seat.usual,
    }


def kept_with(key: str, memory: Memory) -> Memory:
    """Return what the browser kept with this key; nothing of what it kept with another."""
    return memory if (memory.get("whose") or "") == mark(key) else {}


def mark(key: str) -> str:
    """Tell a key from another; too short to tell which key it is. Empty without one."""
    return blake2b(key.encode(), digest_size=4).hexdigest() if key else ""


def note(sentence: str) -> gr.Markdown:
    """Show a sentence above everything."""
    return gr.Markdown(sentence, visible=True)
