"""Videos as clients see them: ordered, listed, fetched, removed. The work itself is `filming`."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from chatacter.chassis.errors import Conflict, InvalidInput, NotFound, TooLarge, Unsupported
from chatacter.chassis.telemetry import carry
from chatacter.contracts.directions import EMOTIONS, GAZES, script
from chatacter.contracts.video import FilmControls, Video, VideoError, VideoGenerationRequest
from chatacter.contracts.video_job import TALKING_MODEL, VideoOrder
from chattr.domain.identity import Owner, new_id
from chattr.ports.assets import Asset, Assets
from chattr.ports.casting import Casting, Picture
from chattr.ports.jobs import Job, Jobs, NewJob, Order, Token
from chattr.ports.media import Filmer
from chattr.usecases.job_files import image_id, sound_id, source_id
from chattr.usecases.ordering import enqueued, putting, removed
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
NOT_SHOWN: Final = "`prompt`: there is no such {name}. It can be {known}."
NO_SECONDS: Final = (
    "A film lasts as long as what is said in it, and where nothing is said `num_frames` at `fps`: leave `seconds` out."
)
NO_PORTRAIT: Final = "This character has no portrait. Send a picture as `input_reference`."
ONLY_DATA: Final = "Send the picture itself: as a file, or as a `data:` URL. Addresses and file ids are not fetched."
NOT_AN_IMAGE: Final = "`input_reference` must be a PNG, JPEG, WebP or layered SVG picture."
TOO_LARGE: Final = "A reference may have at most 16 MiB."
BAD_SIZE: Final = "`size` is WIDTHxHEIGHT, both even and from 64 to 2048."
BAD_BASE64: Final = "This `data:` URL is not base64."
NOT_YET: Final = "This video is not finished. GET /v1/videos/{id} tells how far it is."
FAILED: Final = "This video could not be made. GET /v1/videos/{id} says why."
UNKNOWN: Final = "There is no such video."
NO_RENDITION: Final = "This video has no {variant}: its model, {model}, makes none. `variant=video` is there."
SOUND_WAS_SENT: Final = "This video's sound was sent with its order, so its words cannot be changed. Order a new one."
DAY: Final = 86_400


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
        kept_days: int = 0,
    ) -> None:
        self._filmer = filmer
        self._jobs = jobs
        self._assets = assets
        self._casting = casting
        self._speech_model = speech_model
        self._kept_days = kept_days

    async def create(
        self, owner: Owner, order: VideoOrder, upload: Picture | None = None, *, key: str | None = None
    ) -> Video:
        """Store a job for an order; the same order with the same idempotency key is the same job.

        Raises `InvalidInput` and its kin for what cannot be filmed.
        """
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
        async with putting(self._assets, owner, job_id):
            if picture is not None:
                request["image"] = await self._kept(owner, image_id(job_id), picture)
            if sound is not None:
                request["sound"] = await self._kept(owner, sound_id(job_id), sound)
            if source is not None:
                request["source"] = await self._kept(owner, source_id(job_id), source)
        new = NewJob(
            job_id,
            "video",
            order.model,
            request,
            carry(),
            priority=order.priority,
            weight=weight_of(request),
            expires_in=order.expires_after,
            token=token_of(key, order, upload),
        )
        job = await enqueued(self._jobs, self._assets, owner, new)
        return self._shown(job)

    async def remix(self, owner: Owner, video_id: str, prompt: str, *, key: str | None = None) -> Video:
        """Order a finished video anew with other words, all else as it was; twice with one key is once.

        Raises `NotFound`, `Conflict`.
        """
        if self._filmer is None:
            raise Unsupported(SWITCHED_OFF)
        job = await self._job(owner, video_id)
        self._require_done(job)
        if job.request.get("sound"):
            raise Unsupported(SOUND_WAS_SENT, param="prompt")
        if job.model == TALKING_MODEL or job.request.get("voice"):
            require_lines(prompt, spoken=bool(job.request.get("voice")))
        await require_served(self._filmer, "video", job.model)
        job_id = new_id("video")
        request = {**job.request, "prompt": prompt, "remixed_from": video_id}
        async with putting(self._assets, owner, job_id):
            for kind, named in (("image", image_id), ("source", source_id)):
                if kept := job.request.get(kind):
                    request[kind] = await self._copied(owner, kept, named(job_id))
        new = NewJob(
            job_id,
            "video",
            job.model,
            request,
            carry(),
            priority=job.priority,
            weight=weight_of(request),
            token=token_for(key, f"{video_id}\n{prompt}".encode()),
        )
        made = await enqueued(self._jobs, self._assets, owner, new)
        return self._shown(made)

    async def list(self, owner: Owner, *, after: str | None, limit: int, order: Order) -> Sequence[Video]:
        """Return the tenant's videos by age; one more than `limit` when there are more."""
        jobs = await self._jobs.list(owner, "video", after=after, limit=limit + 1, order=order)
        return [self._shown(job) for job in jobs]

    async def get(self, owner: Owner, video_id: str) -> Video:
        """Return one. Raises `NotFound`."""
        return self._shown(await self._job(owner, video_id))

    async def content(self, owner: Owner, video_id: str, variant: str = "video") -> Asset:
        """Return the asset of the finished film, or of a small form of it.

        Raises `NotFound`, also where its model makes no such form; `Conflict` while there is no film.
        """
        job = await self._job(owner, video_id)
        result = self._require_done(job)
        name = result["asset"] if variant == "video" else result.get("renditions", {}).get(variant)
        if name is None:
            raise NotFound(NO_RENDITION.format(variant=variant, model=job.model), param="variant")
        asset = await self._assets.info(owner.shared, name)
        if asset is None:
            raise NotFound(UNKNOWN, param="video_id")
        return asset

    @staticmethod
    def _require_done(job: Job) -> Mapping[str, Any]:
        if job.status != "completed" or job.result is None:
            ended = STATUS[job.status] == "failed"
            raise Conflict(FAILED if ended else NOT_YET, param="video_id", retry_after=None if ended else 2)
        return job.result

    async def delete(self, owner: Owner, video_id: str) -> None:
        """Remove a video with all its files; what runs is stopped. Raises `NotFound`."""
        await self._job(owner, video_id)
        if await removed(self._jobs, self._assets, owner, video_id) is None:
            raise NotFound(UNKNOWN, param="video_id")

    async def _copied(self, owner: Owner, name: str, copy: str) -> str:
        asset = await self._assets.info(owner.shared, name)
        if asset is None:
            raise NotFound(UNKNOWN, param="video_id")
        data = b"".join([part async for part in self._assets.read(owner.shared, name)])
        await self._assets.put(owner.shared, copy, data, asset.media_type)
        return copy

    def _shown(self, job: Job) -> Video:
        return video_of(job, self._kept_days)

    async def _cast(
        self, owner: Owner, order: VideoOrder, request: dict[str, Any], picture: Picture | None, *, silent: bool
    ) -> Picture:
        """Give the request its actor: who speaks, with what voice, and whose portrait is filmed."""
        character_id = order.character or self._casting.default_id
        actor = await self._casting.actor(owner, character_id, filmed=True)
        if actor is None:
            raise NotFound(f"There is no character {character_id!r}. GET /v1/models lists them.", param="character")
        require_lines(order.prompt, spoken=not silent)
        if not silent:
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


