"""The page's parts, and what happens when somebody uses them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import gradio as gr

from chatacter.client.errors import Away, ClientError, KeyNeeded
from chattr.ui import words
from chattr.ui.door import Door
from chattr.ui.seat import Seat
from chattr.ui.style import static

Changes = dict[Any, Any]
Memory = dict[str, Any]

TITLE: Final = "Chatacter"
# What the browser keeps is not secret: which character, and the ids of conversations. It only must outlive a restart.
STORAGE: Final = "chatacter.page.1"
HEAR: Final = "Voice"
HUSH: Final = "() => { window.dispatchEvent(new Event('chatacter:hush')); }"
LARGEST_MESSAGE: Final = 32_000

HEADER: Final = f"""
<header class="masthead">
  <div class="mark"><span aria-hidden="true"></span><h1>{TITLE}</h1></div>
  <p class="notice" role="note">{words.NOTICE}</p>
</header>
"""
CAST: Final = '<div class="cast" role="group" aria-label="Choose a character"></div>'


class Page:
    """Gradio's blocks, by name, with their listeners."""

    def __init__(self, door: Door) -> None:
        self._door = door
        with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as self.blocks:
            self.seat = gr.State(None)
            self.memory = gr.BrowserState({}, storage_key=STORAGE, secret=STORAGE)
            gr.HTML(HEADER, js_on_load=None, elem_id="masthead")
            self.trouble = gr.Markdown(visible=False, elem_id="trouble")
            self._key()
            self.cast = gr.HTML(
                {}, html_template=CAST, js_on_load=static("cast.js"), elem_id="cast", apply_default_css=False
            )
            with gr.Row(elem_id="scene", equal_height=False):
                self._stage()
                self._talk()
            self._about()
        self._listen()
        self.blocks.queue(default_concurrency_limit=None, api_open=False)

    def _key(self) -> None:
        with gr.Row(visible=False, elem_id="door", equal_height=True) as self.door:
            self.key = gr.Textbox(
                "", label="API key", type="password", max_lines=1, scale=4, elem_id="key", placeholder="chat-…"
            )
            self.enter = gr.Button("Enter", variant="primary", scale=1, min_width=120)

    def _stage(self) -> None:
        with gr.Column(scale=4, min_width=300, elem_id="left"):
            self.stage = gr.HTML(
                {},
                html_template=static("stage.html"),
                js_on_load=static("stage.js"),
                elem_id="stage",
                apply_default_css=False,
            )
            self.voice = gr.HTML(
                {},
                html_template=static("voice.html"),
                js_on_load=static("voice.js"),
                elem_id="voice",
                apply_default_css=False,
            )
            with gr.Row(elem_id="tools"):
                self.film = gr.Button("Film it", elem_id="film", min_width=90, interactive=False)
                self.again = gr.Button("New conversation", elem_id="again", min_width=120)
                self.aloud = gr.Checkbox(value=True, label=HEAR, elem_id="aloud", container=False)

    def _talk(self) -> None:
        with gr.Column(scale=7, min_width=300, elem_id="right"):
            self.talk = gr.Chatbot(
                label="Conversation",
                show_label=False,
                elem_id="talk",
                height="100%",
                buttons=[],
                feedback_options=None,
                latex_delimiters=[],
                allow_tags=False,
                layout="bubble",
                group_consecutive_messages=False,
                autoscroll=True,
            )
            with gr.Row(elem_id="say", equal_height=False):
                self.message = gr.Textbox(
                    "",
                    label="Message",
                    show_label=False,
                    placeholder="Say something …",
                    lines=1,
                    max_lines=6,
                    max_length=LARGEST_MESSAGE,
                    scale=8,
                    container=False,
                    elem_id="message",
                )
                self.send = gr.Button("Send", variant="primary", scale=1, min_width=88, elem_id="send")
                self.stop = gr.Button("Stop", variant="stop", scale=1, min_width=88, visible=False, elem_id="stop")

    def _about(self) -> None:
        with gr.Accordion(words.WHO, open=False, elem_id="about") as self.about:
            self.who = gr.Markdown(words.UNKNOWN)
            self.provider = gr.HTML(
                {},
                html_template=static("provider.html"),
                js_on_load=static("provider.js"),
                visible=False,
                elem_id="provider",
                apply_default_css=False,
            )

    def _listen(self) -> None:
        """Connect the parts. Every listener is private: the page is not another API."""
        with self.blocks:
            arriving = [self.seat, self.memory, self.key]
            kept = [self.memory, self.key]
            everything = [*self._shown(), self.seat]
            quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private", "queue": True}
            self.blocks.load(self.arrive, arriving, everything, **quiet)
            gr.on([self.enter.click, self.key.submit], self.arrive, arriving, everything, **quiet)
            self.cast.choose(self.choose, [self.seat, *kept], everything, **quiet)
            self.again.click(self.restart, [self.seat, *kept], everything, **quiet)
            gr.on(
                [self.send.click, self.message.submit],
                self.say,
                [self.seat, self.message, self.aloud, *kept],
                everything,
                trigger_mode="multiple",
                **quiet,
            )
            self.stop.click(self.hush, [self.seat], everything, **quiet)
            self.stop.click(None, js=HUSH, api_visibility="private")
            self.aloud.change(
                None, js=f"(on) => {{ if (!on) ({HUSH})(); }}", inputs=[self.aloud], api_visibility="private"
            )
            self.film.click(self.shoot, [self.seat, *kept], everything, **quiet)

    def _shown(self) -> list[Any]:
        return [
            self.memory,
            self.trouble,
            self.door,
            self.cast,
            self.stage,
            self.voice,
            self.film,
            self.aloud,
            self.talk,
            self.message,
            self.send,
            self.stop,
            self.about,
            self.who,
            self.provider,
        ]

    async def arrive(self, seat: Seat | None, memory: Memory, key: str) -> Changes:
        """Sit down: find out who is there. Called when the page opens, and again with a key."""
        if seat is not None:
            await seat.leave()
        seat = Seat(self._door, key.strip() or None, sessions=dict(memory.get("sessions") or {}))
        try:
            await seat.open(memory.get("character"))
        except KeyNeeded:
            told = words.KEY_WRONG if seat.key else words.KEY_WANTED
            return {self.trouble: note(told), self.door: gr.Row(visible=True), self.seat: seat}
        except ClientError as error:
            return {self.trouble: note(told_of(error)), self.seat: seat}
        health = seat.health
        return {
            **self._sat(seat),
            self.door: gr.Row(visible=False),
            self.who: "\n\n".join([words.who_answers(health), *(f"- {each}" for each in words.missing(health))]),
            self.about: gr.Accordion(label=words.SMALL if words.embedded(health) else words.WHO),
            self.provider: gr.HTML(visible=words.embedded(health)),
            self.aloud: gr.Checkbox(
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
        return changes[self.seat], changes

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
            return {self.trouble: note(told_of(error))}
        return self._sat(seat)

    def _sat(self, seat: Seat) -> Changes:
        """Show the character that somebody sits before."""
        who = seat.character
        assert who is not None
        return {
            self.seat: seat,
            self.memory: remembered(seat),
            self.trouble: nothing(),
            self.cast: {"cast": [each.card() for each in seat.cast], "chosen": who.id},
            self.stage: {"character": who.card(), "film": None},
            self.voice: {"turn": 0, "clips": []},
            self.talk: seat.shown(),
            **self._ready(seat, speaking=False),
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
        yield {**arrived, self.message: "", self.trouble: nothing(), **self._ready(seat, speaking=True)}
        try:
            async with aclosing(seat.say(message.strip(), aloud=aloud)) as turns:
                async for turn in turns:
                    yield {
                        self.talk: seat.shown(),
                        self.voice: {"turn": seat.turns, "clips": list(turn.clips)},
                        self.memory: remembered(seat),
                        **self._ready(seat, speaking=turn.writing),
                    }
        except ClientError as error:
            yield {
                self.talk: seat.shown(),
                self.trouble: note(told_of(error)),
                **self._ready(seat, speaking=False),
            }
            return
        yield self._said(seat)

    def _said(self, seat: Seat) -> Changes:
        """Show how a turn ended. Gradio shows the last of a listener's changes again: it must be true by then."""
        turn = seat.turn
        now = {self.talk: seat.shown(), self.memory: remembered(seat)}
        if turn is None or not turn.done:
            return now  # another turn, or another character, has taken its place
        told = [told_of(turn.error)] if turn.error else turn.told
        trouble = note("\n\n".join(told)) if told else nothing()
        return {**now, self.trouble: trouble, **self._ready(seat, speaking=False)}

    async def hush(self, seat: Seat | None) -> Changes:
        """Stop the reply, on the server too. What was said so far stays."""
        if seat is None:
            return {}
        await seat.leave()
        return self._ready(seat, speaking=False)

    async def shoot(self, seat: Seat | None, memory: Memory, key: str) -> AsyncGenerator[Changes]:
        """Film the last reply."""
        seat, arrived = await self.back(seat, memory, key)
        if arrived:
            yield arrived
        if seat.character is None:
            return
        who = seat.character.card()
        try:
            async with aclosing(seat.film()) as shoots:
                async for shoot in shoots:
                    if seat.shoot is not shoot:
                        return
                    yield {
                        self.trouble: nothing(),
                        self.stage: {"character": who, "film": shoot.shown()},
                        self.film: gr.Button(interactive=seat.can_film),
                    }
        except ClientError as error:
            yield {
                self.trouble: note(told_of(error)),
                self.stage: {"character": who, "film": None},
                self.film: gr.Button(interactive=seat.can_film),
            }

    def _ready(self, seat: Seat, *, speaking: bool) -> Changes:
        """Offer what can be done now."""
        return {
            self.send: gr.Button(visible=not speaking),
            self.stop: gr.Button(visible=speaking),
            self.film: gr.Button(interactive=seat.can_film and not speaking, visible=seat.health.get("video", True)),
        }


def nothing() -> gr.Markdown:
    """Take the sentence above everything away."""
    return gr.Markdown("", visible=False)


def remembered(seat: Seat) -> Memory:
    """Return what the browser keeps: whom one talks with, and each character's conversation."""
    return {"character": seat.character.id if seat.character else None, "sessions": dict(seat.sessions)}


def note(sentence: str) -> gr.Markdown:
    """Show a sentence above everything."""
    return gr.Markdown(sentence, visible=True)


def told_of(error: ClientError) -> str:
    """Say what happened, in the page's words where it has them."""
    if isinstance(error, Away):
        return words.AWAY
    return words.KEY_WRONG if isinstance(error, KeyNeeded) else error.message
