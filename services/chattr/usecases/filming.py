"""The work behind a video: the character speaks, the camera films what is heard, the film is put away."""

import asyncio
import base64
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.contracts.directions import script
from chatacter.contracts.speech import Phoneme, SpeechDelta, SpeechRequest
from chatacter.contracts.video import (
    FilmControls,
    VideoCompleted,
    VideoFailed,
    VideoGenerationRequest,
    VideoProgress,
)
from chattr.domain.identity import Owner
from chattr.ports.assets import Asset, Assets
from chattr.ports.demand import Demand
from chattr.ports.jobs import Job, Lease
from chattr.ports.media import Filmer, Speaker
from chattr.usecases.job_files import made_by, made_id, rendition_id

T = TypeVar("T")

WAITING: Final = "waiting_for_gpu"
SPEAKING: Final = "speaking"
FILMING: Final = "filming"
PUBLISHING: Final = "publishing"

SPOKEN_PROGRESS: Final = 0.1
FILMED_PROGRESS: Final = 0.95
LONGEST_WAIT: Final = 10.0
SLOW_TO_BEGIN: Final = 3.0
SHORTEST_WAIT: Final = 0.05

NO_VOICE: Final = "Voice generation is switched off here (ENABLE_VOICE_GENERATION=false)."
INPUT_GONE: Final = "The picture or sound of this job was removed."
NO_FILM: Final = "The predictor answered without a film."


@dataclass(slots=True)
class Report:
    """How far a job is, for the heartbeat to tell."""

    progress: float = 0.0
    phase: str = "starting"

    def at(self, phase: str, progress: float) -> None:
        """Tell a phase and how much of the whole is done; progress never falls."""
        self.phase = phase
        self.progress = max(self.progress, progress)

    def waits(self) -> None:
        """Tell that a predictor has not begun yet."""
        self.at(WAITING, self.progress)


@dataclass(frozen=True, slots=True)
class Spoken:
    """A whole sound, and its phonemes where they are known."""

    url: str
    phonemes: list[Phoneme] | None


class FilmWork:
    """Makes the film of a leased job. `patience` is how many seconds it waits for a predictor before it gives the job
    back: for a busy one, and with a sound in hand that would have to be spoken again, for an absent one too. Otherwise
    an absent predictor lets the next job pass at once, which may be for another model. `speaking` and `filming` are the
    seconds that each predictor may take.
    """

    def __init__(
        self,
        speaker: Speaker | None,
        filmer: Filmer,
        assets: Assets,
        demand: Demand,
        *,
        speaking: float,
        filming: float,
        patience: float = 30.0,
    ) -> None:
        self._speaker = speaker
        self._filmer = filmer
        self._assets = assets
        self._demand = demand
        self._speaking = speaking
        self._filming = filming
        self._patience = patience

    async def perform(self, lease: Lease, report: Report) -> Mapping[str, Any]:
        """Make the film and return the job's result. Raises what went wrong; `Unavailable`: nothing has begun."""
        job = lease.job
        request = job.request
        sound = await self._sound(job, report)
        shot = VideoGenerationRequest(
            model=job.model,
            prompt=request["prompt"],
            image_reference=await self._read(job.owner, request.get("image")),
            audio_reference=sound.url if sound else None,
            phonemes=sound.phonemes if sound else None,
            video_reference=await self._read(job.owner, request.get("source")),
            width=request["width"],
            height=request["height"],
            output_format=request["output_format"],
            **{name: request[name] for name in FilmControls.model_fields if name in request},
        )
        film = await self._filmed(shot, report, spoken=sound is not None and not request.get("sound"))
        report.at(PUBLISHING, FILMED_PROGRESS)
        asset = await self._kept(job.owner, made_id(job.id, lease.fence), film.video, film.media_type)
        renditions: dict[str, str] = {}
        for each in film.renditions:
            name = rendition_id(job.id, lease.fence, each.variant)
            renditions[each.variant] = (await self._kept(job.owner, name, each.data, each.media_type)).id
        return {
            "renditions": renditions,
            "asset": asset.id,
            "media_type": film.media_type,
            "sha256": asset.sha256,
            "bytes": asset.size,
            "seconds": film.seconds,
            "width": film.width,
            "height": film.height,
            "fps": film.fps,
            "metadata": film.metadata,
        }

    async def discard(self, lease: Lease) -> None:
        """Remove what a lease that came to nothing has put away."""
        for name in made_by(lease.job.id, lease.fence):
            await self._assets.delete(lease.job.owner.shared, name)

    async def _kept(self, owner: Owner, name: str, encoded: str, media_type: str) -> Asset:
        data = await asyncio.to_thread(base64.b64decode, encoded)
        return await self._assets.put(owner.shared, name, data, media_type)

    async def _sound(self, job: Job, report: Report) -> Spoken | None:
        request = job.request
        if request.get("sound"):
            url = await self._read(job.owner, request["sound"])
            return Spoken(url, None) if url else None
        if not request.get("voice"):
            return None
        speaker = self._speaker
        if speaker is None:
            raise errors.Unsupported(NO_VOICE)
        asked = SpeechRequest(
            model=request["speech_model"],
            input=script(request["prompt"]).spoken,
            voice=request["voice"],
            response_format="wav",
            stream_format="sse",
            timings=True,
        )
        report.at(SPEAKING, 0.0)
        async with self._demand.holding("speech", asked.model):
            try:
                return await self._spoken(speaker, asked, report, job.owner.tenant)
            except errors.Unsupported as error:
                if error.param != "timings":
                    raise
                return await self._spoken(
                    speaker, asked.model_copy(update={"timings": False}), report, job.owner.tenant
                )

    async def _spoken(self, speaker: Speaker, asked: SpeechRequest, report: Report, tenant: str) -> Spoken:
        pieces: list[bytes] = []
        phonemes: list[Phoneme] = []
        async with aclosing(
            patient(
                lambda: speaker.speech_events(asked, Deadline.after(self._speaking), tenant),
                report,
                SPEAKING,
                busy=self._patience,
            )
        ) as events:
            async for event in events:
                if isinstance(event, SpeechDelta):
                    pieces.append(base64.b64decode(event.audio))
                    phonemes += event.phonemes or ()
        return Spoken(data_url("audio/wav", finished_wav(b"".join(pieces))), phonemes or None)

    async def _filmed(self, shot: VideoGenerationRequest, report: Report, *, spoken: bool) -> VideoCompleted:
        report.at(FILMING, SPOKEN_PROGRESS)
        async with aclosing(
            patient(
                lambda: self._filmer.film(shot, Deadline.after(self._filming)),
                report,
                FILMING,
                busy=self._patience,
                away=self._patience if spoken else 0,
            )
        ) as events:
            async for event in events:
                if isinstance(event, VideoProgress):
                    report.at(FILMING, SPOKEN_PROGRESS + (FILMED_PROGRESS - SPOKEN_PROGRESS) * event.progress)
                elif isinstance(event, VideoFailed):
                    raise failure_of(event)
                else:
                    return event
        raise errors.UpstreamFailed(NO_FILM)

    async def _read(self, owner: Owner, asset_id: str | None) -> str | None:
        """Return an asset as a `data:` URL."""
        if asset_id is None:
            return None
        asset = await self._assets.info(owner.shared, asset_id)
        if asset is None:
            raise errors.NotFound(INPUT_GONE)
        async with aclosing(self._assets.read(owner.shared, asset_id)) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        return data_url(asset.media_type, data)