def require_lines(prompt: str, *, spoken: bool) -> None:
    """Raise `InvalidInput` where a prompt directs what nobody can act, or has nothing to say though it is spoken."""
    lines = script(prompt)
    for name in lines.unknown:
        known = ", ".join(EMOTIONS if name == "emotion" else GAZES)
        raise InvalidInput(NOT_SHOWN.format(name=name, known=known), param="prompt")
    if spoken and not lines.spoken.strip():
        raise InvalidInput(NOTHING_SAID, param="prompt")


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


def weight_of(request: Mapping[str, Any]) -> float:
    """Say how much work a film is, as its model's jobs compare: what is said takes the time that saying it takes."""
    return float(max(1, len(request["prompt"]))) if request.get("voice") else 1.0


def token_of(key: str | None, order: VideoOrder, upload: Picture | None) -> Token | None:
    """Make a token of an idempotency key, and of what is asked for with it."""
    return token_for(key, order.model_dump_json().encode() + (upload.data if upload else b""))


def token_for(key: str | None, asked: bytes) -> Token | None:
    """The same for anything that is asked for."""
    return (key and Token(hashlib.sha256(key.encode()).hexdigest(), hashlib.sha256(asked).hexdigest())) or None


def video_of(job: Job, kept_days: int = 0) -> Video:
    """Show a job as OpenAI's video object; `kept_days` is how long it stays once it has ended, 0 for ever."""
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
        expires_at=int(job.ended_at + kept_days * DAY) if job.ended_at and kept_days else None,
        remixed_from_video_id=request.get("remixed_from"),
        prompt=request.get("prompt") or None,
        seconds=f"{result['seconds']:g}" if result else None,
        size=f"{width}x{height}" if width and height else None,
        error=VideoError(code=error.code, message=error.message) if error else cancelled,
        character=request.get("character"),
        metadata=result.get("metadata"),
        phase=job.phase,
    )
