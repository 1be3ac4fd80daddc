"""What characters remember of a person: to read, correct, pin, forget, and take elsewhere."""

from typing import Any, Final

import httpx

from chatacter.client.connection import Connection

HOME: Final = "/api/v1/memories"


class Memories(Connection):
    """What is done with memories and the summaries of conversations."""

    async def memories(self, character: str) -> dict[str, Any]:
        """Return the archive of all that was said with a character, and of what is known beside it."""
        return dict(await self._json("GET", f"{HOME}/export?{httpx.QueryParams({'character': character})}"))

    async def take_memories(self, archive: Any, character: str) -> dict[str, Any]:
        """Put an archive down as a character's; return what was taken and what was refused."""
        return dict(await self._json("POST", f"{HOME}/import?{httpx.QueryParams({'character': character})}", archive))

    async def remembered(self, character: str, **query: str | int) -> dict[str, Any]:
        """Return a page of memories, `data` and `next`: the newest, or with `q` the best first. `kind`, `after`."""
        return dict(await self._json("GET", f"{HOME}?{httpx.QueryParams({'character': character, **query})}"))

    async def correct_memory(self, memory: str, text: str) -> dict[str, Any]:
        """Let a memory say something else; return it."""
        return dict(await self._json("PATCH", f"{HOME}/{memory}", {"text": text}))

    async def pin_memory(self, memory: str, *, pinned: bool) -> dict[str, Any]:
        """Have a memory reach every prompt, or only those that it bears on; return it."""
        return dict(await self._json("POST" if pinned else "DELETE", f"{HOME}/{memory}/pin"))

    async def forget_memory(self, memory: str) -> None:
        """Forget a memory for good, with what was made of it."""
        async with self._guarded("DELETE", f"{HOME}/{memory}"):
            pass

    async def summaries(self, session: str) -> list[dict[str, Any]]:
        """Return what was summed up of a conversation, the shortest first."""
        return list((await self._json("GET", summaries_of(session)))["data"])

    async def correct_summary(self, session: str, summary: str, text: str) -> dict[str, Any]:
        """Let a summary say something else; return it."""
        return dict(await self._json("PATCH", f"{summaries_of(session)}/{summary}", {"text": text}))

    async def drop_summary(self, session: str, summary: str) -> None:
        """Take a summary back; it is made anew when it is needed."""
        async with self._guarded("DELETE", f"{summaries_of(session)}/{summary}"):
            pass


def summaries_of(session: str) -> str:
    """Return where a conversation's summaries are."""
    return f"/api/v1/conversations/{session}/summaries"
