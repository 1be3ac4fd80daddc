"""Videos as clients see them: ordered, listed, fetched, removed. The work itself is `filming`."""

import base64
from collections.abc import Sequence
from typing import Any, Final

import anyio
from pydantic import ValidationError

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, TooLarge, Unsupported
from chatacter.chassis.telemetry import carry
from chatacter.contracts.video import FilmControls, Video, VideoError, VideoGenerationRequest
from chatacter.contracts.video_job import TALKING_MODEL, VideoOrder
from chattr.domain.identity import Owner, new_id
from chattr.ports.assets import Asset, Assets
from chattr.ports.casting import Casting, Picture
from chattr.ports.jobs import Job, Jobs, NewJob, Order
from chattr.ports.media import Filmer
from chattr.usecases.filming import film_id, image_id, sound_id, source_id
from chattr.usecases.serving import require_served

LARGEST_REFERENCE: Final = 16 * 1024 * 1024
IMAGES: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/svg+xml"})
CONTROLS: Final = tuple(FilmControls.model_fields)
STATUS: Final[dict[str, Any]] = {
    "queued": "queued",
    "running": "in_progress",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "failed",
}

SWITCHED_OFF: Final = "Video generation is switched off here (ENABLE_VIDEO_GENERATION=false)."
NO_VOICE: Final = (
    "A character cannot speak while ENABLE_VOICE_GENERATION=false. Send `audio_reference`, or switch voices on."
)
NOTHING_SAID: Final = "`prompt` is what the character says: it must not be empty."
NO_SECONDS: Final = "A film lasts as long as what is said in it: leave `seconds` out."
NO_PORTRAIT: Final = "This character has no portrait. Send a picture as `input_reference`."
ONLY_DATA: Final = "Send the picture itself: as a file, or as a `data:` URL. Addresses and file ids are not fetched."
NOT_AN_IMAGE: Final = "`input_reference` must be a PNG, JPEG, WebP or layered SVG picture."
TOO_LARGE: Final = "A reference may have at most 16 MiB."
BAD_SIZE: Final = "`size` is WIDTHxHEIGHT, both even and from 64 to 2048."
BAD_BASE64: Final = "This `data:` URL is not base64."
NOT_YET: Final = "This video is not finished. GET /v1/videos/{id} tells how far it is."
FAILED: Final = "This video could not be made. GET /v1/videos/{id} says why."
UNKNOWN: Final = "There is no such video."


class Film:
    """Orders films and looks after them. Without a filmer video generation is switched off."""

    def __init__(
        self,
        filmer: Filmer | None,
        jobs: Jobs,
        assets: Assets,
        casting: Casting,
        *,
        speech_model: str | None,
    ) -> None:
        self._filmer = filmer
        self._jobs = jobs
        self._assets = assets
        self._casting = casting
        self._speech_model = speech_model

    async def create(self, owner: Owner, order: VideoOrder, upload: Picture | None = None) -> Video:
        """Store a job for an order. Raises `InvalidInput` and its kin for what cannot be filmed."""
        if self._filmer is None:
            raise Unsupported(SWITCHED_OFF)
        if order.seconds is not None:
            raise Unsupported(NO_SECONDS, param="seconds")
        await require_served(self._filmer, "video", order.model)
        picture = upload or picture_of(order)
        sound = decoded(order.audio_reference) if order.audio_reference else None
        source = decoded(order.video_reference) if order.video_reference else None
        job_id = new_id("video")
        request = basics(order)
        if order.model == TALKING_MODEL or order.character is not None:
            picture = await self._cast(owner, order, request, picture, silent=sound is not None)
        try:
            if picture is not None:
                request["image"] = await self._kept(owner, image_id(job_id), picture)
            if sound is not None:
                request["sound"] = await self._kept(owner, sound_id(job_id), sound)
            if source is not None:
                request["source"] = await self._kept(owner, source_id(job_id), source)
            job = await self._jobs.enqueue(owner, NewJob(job_id, "video", order.model, request, carry()))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._clear(owner, job_id, fence=0)
            raise
        return video_of(job)

    async def list(self, owner: Owner, *, after: str | None, limit: int, order: Order) -> Sequence[Video]:
        """Return the tenant's videos by age; one more than `limit` when there are more."""
        jobs = await self._jobs.list(owner, "video", after=after, limit=limit + 1, order=order)
        return [video_of(job) for job in jobs]

    async def get(self, owner: Owner, video_id: str) -> Video:
        """Return one. Raises `NotFound`."""
        return video_of(await self._job(owner, video_id))

    async def content(self, owner: Owner, video_id: str) -> Asset:
        """Return the finished film's asset. Raises `NotFound`, or `Conflict` while there is none."""
        job = await self._job(owner, video_id)
        if job.status != "completed" or job.result is None:
            ended = STATUS[job.status] == "failed"
            raise Conflict(FAILED if ended else NOT_YET, param="video_id", retry_after=None if ended else 2)
        asset = await self._assets.info(owner.shared, job.result["asset"])
        if asset is None:
            raise NotFound(UNKNOWN, param="video_id")
        return asset

    async def delete(self, owner: Owner, video_id: str) -> None:
        """Remove a video with all its files; what runs is stopped. Raises `NotFound`."""
        await self._job(owner, video_id)
        job = await self._jobs.delete(owner, video_id)
        if job is None:
            raise NotFound(UNKNOWN, param="video_id")
        await self._clear(owner, job.id, fence=job.fence)

    async def _clear(self, owner: Owner, job_id: str, *, fence: int) -> None:
        """Remove what was put away for a job, up to that lease."""
        films = (film_id(job_id, number) for number in range(1, fence + 1))
        for asset_id in (image_id(job_id), sound_id(job_id), source_id(job_id), *films):
            await self._assets.delete(owner.shared, asset_id)

    async def _cast(
        self, owner: Owner, order: VideoOrder, request: dict[str, Any], picture: Picture | None, *, silent: bool
    ) -> Picture:
        """Give the request its actor: who speaks, with what voice, and whose portrait is filmed."""
        character_id = order.character or self._casting.default_id
        actor = await self._casting.actor(owner, character_id, filmed=True)
        if actor is None:
            raise NotFound(f"There is no character {character_id!r}. GET /v1/models lists them.", param="character")
        if not silent:
            if not order.prompt.strip():
                raise InvalidInput(NOTHING_SAID, param="prompt")
            if self._speech_model is None:
                raise Unsupported(NO_VOICE, param="character")
            request |= {"voice": actor.voice, "speech_model": actor.speech_model or self._speech_model}
        found = picture or actor.portrait
        if found is None:
            raise InvalidInput(NO_PORTRAIT, param="character")
        request["character"] = actor.id
        return found

    async def _kept(self, owner: Owner, asset_id: str, picture: Picture) -> str:
        if len(picture.data) > LARGEST_REFERENCE:
            raise TooLarge(TOO_LARGE)
        await self._assets.put(owner.shared, asset_id, picture.data, picture.media_type)
        return asset_id

    async def _job(self, owner: Owner, video_id: str) -> Job:
        job = await self._jobs.get(owner, video_id)
        if job is None or job.modality != "video":
            raise NotFound(UNKNOWN, param="video_id")
        return job


