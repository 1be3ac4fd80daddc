"""The language model's part of a reply: asked once, or an answer given again that the cache holds."""

import time
from contextlib import aclosing
from typing import Final

from opentelemetry.metrics import Meter
from opentelemetry.trace import SpanKind, StatusCode, Tracer

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import ChatacterError
from chattr.domain.identity import Owner
from chattr.ports.language import ChatRequest, LanguageModel
from chattr.usecases.caching import CacheUse, Caching, Looked
from chattr.usecases.draft import Draft

# OpenTelemetry's semantic conventions for generative AI, without the boundaries that no provider comes near.
FIRST_TEXT_BOUNDARIES: Final = (0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Generating:
    """Asks the language model, and puts what it says into a draft."""

    def __init__(
        self, language: LanguageModel, caching: Caching, *, timeout: float, tracer: Tracer, meter: Meter
    ) -> None:
        self._language = language
        self._caching = caching
        self._timeout = timeout
        self._tracer = tracer
        self._first_text = meter.create_histogram(
            "gen_ai.server.time_to_first_token",
            unit="s",
            description="From the question to the first text",
            explicit_bucket_boundaries_advisory=FIRST_TEXT_BOUNDARIES,
        )
        self._cached = meter.create_counter(
            "chatacter.reply.cache", description="Replies by what the cache said: hit, miss, request, bypass"
        )

    async def run(self, owner: Owner, request: ChatRequest, use: CacheUse, draft: Draft) -> None:
        """Fill the draft. Raises what the language model raises."""
        name = request.model or self._language.name
        looked = await self._caching.look(owner, name, request, use)
        if looked.status is not None:
            draft.running.cache = looked.status
            self._cached.add(1, {"result": looked.status.forwarded or "hit"})
        if looked.chunks is None:
            await self._ask(name, request, draft, looked)
            await self._caching.keep(owner, looked)
            return
        for chunk in looked.chunks:
            draft.take(chunk)

    async def _ask(self, name: str, request: ChatRequest, draft: Draft, looked: Looked) -> None:
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": name}
        with self._tracer.start_as_current_span(f"chat {name}", kind=SpanKind.CLIENT, attributes=attributes) as span:
            try:
                async with aclosing(self._language.stream(request, Deadline.after(self._timeout))) as chunks:
                    async for chunk in chunks:
                        if looked.heard is not None:
                            looked.heard.take(chunk)
                        if draft.take(chunk):
                            self._first_text.record(time.perf_counter() - draft.began, attributes)
            except ChatacterError as error:
                span.set_status(StatusCode.ERROR)
                span.set_attribute("error.type", error.code)
                raise
            span.set_attributes(draft.outcome.attributes())
