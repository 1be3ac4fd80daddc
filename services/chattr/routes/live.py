"""The live session: one WebSocket over which a person talks and hears, on whatever replica.

Client → server: `message.create {message, character?, session_id?, parent_id?}`, `message.regenerate` and
`message.continue {session_id, message_id}`, `message.edit {session_id, message_id, content, reply?}`, `reply.cancel
{reply_id}`, `reply.resume {reply_id, after}`. Server → client: a reply's events as its log has them, each with
`reply_id` and `seq`; `message.edited {session_id, message}` where no reply is wanted; and `error {code, message}`. A
reply outlives the socket that asked for it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from chatacter.chassis.auth import WEBSOCKET_KEY_PROTOCOL, scope
from chatacter.chassis.errors import Busy, ChatacterError, InvalidInput
from chatacter.contracts.base import Strict
from chattr.dependencies import ConversingDep, OwnerDep, ReplyDep, SessionLogDep
from chattr.domain.identity import Owner, new_id
from chattr.ports.sessions import LAST_SEQ, Event, SessionLog
from chattr.routes.rate_limit import require_allowance
from chattr.routes.reply_answers import Rewritten, Spoken
from chattr.routes.tree_objects import message_object
from chattr.usecases.conversing import Conversing
from chattr.usecases.draft import Running
from chattr.usecases.reply import Reply
from chattr.usecases.scene import Again, Ask, Onward, Under

router = APIRouter(prefix="/api/v1", tags=["Live"], dependencies=[Depends(scope("chat"))])

MOST_AT_ONCE: Final = 8
TOO_MANY: Final = f"A socket carries {MOST_AT_ONCE} replies at a time. Wait for one to end, or cancel one."
UNREADABLE: Final = (
    "Send a JSON object whose `type` is message.create, message.regenerate, message.continue, message.edit, "
    "reply.cancel or reply.resume, with its fields."
)


class MessageCreate(Strict):
    """Something is said."""

    type: Literal["message.create"]
    message: Spoken
    character: str | None = None
    session_id: str | None = None
    parent_id: str | None = None

    @model_validator(mode="after")
    def is_said_somewhere(self) -> "MessageCreate":
        """A message is answered by another in a conversation that there is."""
        if "parent_id" in self.model_fields_set and self.session_id is None:
            raise ValueError("parent_id needs session_id")
        return self

    def ask(self) -> Ask:
        """Return what it asks for."""
        place = Under(self.parent_id) if "parent_id" in self.model_fields_set else None
        return Ask(self.character, self.message, self.session_id or new_id("conv"), place=place)


class MessageRegenerate(Strict):
    """Another reply is wanted."""

    type: Literal["message.regenerate"]
    session_id: str
    message_id: str

    def ask(self) -> Ask:
        """Return what it asks for."""
        return Ask(None, "", self.session_id, place=Again(self.message_id))


class MessageContinue(Strict):
    """A reply is to go on where it stopped."""

    type: Literal["message.continue"]
    session_id: str
    message_id: str

    def ask(self) -> Ask:
        """Return what it asks for."""
        return Ask(None, "", self.session_id, place=Onward(self.message_id))


class MessageEdit(Strict):
    """A message is to say something else."""

    type: Literal["message.edit"]
    session_id: str
    message_id: str
    content: Rewritten
    reply: bool = False


class ReplyCancel(Strict):
    """A reply is to stop."""

    type: Literal["reply.cancel"]
    reply_id: str


class ReplyResume(Strict):
    """A reply is to be followed from an event on."""

    type: Literal["reply.resume"]
    reply_id: str
    after: Annotated[int, Field(ge=0, le=LAST_SEQ)] = 0


Asking = MessageCreate | MessageRegenerate | MessageContinue
Command = Annotated[Asking | MessageEdit | ReplyCancel | ReplyResume, Field(discriminator="type")]
COMMANDS: Final[TypeAdapter[Command]] = TypeAdapter(Command)


@router.websocket("/ws/chat")
async def chat(
    socket: WebSocket, owner: OwnerDep, reply: ReplyDep, conversing: ConversingDep, log: SessionLogDep
) -> None:
    """Hold one live session until the client leaves."""
    offered = socket.scope.get("subprotocols", [])
    chosen = next((each for each in offered if not each.startswith(WEBSOCKET_KEY_PROTOCOL)), None)
    await socket.accept(subprotocol=chosen)
    session = Session(socket, owner, reply, conversing, log)
    try:
        async with asyncio.TaskGroup() as group:
            async for command in session.commands():
                group.create_task(session.obey(command))
            raise Left
    except* Left:
        pass


class Left(Exception):
    """The client closed the socket; what follows its replies on this socket may stop."""


class Session:
    """One socket. Commands run side by side; each whole event is one frame."""

    def __init__(self, socket: WebSocket, owner: Owner, reply: Reply, conversing: Conversing, log: SessionLog) -> None:
        self._socket = socket
        self._owner = owner
        self._reply = reply
        self._conversing = conversing
        self._log = log
        self._speaking = 0

    async def commands(self) -> AsyncIterator[Command]:
        """Yield what the client asks for; what cannot be read is told and skipped."""
        while True:
            try:
                yield COMMANDS.validate_json(await self._socket.receive_text())
            except (ValidationError, KeyError):  # starlette's, for a binary frame
                await self._tell(InvalidInput(UNREADABLE))
            except WebSocketDisconnect:
                return

    async def obey(self, command: Command) -> None:
        """Do what one command asks; an error is told and ends only this command."""
        try:
            if isinstance(command, ReplyCancel):
                await self._log.cancel(self._owner, command.reply_id)
            elif isinstance(command, MessageEdit) and not command.reply:
                await self._edit(command)
            else:
                await self._speak(command)
        except ChatacterError as error:
            await self._tell(error)
        except WebSocketDisconnect:
            return

    async def _edit(self, command: MessageEdit) -> None:
        edited = await self._conversing.edit(self._owner, command.session_id, command.message_id, command.content)
        told = {"session_id": command.session_id, "message": message_object(*edited)}
        await self._frame({"type": "message.edited", **told})

    async def _asked(self, command: Asking | MessageEdit) -> Ask:
        if not isinstance(command, MessageEdit):
            return command.ask()
        return await self._conversing.said_instead(
            self._owner, command.session_id, command.message_id, command.content, {}
        )

    async def _speak(self, command: Asking | MessageEdit | ReplyResume) -> None:
        if self._speaking >= MOST_AT_ONCE:
            raise Busy(TOO_MANY, retry_after=1)
        self._speaking += 1
        try:
            if isinstance(command, ReplyResume):
                await self._send(command.reply_id, self._log.follow(self._owner, command.reply_id, command.after))
            else:
                await self._reply_to(await self._asked(command))
        finally:
            self._speaking -= 1

    async def _reply_to(self, ask: Ask) -> None:
        await require_allowance(self._socket)
        async with aclosing(self._reply.rounds(self._owner, ask)) as rounds:
            async for running in rounds:
                await self._send(running.reply_id, events_of(running))

    async def _send(self, reply_id: str, events: AsyncGenerator[Event]) -> None:
        async with aclosing(events):
            async for event in events:
                await self._frame({"type": event.type, "reply_id": reply_id, "seq": event.seq, **event.data})

    async def _tell(self, error: ChatacterError) -> None:
        await self._frame({"type": "error", "code": error.code, "message": error.message})

    async def _frame(self, body: dict[str, Any]) -> None:
        await self._socket.send_text(orjson.dumps(body).decode())


async def events_of(running: Running) -> AsyncGenerator[Event]:
    """Yield a reply's events as its log has them."""
    async with aclosing(running.heard()) as heard:
        async for item in heard:
            if item.event is not None:
                yield item.event