def basics(order: VideoOrder) -> dict[str, Any]:
    """Write what the worker needs of an order, as JSON."""
    width, _, height = (order.size or "").partition("x")
    try:
        shot = VideoGenerationRequest(
            model=order.model,
            prompt=order.prompt,
            width=int(width) if width else None,
            height=int(height) if height else None,
            output_format=order.output_format,
            **{name: getattr(order, name) for name in CONTROLS},
        )
    except ValidationError as error:
        raise InvalidInput(BAD_SIZE, param="size") from error
    return shot.model_dump(include={"prompt", "width", "height", "output_format", *CONTROLS})


def picture_of(order: VideoOrder) -> Picture | None:
    """Read the picture that an order carries in its body. Raises `InvalidInput`, `Unsupported`."""
    url = order.image_reference
    if url is None and order.input_reference is not None:
        url = order.input_reference.image_url
        if url is None or not url.startswith("data:"):
            raise Unsupported(ONLY_DATA, param="input_reference")
    if url is None:
        return None
    return checked_image(decoded(url))


def checked_image(picture: Picture) -> Picture:
    """Return a picture of a kind that can be filmed. Raises `InvalidInput`."""
    if picture.media_type not in IMAGES:
        raise InvalidInput(NOT_AN_IMAGE, param="input_reference")
    return picture


def decoded(url: str) -> Picture:
    """Read a base64 `data:` URL. Raises `InvalidInput`."""
    head, _, body = url.partition(",")
    try:
        return Picture(base64.b64decode(body, validate=True), head.removeprefix("data:").partition(";")[0].lower())
    except ValueError as error:  # not base64, or not even ASCII
        raise InvalidInput(BAD_BASE64) from error


def video_of(job: Job) -> Video:
    """Show a job as OpenAI's video object."""
    request, result = job.request, job.result or {}
    width, height = (result.get(side) or request.get(side) for side in ("width", "height"))
    error = job.error
    cancelled = VideoError(code="cancelled", message="The job was cancelled.") if job.status == "cancelled" else None
    return Video(
        id=job.id,
        model=job.model,
        status=STATUS[job.status],
        progress=round(100 * job.progress),
        created_at=int(job.created_at),
        completed_at=int(job.ended_at) if job.ended_at and job.status == "completed" else None,
        prompt=request.get("prompt") or None,
        seconds=f"{result['seconds']:g}" if result else None,
        size=f"{width}x{height}" if width and height else None,
        error=VideoError(code=error.code, message=error.message) if error else cancelled,
        character=request.get("character"),
        metadata=result.get("metadata"),
        phase=job.phase,
    )