async def patient(
    start: Callable[[], AsyncGenerator[T]],
    report: Report,
    phase: str,
    *,
    busy: float,
    away: float = 0,
    slow: float = SLOW_TO_BEGIN,
) -> AsyncGenerator[T]:
    """Yield a predictor's events. While it is busy, loading or away, ask again, each time anew.

    Raises its last `Unavailable` after `busy` or `away` seconds. Once it has begun its errors pass as they are. One
    that takes `slow` seconds to begin is told as waited for: a balancer may hold the request while a replica starts.
    """
    when_busy, when_away = Deadline.after(busy), Deadline.after(away)
    while True:
        async with aclosing(start()) as items:
            try:
                first = await begun(items, slow, report.waits)
            except StopAsyncIteration:
                return
            except errors.Unavailable as error:
                wait = min(max(error.retry_after or 1.0, SHORTEST_WAIT), LONGEST_WAIT)
                until = when_busy if isinstance(error, errors.Busy) else when_away
                if wait > until.remaining:
                    raise
            else:
                report.at(phase, report.progress)
                yield first
                try:
                    async for item in items:
                        yield item
                except errors.Unavailable as error:  # it had begun: an attempt that failed, not one still to be made
                    raise errors.UpstreamFailed(error.message) from error
                return
        report.waits()
        await asyncio.sleep(wait)


async def begun(items: AsyncGenerator[T], slow: float, tell: Callable[[], None]) -> T:
    """Return the first item; tell when it does not come within `slow` seconds."""
    telling = asyncio.get_running_loop().call_later(slow, tell)
    try:
        return await anext(items)
    finally:
        telling.cancel()


def failure_of(event: VideoFailed) -> errors.ChatacterError:
    """Turn a predictor's failure into our error: one that passes, or the one that it names."""
    if event.retryable:
        return errors.UpstreamFailed(event.message)
    kind = errors.named(event.code)
    return errors.Unsupported(event.message) if kind is None or kind.retryable else kind(event.message)


def finished_wav(data: bytes) -> bytes:
    """Write the true sizes into the header of a WAV that was streamed, when nobody knew them.

    Source: Multimedia Programming Interface and Data Specifications 1.0 (RIFF), "Waveform Audio File Format".
    """
    start = data.find(b"data", 12)
    if not data.startswith(b"RIFF") or start < 0:
        return data
    whole = (len(data) - 8).to_bytes(4, "little")
    samples = (len(data) - start - 8).to_bytes(4, "little")
    return data[:4] + whole + data[8 : start + 4] + samples + data[start + 8 :]


def data_url(media_type: str, data: bytes) -> str:
    """Write bytes as a `data:` URL."""
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"
