"""Characters: list, create, read, replace, change, delete, and their portraits. Cards are `routes/cards`."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, NotFound, Unsupported
from chatacter.contracts.base import Strict
from chattr.dependencies import ActorsDep, CastDep, EditingDep, OwnerDep
from chattr.domain.character import Character, CharacterCreate, CharacterRead, CharacterReplace, Origin
from chattr.domain.identity import Owner
from chattr.domain.photo import photo
from chattr.domain.search import Search
from chattr.ports.casting import Picture
from chattr.routes.etags import REVALIDATED, Conditions, ConditionsDep, etag
from chattr.routes.idempotency import IdempotentRoute
from chattr.routes.upload import Upload
from chattr.usecases.casting import Actors
from chattr.usecases.characters import Known
from chattr.usecases.editing import ANOTHER_ID, NO_PORTRAIT

# A picture may be an SVG that somebody sent: opened by itself in a browser, it must not run anything.
INERT: Final = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "x-content-type-options": "nosniff",
}
JSON: Final = "application/json"
PATCH_TYPES: Final = ("application/merge-patch+json", JSON)
NO_PATCH_TYPE: Final = f"Send a JSON merge patch (RFC 7396) as {' or '.join(PATCH_TYPES)}."
PORTRAIT: Final = Upload("a portrait", ("image/png", "image/jpeg", "image/webp"))
NO_JSON: Final = "The body is not JSON."


class CharacterList(Strict):
    """A page of those who can be talked with, by id."""

    object: Literal["list"] = "list"
    data: list[CharacterRead]
    has_more: bool
    """Whether others come behind the last one."""
    last_id: str | None
    """What `after` is for the next page; null for an empty one."""


UNCHANGED: Final[dict[int | str, Any]] = {304: {"description": "What the asker holds is what there is"}}
MADE: Final[dict[int | str, Any]] = {201: {"model": CharacterRead, "description": "It was made"}}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which part of whom is asked for."""

    search: Search
    origin: Origin | None
    after: str | None
    limit: int


def wanted(
    q: Annotated[str, Query(max_length=200, description="Words in name, description or tags")] = "",
    tag: Annotated[list[str] | None, Query(max_length=32, description="A tag; of several each must be there")] = None,
    origin: Origin | None = None,
    after: Annotated[str | None, Query(max_length=64, description="Id that the page before ended with")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Wanted:
    """Read whom a list is to hold."""
    return Wanted(Search.of(q, tag or ()), origin, after, limit)


def patch_body() -> dict[str, Any]:
    """Describe a merge patch: any of the fields, null to take one away."""
    fields = CharacterCreate.model_json_schema(ref_template="#/components/schemas/{model}")["properties"]
    anything = {name: {"description": schema.get("description", "")} for name, schema in fields.items()}
    schema = {"type": "object", "properties": anything}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema} for kind in PATCH_TYPES}}}


router = APIRouter(
    prefix="/api/v1/characters",
    tags=["Characters"],
    dependencies=[Depends(scope("characters"))],
    route_class=IdempotentRoute,
)


@router.get("", response_model=CharacterList, responses=UNCHANGED)
async def list_characters(
    owner: OwnerDep,
    cast: CastDep,
    actors: ActorsDep,
    asked: ConditionsDep,
    whom: Annotated[Wanted, Depends(wanted)],
) -> Response:
    """List who can be talked with, by id: the installation's, the tenant's own, and what others have published."""
    found, more = await cast.page(owner, whom.search, origin=whom.origin, after=whom.after, limit=whom.limit)
    page = await asyncio.gather(*(actors.shown(owner, known) for known in found))
    listed = CharacterList(data=page, has_more=more, last_id=page[-1].id if page else None)
    return asked.answer(listed.model_dump_json().encode(), JSON)


@router.post("", status_code=201, response_model=CharacterRead)
async def create_character(body: CharacterCreate, owner: OwnerDep, cast: CastDep, actors: ActorsDep) -> Response:
    """Create a character of the tenant's own."""
    made = await cast.create(owner, Character.made(body))
    return written(await actors.shown(owner, made), created=True)


@router.get("/{character_id}", response_model=CharacterRead, responses=UNCHANGED)
async def get_character(
    character_id: str, owner: OwnerDep, cast: CastDep, actors: ActorsDep, asked: ConditionsDep
) -> Response:
    """Describe one character."""
    read = await actors.shown(owner, await cast.known(owner, character_id))
    return asked.answer(body_of(read), JSON)


