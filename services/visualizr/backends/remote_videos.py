"""Films from any server with OpenAI's videos API: a job is created there, asked after, fetched, and removed.

Source: OpenAI API reference, "Videos". OpenAI's own service has ended; vLLM-Omni, LiteLLM and Chattr have the same.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from chatacter.chassis.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidInput,
    Misconfigured,
    Unavailable,
    UpstreamFailed,
)
from chatacter.chassis.telemetry import outgoing_headers
from chatacter.contracts.base import Open
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, Metadata
from visualizr.backend import Control, Film, Picture, Preset, Progress, Shot, VideoCapabilities
from visualizr.backends.refilming import FETCHED, refilmed
from visualizr.backends.refusals import failure, refusal
from visualizr.ordered import CONTROLS
from visualizr.settings import VisualizrSettings

logger = logging.getLogger(__name__)

CONNECT: Final = 5.0
PARTING: Final = 5.0
POLL: Final = (0.1, 10.0)
MOST_BYTES: Final = 512 * 1024 * 1024
WHO: Final = "The video server behind this one"
AWAY: Final = "The video server that VISUALIZR_REMOTE_URL names does not answer."
NO_JOB: Final = f"{WHO} answered with something that is no video job."
CANCELLED: Final = "The film was cancelled."
NO_NAMES: Final = frozenset({"", ".", ".."})
LOST: Final = frozenset({httpx.codes.NOT_FOUND, httpx.codes.CONFLICT, httpx.codes.GONE})
# What a request leaves out, it leaves to the other one.
AS_THE_OTHER_ONE: Final = Preset(width=0, height=0, fps=0)
# Fields that its server may take beside OpenAI's, and what they are called in a shot.
FIELDS: Final = {
    "emotion": "emotion",
    "emotion_strength": "emotion_strength",
    "fps": "fps",
    "gaze": "gaze",
    "guidance_scale": "guidance",
    "motion_strength": "motion",
    "negative_prompt": "negative_prompt",
    "num_frames": "frames",
    "num_inference_steps": "steps",
    "quality": "quality",
    "seed": "seed",
}
SUFFIXES: Final = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}


class RemoteError(Open):
    """Why a film failed there."""

    code: str = "unknown"
    message: str = ""


class RemoteVideo(Open):
    """What is read of a video job."""

    id: str
    status: str
    progress: float | None = None
    error: RemoteError | None = None


JOB: Final = TypeAdapter(RemoteVideo)


def create(settings: VisualizrSettings) -> "RemoteVideos":
    """Make the backend that `VISUALIZR_MODEL=remote-videos` asks for."""
    return RemoteVideos(settings)


class RemoteVideos:
    """Orders each film from the other server. What comes back is recorded anew: in the form, with the sound and the
    mark that every film has.
    """

    def __init__(self, settings: VisualizrSettings, transport: httpx.BaseTransport | None = None) -> None:
        self._settings = settings
        self._transport = transport
        self._client: httpx.Client | None = None

    @property
    def capabilities(self) -> VideoCapabilities:
        """What the settings say of the other server."""
        controls: set[Control] = {name for name in CONTROLS if name in self._settings.visualizr_remote_fields}
        return VideoCapabilities(
            prompt="required",
            image="optional",
            sound="optional",
            image_types=frozenset(SUFFIXES),
            formats=frozenset(VIDEO_MEDIA_TYPES),
            controls=frozenset(controls),
            presets={"standard": AS_THE_OTHER_ONE},
        )

    def load(self) -> None:
        """Open the connection pool. Raises `Misconfigured`."""
        settings = self._settings
        unknown = sorted(set(settings.visualizr_remote_fields) - set(FIELDS))
        if unknown:
            raise Misconfigured(f"VISUALIZR_REMOTE_FIELDS: {unknown[0]} is none of {', '.join(FIELDS)}.")
        if not all(each.isdecimal() and int(each) for each in settings.visualizr_remote_seconds):
            raise Misconfigured("VISUALIZR_REMOTE_SECONDS: whole seconds, separated by commas, e.g. 4,8,12.")
        key = settings.visualizr_remote_api_key
        self._client = httpx.Client(
            base_url=str(settings.visualizr_remote_url).rstrip("/") + "/",
            headers={"authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            timeout=httpx.Timeout(settings.visualizr_remote_timeout, connect=CONNECT),
            transport=self._transport,
        )

    def film(self, shot: Shot, cancelled: threading.Event) -> Iterator[Progress | Film]:
        """Order a film and fetch it. Raises `Unavailable`, `DeadlineExceeded`, or what the other one says.

        However it ends, nothing of it stays there: who hangs up ends the work there too, as far as that server can.
        """
        if self._client is None:
            raise RuntimeError("load() comes first")
        job = self._ordered(self._client, shot)
        try:
            yield Progress(0.0)
            yield from self._awaited(self._client, job, cancelled)
            file = self._fetched(self._client, job.id, cancelled)
        finally:
            self._removed(self._client, job.id)
        yield from refilmed(file, shot, self._settings, cancelled, self._told(shot))

    def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            self._client.close()

    def _ordered(self, client: httpx.Client, shot: Shot) -> RemoteVideo:
        parts: list[tuple[str, tuple[str | None, bytes | str, str | None]]] = [
            (name, (None, value, None)) for name, value in self._fields(shot).items()
        ]
        if shot.image is not None:
            kind = shot.image.media_type
            parts.append(("input_reference", (f"reference.{SUFFIXES[kind]}", shot.image.data, kind)))
        try:
            response = client.post("videos", files=parts, headers=outgoing_headers())
        except httpx.TransportError as error:
            raise Unavailable(AWAY) from error
        return job_of(response)

    def _fields(self, shot: Shot) -> dict[str, str]:
        fields = {"model": self._settings.visualizr_remote_model, "prompt": shot.prompt}
        if shot.width or shot.height:
            if not (shot.width and shot.height):
                raise InvalidInput("width, height: name both for this model, or neither.", param="width")
            fields["size"] = f"{shot.width}x{shot.height}"
        lengths = sorted(map(int, self._settings.visualizr_remote_seconds))
        if lengths and shot.sound is not None:
            wanted = math.ceil(shot.sound.seconds)
            fields["seconds"] = str(next((each for each in lengths if each >= wanted), lengths[-1]))
        return fields | {name: str(value) for name, value in self._passed_on(shot).items()}

    def _passed_on(self, shot: Shot) -> Metadata:
        """Return what is told beside OpenAI's fields."""
        said = {name: getattr(shot, FIELDS[name]) for name in self._settings.visualizr_remote_fields}
        return {name: value for name, value in said.items() if value not in (None, "") and (name, value) != ("fps", 0)}

    def _told(self, shot: Shot) -> Metadata:
        passed = self._passed_on(shot)
        return {"model": self._settings.visualizr_remote_model, **passed, "passed_on": sorted(passed)}

    def _awaited(self, client: httpx.Client, job: RemoteVideo, cancelled: threading.Event) -> Iterator[Progress]:
        """Ask after a job until it is completed; yield how far it is. A server may be away for a while meanwhile."""
        began = heard = time.monotonic()
        pause, done = 0.0, 0.0
        while job.status != "completed":
            if job.status not in {"queued", "in_progress"}:
                error = job.error or RemoteError()
                raise failure(error.code, error.message or f"{WHO} ended its work without a film.")
            if cancelled.wait(pause):
                raise Cancelled(CANCELLED)
            now = time.monotonic()
            if now - began > self._settings.visualizr_remote_longest:
                raise DeadlineExceeded(f"{WHO} has not finished the film within VISUALIZR_REMOTE_LONGEST.")
            found, pause = asked_after(client, job.id)
            if found is None and now - heard > self._settings.visualizr_remote_timeout:
                raise Unavailable(AWAY)
            if found is not None:
                job, heard = found, now
                done = max(done, min(1.0, (job.progress or 0.0) / 100) * FETCHED)
                yield Progress(done)

    def _fetched(self, client: httpx.Client, name: str, cancelled: threading.Event) -> Picture:
        """Fetch a film. Raises `UpstreamFailed` for one that is none, or is too large."""
        content = bytearray()
        try:
            with client.stream("GET", f"{address_of(name)}/content", headers=outgoing_headers()) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    require_there(response)
                    raise refusal(response, WHO)
                for part in response.iter_bytes():
                    if cancelled.is_set():
                        raise Cancelled(CANCELLED)
                    content += part
                    if len(content) > MOST_BYTES:
                        raise UpstreamFailed(f"{WHO} made a film of more than {MOST_BYTES} bytes.")
        except httpx.TransportError as error:
            raise Unavailable(AWAY) from error
        return Picture(response.headers.get("content-type", "").partition(";")[0].strip().lower(), bytes(content))

    def _removed(self, client: httpx.Client, name: str) -> None:
        try:
            client.delete(address_of(name), headers=outgoing_headers(), timeout=PARTING).raise_for_status()
        except httpx.HTTPError as error:
            logger.warning(
                "the job could not be removed from the video server", extra={"error.type": type(error).__name__}
            )


