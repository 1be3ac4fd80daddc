"""Films from another Visualizr: the same streaming verb, handed on event by event."""

import base64
import binascii
import io
import threading
import wave
from collections.abc import Iterator
from typing import Final

import httpx
import numpy as np
from pydantic import TypeAdapter, ValidationError

from chatacter.chassis.errors import Cancelled, Unavailable, UpstreamFailed
from chatacter.chassis.telemetry import outgoing_headers
from chatacter.contracts.video import (
    VIDEO_MEDIA_TYPES,
    VideoCompleted,
    VideoEvent,
    VideoFailed,
    VideoGenerationRequest,
    VideoProgress,
)
from visualizr.backend import Film, Picture, Preset, Progress, Rendition, Shot, Sound, VideoCapabilities
from visualizr.backends.refusals import failure, refusal
from visualizr.ordered import CONTROLS
from visualizr.references import data_of, data_url
from visualizr.settings import VisualizrSettings

CONNECT: Final = 5.0
EVENTS: Final[TypeAdapter[VideoEvent]] = TypeAdapter(VideoEvent)
AWAY: Final = "The Visualizr that VISUALIZR_REMOTE_URL names does not answer."
ENDED: Final = "The Visualizr behind this one ended its answer without a film."
# What a request leaves out, it leaves to the other one's presets.
AS_THE_OTHER_ONE: Final = Preset(width=0, height=0, fps=0)
WHO: Final = "The Visualizr behind this one"


def create(settings: VisualizrSettings) -> "RemoteVideo":
    """Make the backend that `VISUALIZR_MODEL=remote` asks for."""
    return RemoteVideo(settings)


class RemoteVideo:
    """Asks the other one for each film. What it cannot do, it refuses itself."""

    def __init__(self, settings: VisualizrSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport
        self._client: httpx.Client | None = None

    @property
    def capabilities(self) -> VideoCapabilities:
        """Whatever the other one takes."""
        return VideoCapabilities(
            prompt="optional",
            image="optional",
            sound="optional",
            image_types=frozenset({"image/svg+xml", "image/png", "image/jpeg", "image/webp"}),
            formats=frozenset(VIDEO_MEDIA_TYPES),
            video="optional",
            watches=False,
            controls=frozenset(CONTROLS),
            presets={"standard": AS_THE_OTHER_ONE},
        )

    def load(self) -> None:
        """Open the connection pool."""
        settings = self._settings
        key = settings.visualizr_remote_api_key or settings.service_token
        self._client = httpx.Client(
            base_url=str(settings.visualizr_remote_url).rstrip("/") + "/",
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(settings.visualizr_remote_timeout, connect=CONNECT),
            transport=self._transport,
        )

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Pass on what the other one films. Raises `Unavailable`, `UpstreamFailed`, or its refusal as our own.

        The other one's heartbeat is what wakes us: within a second of `cancelled` the connection is closed, which
        stops the work there.
        """
        if self._client is None:
            raise RuntimeError("load() comes first")
        body = request_of(shot, self._settings.visualizr_remote_model).model_dump(mode="json", exclude_none=True)
        try:
            with self._client.stream("POST", "video/generations", json=body, headers=outgoing_headers()) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise refusal(response, WHO)
                yield from pieces(response, cancelled)
        except httpx.TransportError as error:
            raise Unavailable(AWAY) from error

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()


def pieces(response: httpx.Response, cancelled: threading.Event) -> Iterator[Progress | Film]:
    """Read events until the film. Raises what the other one failed with, or `UpstreamFailed`."""
    for line in response.iter_lines():
        if cancelled.is_set():
            raise Cancelled("The film was cancelled.")
        if not line.startswith("data:"):
            continue
        try:
            event = EVENTS.validate_json(line.removeprefix("data:"))
        except ValidationError as error:
            raise UpstreamFailed("The Visualizr behind this one sent an event that is none.") from error
        if isinstance(event, VideoFailed):
            raise failure(event.code, event.message, retryable=event.retryable)
        if isinstance(event, VideoCompleted):
            yield film_of(event)
            return
        yield progress_of(event)
    raise UpstreamFailed(ENDED)


def request_of(shot: Shot, model: str) -> VideoGenerationRequest:
    """Write a shot as a request."""
    return VideoGenerationRequest(
        model=model,
        prompt=shot.prompt,
        image_reference=data_url(shot.image) if shot.image else None,
        audio_reference=data_url(Picture("audio/wav", wav(shot.sound))) if shot.sound else None,
        phonemes=list(shot.phonemes) or None,
        video_reference=data_url(shot.clip.file) if shot.clip else None,
        width=shot.width or None,
        height=shot.height or None,
        fps=shot.fps or None,
        num_frames=shot.frames,
        num_inference_steps=shot.steps,
        guidance_scale=shot.guidance,
        negative_prompt=shot.negative_prompt or None,
        motion_strength=shot.motion,
        strength=shot.strength,
        emotion=shot.emotion,
        emotion_strength=shot.emotion_strength,
        gaze=shot.gaze,
        quality=shot.quality,
        seed=shot.seed,
        output_format=shot.output_format,
    )


def wav(sound: Sound) -> bytes:
    """Write a sound as 16-bit WAV."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(sound.rate)
        writer.writeframes(np.rint(np.clip(sound.samples, -1.0, 1.0) * 32767.0).astype("<i2").tobytes())
    return file.getvalue()


def film_of(event: VideoCompleted) -> Film:
    """Read the last event. Raises `UpstreamFailed` when its film is broken."""
    try:
        data = base64.b64decode(event.video, validate=True)
        small = tuple(
            Rendition(each.variant, each.media_type, base64.b64decode(each.data, validate=True))
            for each in event.renditions
        )
    except binascii.Error as error:
        raise UpstreamFailed(ENDED) from error
    return Film(data, event.media_type, event.seconds, event.width, event.height, event.fps, event.metadata, small)


def progress_of(event: VideoProgress) -> Progress:
    """Read an event before the last. Raises `InvalidInput` when its preview is broken."""
    preview = Picture(*data_of(event.preview, "preview")) if event.preview else None
    return Progress(event.progress, event.step, event.steps, preview)
