"""A reply in OpenAI's words: chunks, or one object. Source: API reference, "The chat completion object"."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from chatacter.chassis.streaming import DONE
from chatacter.contracts.chat import ChatCompletionRequest
from chatacter.contracts.problem import OpenAIError, OpenAIErrorBody
from chattr.ports.language import Chunk
from chattr.ports.sessions import CANCELLED, FAILED, Event
from chattr.usecases.choices import Choices
from chattr.usecases.draft import Running


class Completion:
    """One reply. What a provider says beside its choices is kept; whose it is (`id`, `model`) is ours."""

    def __init__(self, running: Running, body: ChatCompletionRequest) -> None:
        self._running = running
        self._usage = bool(body.stream_options and body.stream_options.include_usage)
        self._head: dict[str, Any] = {
            "id": "chatcmpl-" + running.reply_id.removeprefix("reply_"),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": body.model,
        }
        self._begun: set[int] = set()
        self._ended = False

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Yield server-sent chunks. A failure after the first text is told in the stream."""
        async with aclosing(self._running.heard()) as heard:
            async for item in heard:
                if item.chunk is not None and item.chunk.get("choices"):
                    yield self._chunk(item.chunk)
                elif item.last and item.event is not None:
                    yield self._ending(item.event)
        yield DONE

    def _chunk(self, chunk: Chunk) -> bytes:
        for choice in chunk["choices"]:
            index = choice.get("index") or 0
            if index not in self._begun:
                self._begun.add(index)
                choice["delta"] = {"role": "assistant", "content": "", **(choice.get("delta") or {})}
            if choice.get("finish_reason"):
                self._ended = True
        if "usage" in chunk:
            chunk["usage"] = None
        return self._line(chunk)

    def _line(self, chunk: Chunk) -> bytes:
        chunk.update(self._head)
        return b"data: %b\n\n" % orjson.dumps(chunk)

    def _ending(self, event: Event) -> bytes:
        if event.type == FAILED:
            return failed_in_stream(event.data)
        told = event.data["told"]
        extra: dict[str, Any] = {"chatacter": {"told": told}} if told else {}
        if event.type == CANCELLED:
            return self._line({"choices": [stopped("stop")], "chatacter": {"cancelled": True, "told": told}})
        # A reply that took too long was cut by us: the provider did not say so.
        lines = b"" if self._ended else self._line({"choices": [stopped(event.data["finish_reason"])]})
        if self._usage:
            return lines + self._line({"choices": [], "usage": event.data["usage"], **extra})
        return lines + (self._line({"choices": [], **extra}) if extra else b"")

    async def whole(self) -> dict[str, Any]:
        """Collect the reply into one object. Raises the error that the reply failed with."""
        choices = Choices()
        ending = await self._running.ending(choices.take)
        reason = ending.get("finish_reason", "stop")
        told = [{**each, "finish_reason": each["finish_reason"] or reason} for each in choices.whole()]
        whole = {
            **choices.more,
            **self._head,
            "object": "chat.completion",
            "choices": told or [silent(reason)],
            "usage": ending.get("usage"),
        }
        return {**whole, "chatacter": {"told": ending["told"]}} if ending.get("told") else whole


def stopped(reason: str) -> dict[str, Any]:
    """Write the last chunk of a choice."""
    return {"index": 0, "delta": {}, "finish_reason": reason}


def silent(reason: str) -> dict[str, Any]:
    """Write the choice of a reply in which nobody said anything."""
    message = {"role": "assistant", "content": "", "refusal": None}
    return {"index": 0, "message": message, "logprobs": None, "finish_reason": reason}


def failed_in_stream(data: dict[str, Any]) -> bytes:
    """Write a failure as OpenAI clients read it out of a stream."""
    error = OpenAIError(message=data["message"], type="server_error", code=data["code"])
    return b"data: " + orjson.dumps(OpenAIErrorBody(error=error).model_dump()) + b"\n\n"
