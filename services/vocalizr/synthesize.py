"""From a request to encoded sound: checked before anything opens, spoken in a thread behind the gate."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from opentelemetry.trace import Tracer

from chatacter.chassis.errors import InvalidInput, NotFound, TooLarge, Unsupported
from chatacter.chassis.telemetry import wordless
from chatacter.contracts.speech import AudioFormat, Phoneme, SpeechRequest, Voice
from chatacter.serving.gate import Gate
from chatacter.serving.loading import Loading
from chatacter.serving.work import streamed
from vocalizr.audio import Encoding, encoder
from vocalizr.backend import SpeechBackend, Utterance
from vocalizr.cloning.studio import Studio
from vocalizr.cloning.voices import OWN
from vocalizr.voices import found, nearest, spoken

OPERATION: Final = "text_to_speech"
# Seconds after which it is looked whether a voice of somebody's own that is speaking still stands.
LOOK: Final = 5.0
# Fields of other servers that change how a text sounds: said that nobody obeys them here, never ignored.
FOREIGN: Final = frozenset({"emotion", "lang_code", "pitch", "style", "temperature", "voice_settings", "volume"})


@dataclass(frozen=True, slots=True)
class Sound:
    """Encoded bytes, in order; with the phonemes that they hold and how long they last."""

    data: bytes
    phonemes: tuple[Phoneme, ...]
    seconds: float


class Synthesizer:
    """One speech model and everything that stands before it."""

    def __init__(
        self,
        model: str,
        backend: SpeechBackend,
        loading: Loading,
        gate: Gate,
        tracer: Tracer,
        studio: Studio,
        *,
        longest: int,
        encoding: Encoding = encoder,
    ) -> None:
        self.model = model
        self.loading = loading
        self._backend = backend
        self._gate = gate
        self._tracer = tracer
        self._studio = studio
        self._longest = longest
        self._encoding = encoding

    async def voices(self) -> Sequence[Voice]:
        """List the voices that came with the model. Raises `NotReady` while it loads."""
        async with self.loading.used():
            return await asyncio.to_thread(self._backend.voices)

    async def listed(self, tenant: str) -> Sequence[Voice]:
        """List the voices that came with the model, then the tenant's own that it can speak."""
        return await self._studio.listed(tenant)

    async def checked(self, request: SpeechRequest, tenant: str) -> Utterance:
        """Check a request against what the model can do. Raises the error that says what to change."""
        if request.model != self.model:
            raise NotFound(f"model: there is no such model here. Served: {self.model}.", param="model")
        await self.loading.obtain()
        capable = self._backend.capabilities
        if not request.input.strip():
            raise InvalidInput("input: the text is empty.", param="input")
        if foreign := sorted(FOREIGN & (request.model_extra or {}).keys()):
            raise Unsupported(f"{foreign[0]}: no model here can be told that; leave it out.", param=foreign[0])
        longest = min(self._longest, capable.max_characters)
        if len(request.input) > longest:
            raise TooLarge(f"input: at most {longest} characters here.", param="input")
        slowest, fastest = capable.speed
        if not slowest <= request.speed <= fastest:
            paces = f"{slowest:g} alone" if slowest == fastest else f"{slowest:g} to {fastest:g}"
            raise Unsupported(f"speed: this model speaks at {paces}.", param="speed")
        if request.instructions and not capable.instructions:
            raise Unsupported("instructions: this model does not follow any; leave them out.", param="instructions")
        if request.timings and not capable.timings:
            raise Unsupported("timings: this model does not tell when a phoneme is heard.", param="timings")
        if request.seed is not None and not capable.seeds:
            raise Unsupported("seed: this model draws no lots that one could bring in; leave it out.", param="seed")
        spoken(request.language, capable.languages)  # before a voice is looked for, and learnt perhaps
        said = Utterance(request.input, request.voice_id, request.speed, None, request.instructions, seed=request.seed)
        if request.voice_id.startswith(OWN):
            own = await self._studio.speakable(tenant, request.voice_id)
            asked = spoken(request.language, capable.languages, own.voice.language)
            language = asked or nearest(own.voice.language, capable.languages)
            return replace(said, language=language, likeness=own.likeness)
        voice = found(await self.voices(), request.voice_id)
        return replace(said, language=spoken(request.language, capable.languages, voice.language))

    async def sounds(self, utterance: Utterance, audio_format: AudioFormat, tenant: str) -> AsyncGenerator[Sound]:
        """Speak. Closing the generator stops the model; its place is free once it has really stopped.

        Raises `Busy` when the queue is full, what the backend raises, and `NotFound` soon after a voice of the tenant's
        own was removed: a chapter does not go on for hours in the voice of somebody who has revoked it.
        """
        work = partial(self._work, utterance, audio_format)
        async with self.loading.used(), self._gate.place(), aclosing(streamed(work)) as pieces:
            looked = time.monotonic()
            async for piece in pieces:
                if utterance.likeness is not None and time.monotonic() - looked >= LOOK:
                    await self._studio.require_standing(tenant, utterance.voice)
                    looked = time.monotonic()
                yield piece

    def _work(self, utterance: Utterance, audio_format: AudioFormat, cancelled: threading.Event) -> Iterator[Sound]:
        rate = self._backend.capabilities.sample_rate
        attributes = {"gen_ai.operation.name": OPERATION, "gen_ai.request.model": self.model}
        with wordless(self._tracer, f"{OPERATION} {self.model}", attributes=attributes) as span:
            coder = None
            total = 0
            for chunk in self._backend.speak(utterance, cancelled):
                coder = coder or self._encoding(audio_format, rate)
                total += chunk.samples.size
                yield Sound(coder.encode(chunk.samples), chunk.phonemes, chunk.samples.size / rate)
            if coder is not None:
                yield Sound(coder.finish(), (), 0.0)
            span.set_attribute("chatacter.audio.seconds", total / rate)
