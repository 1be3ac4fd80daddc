"""The live session: one WebSocket over which a person talks and hears, on whatever replica.

Client → server: `message.create {message, character?, session_id?}`, `reply.cancel {reply_id}`,
`reply.resume {reply_id, after}`. Server → client: a reply's events as its log has them, each with `reply_id` and
`seq`, and `error {code, message}`. A reply outlives the socket that asked for it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, WebSocket, WebSocketDisconnect
from pydantic import Field, TypeAdapter, ValidationError

from chatacter.chassis.auth import WEBSOCKET_KEY_PROTOCOL, scope
from chatacter.chassis.errors import Busy, ChatacterError, InvalidInput
from chatacter.contracts.base import Strict
from chattr.dependencies import OwnerDep, ReplyDep, SessionLogDep
from chattr.domain.identity import Owner, new_id
from chattr.ports.sessions import LAST_SEQ, Event, SessionLog
from chattr.usecases.reply import Reply
from chattr.usecases.scene import Ask

router = APIRouter(prefix="/api/v1", tags=["Live"], dependencies=[Depends(scope("chat"))])

SUBPROTOCOL: Final = "chatacter.v1"
LARGEST_MESSAGE: Final = 32_768
MOST_AT_ONCE: Final = 8
TOO_MANY: Final = f"A socket carries {MOST_AT_ONCE} replies at a time. Wait for one to end, or cancel one."
UNREADABLE: Final = "Send a JSON object whose `type` is message.create, reply.cancel or reply.resume."


class MessageCreate(Strict):
    """Something is said."""

    type: Literal["message.create"]
    message: Annotated[str, Field(min_length=1, max_length=LARGEST_MESSAGE)]
    character: str | None = None
    session_id: str | None = None


class ReplyCancel(Strict):
    """A reply is to stop."""

    type: Literal["reply.cancel"]
    reply_id: str


class ReplyResume(Strict):
    """A reply is to be followed from an event on."""

    type: Literal["reply.resume"]
    reply_id: str
    after: Annotated[int, Field(ge=0, le=LAST_SEQ)] = 0


Command = Annotated[MessageCreate | ReplyCancel | ReplyResume, Field(discriminator="type")]
COMMANDS: Final[TypeAdapter[Command]] = TypeAdapter(Command)


@router.websocket("/ws/chat")
async def chat(socket: WebSocket, owner: OwnerDep, reply: ReplyDep, log: SessionLogDep) -> None:
    """Hold one live session until the client leaves."""
    offered = socket.scope.get("subprotocols", [])
    chosen = next((each for each in offered if not each.startswith(WEBSOCKET_KEY_PROTOCOL)), None)
    await socket.accept(subprotocol=chosen)
    session = Session(socket, owner, reply, log)
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

    def __init__(self, socket: WebSocket, owner: Owner, reply: Reply, log: SessionLog) -> None:
        self._socket = socket
        self._owner = owner
        self._reply = reply
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
            else:
                await self._speak(command)
        except ChatacterError as error:
            await self._tell(error)
        except WebSocketDisconnect:
            return

    async def _speak(self, command: MessageCreate | ReplyResume) -> None:
        if self._speaking >= MOST_AT_ONCE:
            raise Busy(TOO_MANY, retry_after=1)
        self._speaking += 1
        try:
            if isinstance(command, MessageCreate):
                await self._create(command)
            else:
                await self._send(command.reply_id, self._log.follow(self._owner, command.reply_id, command.after))
        finally:
            self._speaking -= 1

    async def _create(self, command: MessageCreate) -> None:
        ask = Ask(
            character_id=command.character,
            text=command.message,
            conversation_id=command.session_id or new_id("conv"),
        )
        running = await self._reply.start(self._owner, ask, detached=True)

        async def events() -> AsyncGenerator[Event]:
            async with aclosing(running.heard()) as heard:
                async for item in heard:
                    if item.event is not None:
                        yield item.event

        await self._send(running.reply_id, events())

    async def _send(self, reply_id: str, events: AsyncGenerator[Event]) -> None:
        async with aclosing(events):
            async for event in events:
                await self._frame({"type": event.type, "reply_id": reply_id, "seq": event.seq, **event.data})

    async def _tell(self, error: ChatacterError) -> None:
        await self._frame({"type": "error", "code": error.code, "message": error.message})

    async def _frame(self, body: dict[str, Any]) -> None:
        await self._socket.send_text(orjson.dumps(body).decode())
