"""Long texts are said in the background: a job a text, passage by passage, one sound at the end."""

import hashlib
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, Final

from chatacter.chassis import errors
from chatacter.chassis.deadline import Deadline
from chatacter.chassis.telemetry import carry
from chatacter.contracts.speech import MEDIA_TYPES, LongSpeech, SpeechRequest
from chattr.domain.identity import Owner, new_id
from chattr.domain.passages import passages
from chattr.ports.assets import Assets
from chattr.ports.jobs import Job, Jobs, Lease, NewJob, Token
from chattr.ports.media import Speaker
from chattr.usecases.filming import PUBLISHING, SPEAKING, Report, finished_wav, patient
from chattr.usecases.job_files import made_by, made_id, text_id
from chattr.usecases.ordering import enqueued, putting
from chattr.usecases.speak import Speak

TEXT: Final = "text/plain; charset=utf-8"
PATIENCE: Final = 30.0
SAID_PROGRESS: Final = 0.98
NOTHING_SAID: Final = "`input` has nothing in it that could be said."
TEXT_GONE: Final = "The text of this job was removed."
# What a request says beside its text, its voice and its model, which are resolved when it is ordered.
KEPT: Final = frozenset({"model", "voice", "instructions", "response_format", "speed", "language", "seed"})


class ReadAloud:
    """Takes orders of long speech."""

    def __init__(self, speak: Speak, jobs: Jobs, assets: Assets) -> None:
        self._speak = speak
        self._jobs = jobs
        self._assets = assets

    async def create(self, owner: Owner, order: LongSpeech, *, key: str | None = None) -> Job:
        """Store a job; the same order with the same idempotency key is the same job.

        Raises `NotFound` for an unknown model, `InvalidInput` where there is nothing to say.
        """
        if not order.input.strip():
            raise errors.InvalidInput(NOTHING_SAID, param="input")
        first = SpeechRequest.model_validate({**order.model_dump(include=set(KEPT)), "input": "-"})
        asked = await self._speak.resolved(owner, first)
        job_id = new_id("speech")
        request = {**asked.model_dump(include=set(KEPT)), "text": text_id(job_id)}
        async with putting(self._assets, owner, job_id):
            await self._assets.put(owner.shared, text_id(job_id), order.input.encode(), TEXT)
        new = NewJob(
            job_id,
            "speech",
            asked.model,
            request,
            carry(),
            priority=order.priority,
            weight=float(len(order.input)),
            expires_in=order.expires_after,
            token=token_of(key, order),
        )
        return await enqueued(self._jobs, self._assets, owner, new)


class SpeechWork:
    """Says the text of a leased job. `seconds` is how long a passage may take."""

    def __init__(self, speaker: Speaker, assets: Assets, *, seconds: float, patience: float = PATIENCE) -> None:
        self._speaker = speaker
        self._assets = assets
        self._seconds = seconds
        self._patience = patience

    async def perform(self, lease: Lease, report: Report) -> Mapping[str, Any]:
        """Say it and return the job's result. Raises what went wrong; `Unavailable`: nothing has begun."""
        job = lease.job
        text = await self._text(job)
        form = job.request["response_format"]
        parts = list(passages(text))
        said, sounds = 0, []
        for number, part in enumerate(parts):
            report.at(SPEAKING, SAID_PROGRESS * said / len(text))
            sounds.append(await self._said(job, part, report, begun=number > 0))
            said += len(part)
        report.at(PUBLISHING, SAID_PROGRESS)
        asset = await self._assets.put(
            job.owner.shared, made_id(job.id, lease.fence), joined(sounds, form), MEDIA_TYPES[form]
        )
        return {
            "asset": asset.id,
            "media_type": asset.media_type,
            "sha256": asset.sha256,
            "bytes": asset.size,
            "passages": len(parts),
        }

    async def discard(self, lease: Lease) -> None:
        """Remove what a lease that came to nothing has put away."""
        for name in made_by(lease.job.id, lease.fence):
            await self._assets.delete(lease.job.owner.shared, name)

    async def _said(self, job: Job, part: str, report: Report, *, begun: bool) -> bytes:
        asked = SpeechRequest(**{name: job.request[name] for name in KEPT if name in job.request}, input=part)
        pieces = patient(
            lambda: self._speaker.speak(asked, Deadline.after(self._seconds), job.owner.tenant),
            report,
            SPEAKING,
            busy=self._patience,
            away=self._patience if begun else 0,
        )
        try:
            async with aclosing(pieces):
                return b"".join([piece async for piece in pieces])
        except errors.Unavailable as error:
            if not begun:
                raise
            raise errors.UpstreamFailed(error.message) from error  # an attempt that failed, not one still to be made

    async def _text(self, job: Job) -> str:
        owner, name = job.owner.shared, job.request["text"]
        if await self._assets.info(owner, name) is None:
            raise errors.NotFound(TEXT_GONE)
        async with aclosing(self._assets.read(owner, name)) as chunks:
            return b"".join([chunk async for chunk in chunks]).decode()


def joined(sounds: list[bytes], form: str) -> bytes:
    """Put sounds of one encoding behind each other. The first one's header, and the mark in it, stands for all."""
    if form == "wav":
        return finished_wav(b"".join([sounds[0], *(samples_of(each) for each in sounds[1:])]))
    if form == "mp3":
        return b"".join([sounds[0], *(frames_of(each) for each in sounds[1:])])
    return b"".join(sounds)


def samples_of(wav: bytes) -> bytes:
    """Leave a streamed WAV's header out. Source: RIFF specification, "Waveform Audio File Format"."""
    start = wav.find(b"data", 12)
    return wav[start + 8 :] if wav.startswith(b"RIFF") and start > 0 else wav


def frames_of(mp3: bytes) -> bytes:
    """Leave an MP3's ID3v2 tag out. Source: ID3v2.4, section 3.1: four times seven bits of size after six bytes."""
    if not mp3.startswith(b"ID3") or len(mp3) < 10:
        return mp3
    size = 0
    for byte in mp3[6:10]:
        size = size << 7 | byte & 0x7F
    return mp3[10 + size :]


def token_of(key: str | None, order: LongSpeech) -> Token | None:
    """Make a token of an idempotency key, and of what is asked for with it."""
    if key is None:
        return None
    asked = hashlib.sha256(order.model_dump_json().encode())
    return Token(hashlib.sha256(key.encode()).hexdigest(), asked.hexdigest())
