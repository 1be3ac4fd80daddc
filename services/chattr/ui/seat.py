"""Somebody before the page: whom they talk with, what was said, and what is being made for them."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from secrets import randbelow
from typing import Any, Final

from chatacter.client.api import Api
from chatacter.client.errors import ClientError, Refused
from chatacter.client.events import ReplyEvent
from chatacter.client.sentences import filmable
from chatacter.contracts.video import MAX_PROMPT_CHARACTERS
from chattr.ui import words
from chattr.ui.door import Door
from chattr.ui.draft import Draft
from chattr.ui.said import Said
from chattr.ui.shoot import Shoot
from chattr.ui.someone import MOST_PORTRAITS, Someone, portrait
from chattr.ui.turn import Asking, Line, Turn

NOBODY: Final = "There is nobody to talk with."
# What is asked for is not there any more, or not taken: asking for something else may help.
NOT_SO: Final = frozenset({400, 404, 422})
GONE: Final = "This message is not in the conversation any more."


@dataclass(slots=True, eq=False)
class Seat:
    """The state of one visit. Calls raise `ClientError`."""

    door: Door
    key: str | None
    cast: list[Someone] = field(default_factory=list)
    character: Someone | None = None
    sessions: dict[str, str] = field(default_factory=dict)
    """Each character's conversation that is stored."""
    draft: Draft | None = None
    """The conversation that is shown, where it is not begun."""
    kept: Mapping[str, Any] | None = None
    """What the browser kept of one that was not begun."""
    members: list[str] = field(default_factory=list)
    """The characters of a group; empty where it is with one."""
    order: str = "mention"
    replies: int = 1
    persona: Mapping[str, str] | None = None
    """Who the person is in this conversation."""
    usual: Mapping[str, str] | None = None
    """Who they said last that they are: so they begin others."""
    addressee: str = ""
    """Who of a group answers next, where the person said so."""
    said: list[Said] = field(default_factory=list)
    health: Mapping[str, Any] = field(default_factory=dict)
    speech_model: str | None = None
    turn: Turn | None = None
    turns: int = field(default_factory=lambda: randbelow(2**40))
    """Numbers the turns: no other visit of the same browser, to whatever process, counts alike."""
    shoot: Shoot | None = None
    regrouping: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Who is here changes by one step at a time, each made from what the one before left, and all before it begins."""

    def api(self) -> AbstractAsyncContextManager[Api]:
        """Connect to the public API, as the visitor."""
        return self.door.api(self.key)

    async def open(self, wanted: str | None) -> None:
        """Find out who is there and what works, and sit down before somebody."""
        await self.door.enter(self.key)
        async with self.api() as api:
            await self._meet(api)
            self.health = await api.health()
            self.speech_model = await speech_model(api)
        wishes = (wanted, self.health.get("default_character"), self.cast[0].id)
        chosen = next(each for wish in wishes for each in self.cast if each.id == wish)
        await self.face(chosen.id)

    async def _meet(self, api: Api) -> None:
        """Find out who can be talked with."""
        found = await api.characters()
        pictures = await asyncio.gather(*(portrait(api, each) for each in found[:MOST_PORTRAITS]))
        faces = dict(zip((each["id"] for each in found), pictures, strict=False))
        self.cast = [Someone.of(each, faces.get(each["id"])) for each in found]
        if not self.cast:
            raise ClientError(NOBODY)

    async def recast(self, character: str | None) -> None:
        """See who is there now that a character was made or changed, and talk with that one; None: one has gone."""
        async with self.api() as api:
            await self._meet(api)
        await self.face(character or (self.character.id if self.character else ""))

    async def face(self, character: str, *, anew: bool = False) -> None:
        """Talk with somebody, going on with a conversation where there is one, unless `anew`."""
        await self.leave()
        async with self.regrouping, self.api() as api:
            before = self.character
            self.character = next((each for each in self.cast if each.id == character), self.cast[0])
            kept, self.kept = self.draft.body if self.draft else self.kept, None
            try:
                if anew or not await self._went_on(api):
                    await self._open(api, kept if kept and not anew else {})
            except ClientError:
                self.character = before  # whose conversation is still the one that is shown
                raise

    async def _open(self, api: Api, kept: Mapping[str, Any]) -> None:
        """Show how a conversation with this character would open: as one was gathered that is not begun, as any other,
        or as somebody of whom nothing is told. What the API refuses is not tried at the next visit.
        """
        alone = {"characters": [self._who().id]}
        mine = list(kept.get("characters") or ())[:1] == alone["characters"]
        for way in (kept, alone) if mine else (alone,):
            try:
                await self.drafted(api, way)
            except Refused as refusal:
                if refusal.status not in NOT_SO:
                    raise
            else:
                return
        await self.drafted(api, {**alone, "persona": None})
        self.usual = None

    async def drafted(self, api: Api, body: Mapping[str, Any]) -> None:
        """Show how a conversation with this character would open. Nothing is stored before something is said."""
        draft = await Draft.of(api, {**({"persona": self.usual} if self.usual else {}), **body})
        self._put_away()
        self.sessions.pop(self._who().id, None)
        self.draft, self.said = draft, draft.said
        self._gather({**draft.body, "members": draft.cast if len(draft.cast) > 1 else []})

    async def begun(self, api: Api) -> str:
        """Return the conversation that is shown, and begin it where it is not."""
        async with self.regrouping:
            if self.draft is not None:
                made = await self.draft.begin(api)
                self.sessions[self._who().id], self.draft = made["id"], None
        if self.session is None:
            raise ClientError(GONE)
        return self.session

    async def _went_on(self, api: Api) -> bool:
        """Go on with the conversation with this character, unless it was deleted, or is somebody else's."""
        if self.session is None:
            return False
        try:
            await self._turn_to(api, self.session)
        except Refused as refusal:
            if refusal.status == 404:
                return False
            raise
        return True

    def _show(self, known: Mapping[str, Any]) -> None:
        self.said = [Said.of(each) for each in known["messages"]]
        self._gather(known)

    def _gather(self, known: Mapping[str, Any]) -> None:
        self.persona = known.get("persona")
        self.members = list(known.get("members") or ())
        self.order, self.replies = known.get("order", "mention"), known.get("replies", 1)
        if self.addressee not in self.members:
            self.addressee = self.members[0] if self.members and self.order == "client" else ""

    @property
    def here(self) -> list[str]:
        """The characters that are in the conversation."""
        return self.members or ([self.character.id] if self.character else [])

    def card_of(self, character: str) -> dict[str, str | None]:
        """Describe somebody to the browser, who may be gone."""
        found = next((each for each in self.cast if each.id == character), None)
        return (found or Someone(character, character, "", None)).card()

    def address(self, character: str) -> None:
        """Say who of a group answers next; nobody: whoever's turn it is."""
        self.addressee = character if character in self.members else ""

    async def look(self, api: Api) -> None:
        """See how the conversation stands now."""
        if self.session is not None:
            self._show(await api.history(self.session))

    def talk(self) -> dict[str, Any]:
        """Describe to the browser what was said and by whom, and whether the end of it is being written."""
        several = self.members if len(self.members) > 1 else []
        return {
            "messages": [{**each.shown(), "name": self._speaker(each)} for each in self.said],
            "writing": self.writing,
            "group": [{"id": each, "name": self.card_of(each)["name"]} for each in several],
            "to": self.addressee,
            "free": self.order != "client",
        }

    def _speaker(self, said: Said) -> str | None:
        """Return who of a group said something; None where that needs no telling."""
        told = self.members and said.role == "assistant" and said.character
        return self.card_of(said.character)["name"] if told else None

    def voice(self) -> dict[str, Any]:
        """Describe to the browser what is heard."""
        return {"turn": self.turns, "clips": list(self.turn.clips) if self.turn else []}

    @property
    def writing(self) -> bool:
        """Whether a reply is being written."""
        return self.turn is not None and self.turn.writing

    @property
    def session(self) -> str | None:
        """The conversation that is shown, where it is stored."""
        return self.sessions.get(self.character.id) if self.character else None

    @property
    def talked(self) -> bool:
        """Whether the person has said something."""
        return any(each.role == "user" for each in self.said)

    @property
    def last_reply(self) -> str:
        """What was said last by the character, as it can be filmed; empty before that."""
        if not self.talked or self.said[-1].role != "assistant":
            return ""  # a greeting alone was not said by a model
        return filmable(self.said[-1].content, MAX_PROMPT_CHARACTERS)

    @property
    def can_film(self) -> bool:
        """Whether there is something to film, and no film of it being made."""
        busy = self.shoot is not None and self.shoot.state == "working"
        return bool(self.last_reply) and not busy

    async def leave(self) -> None:
        """Stop what is being said. A reply without a word leaves nothing behind."""
        if self.turn is not None:
            await self.turn.stop()
        if self.said and self.said[-1].role == "assistant" and not self.said[-1].content:
            self.said.pop()

    async def say(self, text: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Say something. What is returned yields the turn whenever it has more; what is begun meanwhile ends it."""
        await self.leave()
        who = self.addressee or None if self.members else self._who().id

        async def said(api: Api) -> AsyncGenerator[ReplyEvent]:
            async with aclosing(api.say(text, who, await self.begun(api))) as events:
                async for event in events:
                    yield event

        return self._heard(said, [*self.said, Said("user", text)], aloud)

    async def again(self, message: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Have another reply in a reply's place, or one to what the person said; as `say`."""
        at, session = await self._at(message)
        before = self.said[: at + 1] if self.said[at].role == "user" else self.said[:at]
        return self._heard(lambda api: api.regenerate(session, message), before, aloud)

    async def go_on(self, message: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Have a reply go on where it stopped; as `say`. Only what is new is spoken."""
        at, session = await self._at(message)
        begun = self.said[at].content
        return self._heard(lambda api: api.go_on(session, message), self.said[:at], aloud, begun)

    async def speak_next(self, message: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Have somebody speak without being asked, whom the person addresses or whose turn it is; as `say`."""
        at, session = await self._at(message)
        who = self.addressee or None
        return self._heard(lambda api: api.speak_next(session, message, who), self.said[: at + 1], aloud)

    async def instead(self, message: str, text: str, *, aloud: bool) -> AsyncGenerator[Turn]:
        """Say something else in the place of what the person said; as `say`."""
        at, session = await self._at(message)
        before = [*self.said[:at], Said("user", text)]
        return self._heard(lambda api: api.say_instead(session, message, text), before, aloud)

    async def rewrite(self, message: str, text: str) -> None:
        """Let a reply say something else, beside what it said."""
        await self.leave()
        async with self.api() as api:
            if self.draft is not None:
                self._show(await api.history(await self.begun(api)))
                message = self.said[0].id
            _, session = await self._at(message)
            await api.rewrite(session, message, text)
            self._show(await api.history(session))

    async def swipe(self, message: str, to: str) -> None:
        """Show what else was said in a message's place, with what followed on it."""
        if self.draft is not None:
            self.draft.choose(to)
            self.said = self.draft.said
            return
        _, session = await self._at(message)
        async with self.api() as api:
            await api.change(session, head_id=to)
            self._show(await api.history(session))

    async def cut(self, message: str) -> None:
        """Delete a message with all that followed on it."""
        _, session = await self._at(message)
        async with self.api() as api:
            await api.cut(session, message)
            self._show(await api.history(session))

    async def fork(self, message: str) -> None:
        """Go on in another conversation, with a copy of what was said up to a message."""
        _, session = await self._at(message)
        async with self.api() as api:
            await self._turn_to(api, (await api.fork(session, message))["id"])

    async def turn_to(self, session: str) -> None:
        """Go on with another conversation with this character."""
        await self.leave()
        async with self.api() as api:
            await self._turn_to(api, session)

    async def _turn_to(self, api: Api, session: str) -> None:
        known = await api.history(session)
        self._put_away()
        self.sessions[self._who().id] = session
        self._show(known)

    def _put_away(self) -> None:
        self.turn, self.shoot, self.draft = None, None, None
        self.turns += 1

    def _who(self) -> Someone:
        if self.character is None:
            raise ClientError(NOBODY)
        return self.character

    async def _at(self, message: str) -> tuple[int, str]:
        """Stop what is being said, and find a message in the conversation that is shown."""
        await self.leave()
        self._who()
        at = next((at for at, each in enumerate(self.said) if each.id == message), None)
        if at is None or self.session is None:
            raise ClientError(GONE)
        return at, self.session

    async def _heard(self, ask: Asking, before: list[Said], aloud: bool, begun: str = "") -> AsyncGenerator[Turn]:
        who = self._who().id
        line = Line(ask, who, self.speech_model if aloud else None, begun)
        self.turns += 1
        self.turn = turn = Turn(self.api, line)
        replies = [Said("assistant", begun, character="" if self.members else who)]
        self.said = [*before, *replies]
        try:
            async with aclosing(turn.changes()) as changes:
                async for _ in changes:
                    if turn is not self.turn:
                        return
                    if not turn.shown:
                        self._hear(turn, replies)
                    if turn.session is not None:
                        self.sessions[who] = turn.session
                    if turn.settled and not turn.shown:
                        await self._catch_up(turn)
                    yield turn
        finally:
            await turn.stop()
            self.said = [each for each in self.said if each.content or each not in replies]

    def _hear(self, turn: Turn, replies: list[Said]) -> None:
        """Show what a turn's replies are so far; whoever of a group goes on gets one of their own."""
        more = [Said("assistant", "") for _ in turn.parts[len(replies) :]]
        self.said += more
        replies += more
        for reply, part in zip(replies, turn.parts, strict=True):
            reply.content, reply.character = part.text, part.character

    async def _catch_up(self, turn: Turn) -> None:
        """Show a turn as it stands in the conversation now, unless something else was begun meanwhile."""
        assert turn.session is not None
        async with self.api() as api:
            known = await api.history(turn.session)
        if turn is self.turn:
            turn.shown = True
            self._show(known)

    async def film(self) -> AsyncGenerator[Shoot]:
        """Film the last reply; yield how far it is. Closing this early removes the order from the server."""
        text = self.last_reply
        if self.character is None or not text:
            raise ClientError(words.NOTHING_TO_FILM)
        who = self.card_of(self.said[-1].character or self.character.id)
        self.shoot = shoot = Shoot()
        async with aclosing(shoot.run(self.api, text, str(who["id"]), str(who["name"]))) as changes:
            async for _ in changes:
                yield shoot


async def speech_model(api: Api) -> str | None:
    """Return what speaks here; None where nothing does."""
    try:
        return await api.speech_model()
    except Refused:
        return None