@router.put("/{character_id}", response_model=CharacterRead, responses=MADE)
async def replace_character(
    character_id: str,
    body: CharacterReplace,
    owner: OwnerDep,
    editing: EditingDep,
    actors: ActorsDep,
    asked: ConditionsDep,
) -> Response:
    """Put a character in the place of what there is, or make it. One of the installation gets an override."""
    if body.id != character_id:
        raise InvalidInput(ANOTHER_ID, param="id")
    created, known = await editing.replace(owner, body, checking(actors, owner, asked))
    return written(await actors.shown(owner, known), created=created)


@router.patch("/{character_id}", response_model=CharacterRead, openapi_extra=patch_body())
async def change_character(
    character_id: str,
    request: Request,
    owner: OwnerDep,
    editing: EditingDep,
    actors: ActorsDep,
    asked: ConditionsDep,
) -> Response:
    """Change some fields by a JSON merge patch (RFC 7396). One of the installation gets an override."""
    patch = await patch_of(request)
    known = await editing.patch(owner, character_id, patch, checking(actors, owner, asked))
    return written(await actors.shown(owner, known))


@router.delete("/{character_id}", status_code=204)
async def delete_character(
    character_id: str, owner: OwnerDep, editing: EditingDep, actors: ActorsDep, asked: ConditionsDep
) -> Response:
    """Remove one of the tenant's own, with its card and its picture. An override gives way to what was installed."""
    await editing.delete(owner, character_id, checking(actors, owner, asked))
    return Response(status_code=204)


@router.get(
    "/{character_id}/portrait",
    response_class=Response,
    responses={200: {"content": {"image/*": {}}}, **UNCHANGED},
)
async def get_portrait(
    character_id: str, owner: OwnerDep, cast: CastDep, actors: ActorsDep, asked: ConditionsDep
) -> Response:
    """Return a character's picture. One without has none to return."""
    picture = await actors.portrait(owner, await cast.known(owner, character_id))
    if picture is None:
        raise NotFound(NO_PORTRAIT, param="character_id")
    return asked.answer(picture.data, picture.media_type, INERT)


@router.put("/{character_id}/portrait", response_model=CharacterRead, openapi_extra=PORTRAIT.body())
async def set_portrait(
    character_id: str,
    request: Request,
    owner: OwnerDep,
    editing: EditingDep,
    actors: ActorsDep,
    asked: ConditionsDep,
) -> Response:
    """Give a character a picture of its own: PNG, JPEG or WebP. The preconditions are those of the character."""
    sent = await asyncio.to_thread(photo, await PORTRAIT.of(request))
    picture = Picture(sent.data, sent.media_type)
    known = await editing.set_portrait(owner, character_id, picture, checking(actors, owner, asked))
    return written(await actors.shown(owner, known))


@router.delete("/{character_id}/portrait", response_model=CharacterRead)
async def drop_portrait(
    character_id: str, owner: OwnerDep, editing: EditingDep, actors: ActorsDep, asked: ConditionsDep
) -> Response:
    """Take a character's picture away."""
    known = await editing.drop_portrait(owner, character_id, checking(actors, owner, asked))
    return written(await actors.shown(owner, known))


async def patch_of(request: Request) -> Any:
    """Read the patch that a request carries. Raises `InvalidInput`, `Unsupported`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in PATCH_TYPES:
        raise Unsupported(NO_PATCH_TYPE)
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidInput(NO_JSON) from error


def checking(actors: Actors, owner: Owner, asked: Conditions) -> Callable[[Known | None], Awaitable[None]]:
    """Make the check of a request's preconditions, against what would be shown of a character."""

    async def check(known: Known | None) -> None:
        if asked.any:
            asked.require(etag(body_of(await actors.shown(owner, known))) if known else None)

    return check


def written(read: CharacterRead, *, created: bool = False) -> Response:
    """Answer with what a character is now."""
    body = body_of(read)
    headers = {"etag": etag(body), **REVALIDATED}
    if created:
        headers["location"] = f"/api/v1/characters/{read.id}"
    return Response(body, status_code=201 if created else 200, media_type=JSON, headers=headers)


def body_of(read: CharacterRead) -> bytes:
    """Write a character as it is sent."""
    return read.model_dump_json().encode()
