"""OpenAI's `/v1/videos`: orders as JSON and as multipart, jobs as video objects, the finished film."""

from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.video import VIDEO_MEDIA_TYPES, RenditionVariant, Video
from chatacter.contracts.video_job import VideoDeleted, VideoList, VideoOrder, VideoRemix
from chattr.dependencies import AssetsDep, FilmDep, OwnerDep
from chattr.ports.casting import Picture
from chattr.ports.jobs import Order
from chattr.routes.bodies import mistaken, read
from chattr.routes.download import download
from chattr.routes.idempotency import IdempotentRoute, OwnKeyDep

router = APIRouter(
    prefix="/v1/videos", tags=["Video"], dependencies=[Depends(scope("videos"))], route_class=IdempotentRoute
)

POLL_AFTER: Final = {"openai-poll-after-ms": "500"}
REFERENCE: Final = "input_reference"
MOST_FIELDS: Final = 64
NOT_AN_IMAGE: Final = "`input_reference` must be a PNG, JPEG, WebP or layered SVG picture."
ONE_FILE: Final = "Only `input_reference` can be a file."


def order_schema() -> dict[str, Any]:
    """Describe an order's body in both of its forms."""
    schema = VideoOrder.model_json_schema()
    reference = schema.pop("$defs")["ImageReference"]
    properties = schema["properties"]
    as_file = {**schema, "properties": {**properties, REFERENCE: {"type": "string", "format": "binary"}}}
    as_json = {**schema, "properties": {**properties, REFERENCE: reference}}
    content = {"application/json": {"schema": as_json}, "multipart/form-data": {"schema": as_file}}
    return {"requestBody": {"required": True, "content": content}}


@router.post("", openapi_extra=order_schema())
async def create(request: Request, response: Response, owner: OwnerDep, film: FilmDep, key: OwnKeyDep) -> Video:
    """Order a video; it is made in the background. Poll it, then fetch its content."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() == "multipart/form-data":
        order, upload = await from_form(request)
    else:
        order, upload = read(VideoOrder, await request.body()), None
    response.headers.update(POLL_AFTER)
    return await film.create(owner, order, upload, key=key)


@router.get("")
async def list_videos(
    owner: OwnerDep,
    film: FilmDep,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Order = "desc",
) -> VideoList:
    """List the tenant's videos by age."""
    page = await film.list(owner, after=after, limit=limit, order=order)
    shown = list(page[:limit])
    return VideoList(
        data=shown,
        first_id=shown[0].id if shown else None,
        last_id=shown[-1].id if shown else None,
        has_more=len(page) > limit,
    )


@router.get("/{video_id}")
async def get(video_id: str, response: Response, owner: OwnerDep, film: FilmDep) -> Video:
    """Show how far a video is."""
    response.headers.update(POLL_AFTER)
    return await film.get(owner, video_id)


@router.delete("/{video_id}")
async def delete(video_id: str, owner: OwnerDep, film: FilmDep) -> VideoDeleted:
    """Remove a video and its files; what runs is stopped."""
    await film.delete(owner, video_id)
    return VideoDeleted(id=video_id)


@router.get(
    "/{video_id}/content",
    response_class=Response,
    responses={200: {"content": {kind: {} for kind in VIDEO_MEDIA_TYPES.values()}}},
)
async def content(
    video_id: str,
    request: Request,
    owner: OwnerDep,
    film: FilmDep,
    assets: AssetsDep,
    variant: Literal["video", RenditionVariant] = "video",
) -> Response:
    """Return the finished film, or a small form of it where its model makes one; whole or in part."""
    return await download(assets, owner.shared, await film.content(owner, video_id, variant), request)


@router.post("/{video_id}/remix")
async def remix(
    video_id: str, body: VideoRemix, response: Response, owner: OwnerDep, film: FilmDep, key: OwnKeyDep
) -> Video:
    """Order a finished video anew with another prompt; everything else is as it was."""
    response.headers.update(POLL_AFTER)
    return await film.remix(owner, video_id, body.prompt, key=key)


async def from_form(request: Request) -> tuple[VideoOrder, Picture | None]:
    """Read an order with an uploaded picture. Raises `RequestValidationError`, `InvalidInput`."""
    fields: dict[str, Any] = {}
    upload: Picture | None = None
    async with request.form(max_files=1, max_fields=MOST_FIELDS) as form:
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                put(fields, name, value)
            elif name == REFERENCE:
                upload = pictured(await value.read())
            else:
                raise InvalidInput(ONE_FILE, param=name)
    try:
        return VideoOrder.model_validate(fields), upload
    except ValidationError as error:
        raise mistaken(error) from error


def put(fields: dict[str, Any], name: str, value: str) -> None:
    """Put a form's field where it belongs; `a[b]` is `b` within `a`, as OpenAI's clients write objects."""
    outer, bracket, inner = name.partition("[")
    if not bracket:
        fields[outer] = value
        return
    within = fields.setdefault(outer, {})
    if isinstance(within, dict):
        within[inner.rstrip("]")] = value


def pictured(data: bytes) -> Picture:
    """Tell an image's kind by its first bytes, whatever the client calls it. Raises `InvalidInput`."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Picture(data, "image/png")
    if data.startswith(b"\xff\xd8\xff"):
        return Picture(data, "image/jpeg")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Picture(data, "image/webp")
    if data.lstrip()[:4] in {b"<svg", b"<?xm"}:
        return Picture(data, "image/svg+xml")
    raise InvalidInput(NOT_AN_IMAGE, param=REFERENCE)
