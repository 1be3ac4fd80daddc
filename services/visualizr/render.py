"""From a request to a film: checked before anything opens, filmed behind the gate, never silent for long."""

import asyncio
import math
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Final, Literal, Protocol

from opentelemetry.trace import Tracer

from chatacter.chassis.errors import InvalidInput, NotFound, TooLarge
from chatacter.chassis.telemetry import wordless
from chatacter.contracts.speech import Phoneme
from chatacter.contracts.video import VideoGenerationRequest
from chatacter.serving.gate import Gate
from chatacter.serving.loading import Loading
from chatacter.serving.work import streamed
from visualizr import footage, ordered, references
from visualizr.backend import Film, Progress, Shot, Sound, VideoBackend
from visualizr.settings import VisualizrSettings

OPERATION: Final = "generate_video"
HEARTBEAT_SECONDS: Final = 0.8
MAX_PHONEMES: Final = 20_000
# Timings may end a little after the sound does: codecs and rounding.
LATE_SECONDS: Final = 0.5

Piece = Progress | Film


class Signer(Protocol):
    """What signs films."""

    def check(self) -> None:
        """Do nothing while films can be signed. Raises `Misconfigured`."""
        ...

    def signed(self, film: Film, model: str) -> Film:
        """Sign a film that the named model made; blocks. Raises `Misconfigured`."""
        ...


class Unsigned:
    """Signs nothing."""

    def check(self) -> None:
        """Nothing can be in the way."""

    def signed(self, film: Film, _: str) -> Film:
        """Return the film as it is."""
        return film


class Renderer:
    """One video model and everything that stands before it."""

    def __init__(
        self,
        backend: VideoBackend,
        loading: Loading,
        gate: Gate,
        tracer: Tracer,
        settings: VisualizrSettings,
        signer: Signer | None = None,
    ) -> None:
        self.model = loading.name
        self.loading = loading
        self._backend = backend
        self._gate = gate
        self._tracer = tracer
        self._settings = settings
        self._signer = signer or Unsigned()

    async def checked(self, request: VideoGenerationRequest) -> Shot:
        """Check a request against what the model can do, and decode it. Raises the error that says what to change."""
        if request.model != self.model:
            raise NotFound(f"model: there is no such model here. Served: {self.model}.", param="model")
        self._signer.check()
        await self.loading.obtain()
        return await asyncio.to_thread(self._decoded, request)

    def _decoded(self, request: VideoGenerationRequest) -> Shot:
        capable, limits = self._backend.capabilities, self._settings
        ordered.check(request, capable)
        wanted = ordered.filled(request, capable, limits)
        image = sound = clip = None
        if request.image_reference is not None:
            image = references.picture(request.image_reference, capable.image_types, limits.visualizr_max_image_pixels)
        if request.audio_reference is not None:
            sound = references.sound(request.audio_reference, limits.visualizr_max_seconds)
        if request.video_reference is not None:
            clip = footage.unread(request.video_reference)
        return Shot(
            prompt=request.prompt,
            image=image,
            sound=sound,
            clip=clip,
            phonemes=timed(request.phonemes or (), sound),
            width=wanted.width,
            height=wanted.height,
            fps=wanted.fps,
            frames=wanted.frames,
            steps=wanted.steps,
            guidance=wanted.guidance,
            seed=request.seed or 0,
            output_format=request.output_format,
            negative_prompt=request.negative_prompt or "",
            motion=request.motion_strength,
            strength=request.strength,
            quality=request.quality,
            emotion=request.emotion,
            emotion_strength=request.emotion_strength,
            gaze=request.gaze,
        )

    async def film(self, shot: Shot) -> AsyncGenerator[Piece]:
        """Film. A piece comes at least each second, from the queue on; the film is the last one.

        What is wrong with the picture itself is raised before the first piece, unless it had to wait for its turn.
        Closing the generator stops the model; its place is free once it has really stopped. Raises `Busy`.
        """
        stage = Stage()
        async with aclosing(beating(self._queued(shot, stage), stage)) as pieces:
            async for piece in pieces:
                yield piece

    async def _queued(self, shot: Shot, stage: "Stage") -> AsyncGenerator[Piece]:
        async with self._gate.place():
            stage.now = "starting"
            async with aclosing(streamed(partial(self._work, shot))) as pieces:
                async for piece in pieces:
                    stage.now = "filming"
                    yield piece

    def _work(self, shot: Shot, cancelled: threading.Event) -> Iterator[Piece]:
        attributes = {"gen_ai.operation.name": OPERATION, "gen_ai.request.model": self.model}
        self._signer.check()  # again: it may have waited long
        with wordless(self._tracer, f"{OPERATION} {self.model}", attributes=attributes) as span:
            for piece in self._backend.film(self._watched(shot, cancelled), cancelled):
                if isinstance(piece, Film):
                    yield self._signer.signed(piece, self.model)
                    span.set_attribute("chatacter.video.seconds", piece.seconds)
                else:
                    yield piece

    def _watched(self, shot: Shot, cancelled: threading.Event) -> Shot:
        """Decode the film that this one is made from: as many at once as films are made, however many wait."""
        if shot.clip is None or not self._backend.capabilities.watches:
            return shot
        size, most = (shot.width, shot.height), self._settings.visualizr_max_image_pixels
        return replace(shot, clip=footage.clip(shot.clip.file, shot.fps, shot.frames, most, size, cancelled))


class Stage:
    """How far one film is: in the queue, begun without a word from the model yet, or growing."""

    def __init__(self) -> None:
        self.now: Literal["waiting", "starting", "filming"] = "waiting"


async def beating(source: AsyncGenerator[Piece], stage: Stage) -> AsyncGenerator[Piece]:
    """Pass pieces on; where none comes for a while, repeat the last progress, so that nobody takes us for dead.

    While a film is starting nothing is repeated: an answer that has not begun can still be a plain error.
    """
    last = Progress(0.0)
    coming: asyncio.Task[Piece] | None = None
    try:
        while True:
            coming = asyncio.ensure_future(anext(source))
            while not (await asyncio.wait({coming}, timeout=HEARTBEAT_SECONDS))[0]:
                if stage.now != "starting":
                    yield last
            try:
                piece = coming.result()
            except StopAsyncIteration:
                return
            last = replace(piece, preview=None) if isinstance(piece, Progress) else last
            yield piece
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.wait({coming})
        await source.aclose()


def timed(phonemes: Sequence[Phoneme], sound: Sound | None) -> tuple[Phoneme, ...]:
    """Check timings against the sound that they belong to. Raises `InvalidInput`."""
    if not phonemes:
        return ()
    if sound is None:
        raise InvalidInput("phonemes: these are timings of audio_reference; send it too.", param="phonemes")
    if len(phonemes) > MAX_PHONEMES:
        raise TooLarge(f"phonemes: at most {MAX_PHONEMES}.", param="phonemes")
    end = sound.seconds + LATE_SECONDS
    for phoneme in phonemes:
        if not (math.isfinite(phoneme.start) and 0 <= phoneme.start <= phoneme.end <= end):
            raise InvalidInput("phonemes: start and end must lie within the sound, in order.", param="phonemes")
    return tuple(phonemes)
