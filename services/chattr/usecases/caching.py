"""Answers that are given again: when one may be, what makes two requests the same, which ones are kept.

Kept a person, not a tenant: a prompt holds who asks and what is remembered of them, and how soon an answer comes would
tell somebody else that it was asked before.
"""

import asyncio
import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from chatacter.chassis.errors import Unavailable
from chattr.domain.identity import Owner
from chattr.ports.language import ChatRequest, Chunk
from chattr.ports.replies import ReplyCache
from chattr.usecases.choices import Choices

# Nobody waits longer for an answer because of a cache that is away.
PATIENCE_SECONDS: Final = 0.5
WORTH_KEEPING: Final = frozenset({"stop", "length", "tool_calls"})
# How an answer comes, and not what it says.
NOT_OF_THE_ANSWER: Final = frozenset({"stream_options"})

CacheUse = Literal["use", "renew", "never"]
"""`renew`: what is kept is not given, the new answer is kept. `never`: neither."""
Forwarded = Literal["miss", "request", "bypass"]


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """Whether an answer was kept, and for how many seconds it still is; else why the model was asked. RFC 9211."""

    ttl: int | None = None
    forwarded: Forwarded | None = None
    away: bool = False


@dataclass(slots=True)
class Looked:
    """What the cache says to a request: `chunks` to give again, else `heard`, which gathers an answer to be kept."""

    fingerprint: str = ""
    status: CacheStatus | None = None
    chunks: Sequence[Chunk] | None = None
    heard: Choices | None = None


class Caching:
    """A cache in front of the language model. Without one it says nothing."""

    def __init__(self, replies: ReplyCache | None) -> None:
        self._replies = replies

    async def look(self, owner: Owner, model: str, request: ChatRequest, use: CacheUse) -> Looked:
        """Look for a kept answer. A cache that is away is told in the status."""
        if self._replies is None:
            return Looked()
        if use == "never":
            return Looked(status=CacheStatus(forwarded="bypass"))
        name = fingerprint(model, request)
        if use == "renew":
            return Looked(name, CacheStatus(forwarded="request"), heard=Choices())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                kept = await self._replies.find(owner, name)
        except (Unavailable, TimeoutError):
            return Looked(status=CacheStatus(forwarded="bypass", away=True))
        if kept is None:
            return Looked(name, CacheStatus(forwarded="miss"), heard=Choices())
        return Looked(name, CacheStatus(ttl=kept.ttl), chunks=kept.chunks)

    async def keep(self, owner: Owner, looked: Looked) -> None:
        """Keep an answer that was heard to its end, if it is worth it. A cache that is away keeps nothing."""
        heard = looked.heard
        if self._replies is None or heard is None or not WORTH_KEEPING.issuperset(heard.finish_reasons or [None]):
            return
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._replies.keep(owner, looked.fingerprint, chunks_of(heard))


async def forget_kept(replies: ReplyCache | None, owner: Owner) -> None:
    """Remove the answers that are kept for a person, which may tell what is forgotten. What cannot be reached now runs
    out by itself.
    """
    if replies is not None:
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await replies.drop(owner)


def fingerprint(model: str, request: ChatRequest) -> str:
    """Hash what decides what a model answers: its name, the messages, the parameters."""
    sampling = {name: value for name, value in request.sampling.items() if name not in NOT_OF_THE_ANSWER}
    asked = {"model": model, "messages": list(request.messages), "goes_on": request.goes_on, "sampling": sampling}
    # Not orjson, which writes no whole number of more than 64 bits.
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def chunks_of(heard: Choices) -> list[Chunk]:
    """Tell a whole answer in few chunks: each choice, why each ended, and what it cost."""
    said: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    for choice in heard.whole():
        index, reason, logprobs = choice["index"], choice.pop("finish_reason"), choice.pop("logprobs")
        message = choice.pop("message")
        if message.get("tool_calls"):
            message["tool_calls"] = [{"index": place, **call} for place, call in enumerate(message["tool_calls"])]
        delta = {name: value for name, value in message.items() if value is not None}
        said.append({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None})
        ended.append({**choice, "delta": {}, "finish_reason": reason})
    chunks: list[Chunk] = [{**heard.more, "choices": [one]} for one in said]
    chunks += [{**heard.more, "choices": [one]} for one in ended]
    return [*chunks, {"choices": [], "usage": heard.usage}] if heard.usage else chunks