def job_of(response: httpx.Response) -> RemoteVideo:
    """Read a video job. Raises the refusal that came instead, or `UpstreamFailed`."""
    if not response.is_success:
        raise refusal(response, WHO)
    try:
        job = JOB.validate_json(response.content)
    except ValidationError as error:
        raise UpstreamFailed(NO_JOB) from error
    if not job.id.isprintable() or job.id in NO_NAMES:  # it becomes part of an address
        raise UpstreamFailed(NO_JOB)
    return job


def address_of(name: str) -> str:
    """Return where a job is; ids are anything, LiteLLM's end with `=`."""
    return f"videos/{quote(name, safe='')}"


def require_there(response: httpx.Response) -> None:
    """Raise `UpstreamFailed` where a job that was ordered is gone or unfit: whoever asks for the film did no wrong."""
    if response.status_code in LOST:
        raise UpstreamFailed(f"{WHO} lost the film: it answers with status {response.status_code}.")


def asked_after(client: httpx.Client, name: str) -> tuple[RemoteVideo | None, float]:
    """Return how a job is, None where the server is away or busy, and the seconds until it may be asked again."""
    try:
        response = client.get(address_of(name), headers=outgoing_headers())
    except httpx.TransportError:
        return None, 1.0
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
        return None, 1.0
    require_there(response)
    wanted = response.headers.get("openai-poll-after-ms", "")
    seconds = int(wanted) / 1000 if wanted.isdigit() else 1.0
    return job_of(response), min(max(seconds, POLL[0]), POLL[1])
