"""Conversations as trees: say something, get another reply, go back and forth, name, cut, copy."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Final, Literal

import httpx

from chatacter.client.connection import Connection
from chatacter.client.events import ReplyEvent

HOME: Final = "/api/v1/conversations"
PAGE: Final = 100
TranscriptForm = Literal["json", "sillytavern"]


class Conversations(Connection):
    """What is done with conversations. A message's id is one of its conversation."""

    async def history(self, session: str) -> dict[str, Any]:
        """Return a conversation's active branch: `character`, `live_reply_id`, `messages`."""
        return dict(await self._json("GET", f"/api/v1/chat/history/{session}"))

    def say(self, message: str, character: str | None, session: str | None) -> AsyncGenerator[ReplyEvent]:
        """Say something at the end of a conversation, or in a new one, and yield the reply's events.

        Without a character the conversation's own answers, of a group whoever's turn it is.
        """
        body = {"message": message, "character": character, "session_id": session}
        return self._replied("/api/v1/chat/message", {name: each for name, each in body.items() if each is not None})

    def regenerate(self, session: str, message: str) -> AsyncGenerator[ReplyEvent]:
        """Yield another reply beside this one, or the reply to a message of the person's."""
        return self._replied(f"{HOME}/{session}/messages/{message}/regenerate", {})

    def go_on(self, session: str, message: str) -> AsyncGenerator[ReplyEvent]:
        """Yield what a reply goes on with; the first event's `begun` is what it goes on from."""
        return self._replied(f"{HOME}/{session}/messages/{message}/continue", {})

    def speak_next(self, session: str, message: str, character: str | None) -> AsyncGenerator[ReplyEvent]:
        """Yield what a character says after a message without being asked; of a group this one, or whose turn it is."""
        body = {} if character is None else {"character": character}
        return self._replied(f"{HOME}/{session}/messages/{message}/next", body)

    def say_instead(self, session: str, message: str, content: str) -> AsyncGenerator[ReplyEvent]:
        """Say something else in the place of a message of the person's, and yield the reply to it."""
        return self._replied(f"{HOME}/{session}/messages/{message}/edit", {"content": content, "reply": True})

    async def rewrite(self, session: str, message: str, content: str) -> dict[str, Any]:
        """Let a message say something else, beside what it said; return the new one."""
        path = f"{HOME}/{session}/messages/{message}/edit"
        return dict(await self._json("POST", path, {"content": content}))

    async def cut(self, session: str, message: str) -> dict[str, Any]:
        """Delete a message with all that followed on it; return what is known of the conversation now."""
        return dict(await self._json("DELETE", f"{HOME}/{session}/messages/{message}"))

    async def begin(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a conversation; return it with its messages. `body`: `characters`, and if you like `id` and others."""
        return dict(await self._json("POST", HOME, body))

    async def preview(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return what `begin` would, and store nothing. Begun with the `id` that this names it opens in these words."""
        return dict(await self._json("POST", f"{HOME}:preview", body))

    async def change(self, session: str, **changes: Any) -> dict[str, Any]:
        """Set `title`, `order`, `replies`, or `head_id`: the branch that is active; return what is known of it now."""
        return dict(await self._json("PATCH", f"{HOME}/{session}", changes))

    async def join(self, session: str, character: str) -> dict[str, Any]:
        """Let a character join; return what is known of the conversation now."""
        return dict(await self._json("PUT", f"{HOME}/{session}/members/{character}"))

    async def let_go(self, session: str, character: str) -> dict[str, Any]:
        """Let a character go; return what is known of the conversation now."""
        return dict(await self._json("DELETE", f"{HOME}/{session}/members/{character}"))

    async def conversations(self, character: str, most: int) -> list[dict[str, Any]]:
        """Return what is known of the newest conversations with a character, at most so many."""
        found: list[dict[str, Any]] = []
        query: dict[str, Any] = {"character": character, "limit": min(most, PAGE)}
        while len(found) < most:
            page = await self._json("GET", f"{HOME}?{httpx.QueryParams(query)}")
            found += page["data"]
            if not page["has_more"]:
                break
            query["after"] = page["last_id"]
        return found[:most]

    async def fork(self, session: str, message: str) -> dict[str, Any]:
        """Begin a conversation with a copy of what was said up to a message; return it with its messages."""
        return dict(await self._json("POST", f"{HOME}/{session}/fork", {"message_id": message}))

    async def forget_conversation(self, session: str) -> None:
        """Delete a conversation, and what was remembered of it."""
        async with self._guarded("DELETE", f"{HOME}/{session}"):
            pass

    async def transcript(self, session: str, form: TranscriptForm) -> tuple[bytes, str]:
        """Return a conversation as a file, and the file's name."""
        return await self._file(f"{HOME}/{session}/export?format={form}")

    async def take_transcript(self, data: bytes, character: str) -> dict[str, Any]:
        """Make a conversation with a character of a file; return it, with `warnings`."""
        path = f"{HOME}/import?{httpx.QueryParams({'character': character})}"
        return dict(await self._json("POST", path, data))
