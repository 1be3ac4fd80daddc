"""Lorebooks that characters share: a tenant's own, named in a character's `lorebooks`."""

import time
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import Conflict, NotFound
from chatacter.contracts.base import Strict
from chattr.dependencies import LorebooksDep, OwnerDep
from chattr.domain.card import json_text
from chattr.domain.card.limits import LIMITS
from chattr.domain.character import slug
from chattr.domain.identity import new_id
from chattr.domain.lorebook.book import Lorebook
from chattr.domain.lorebook.reading import document_of, opened
from chattr.domain.lorebook.shared import LorebookId, SharedLorebook, Summary
from chattr.routes.bodies import described, large
from chattr.routes.download import HARMLESS
from chattr.routes.idempotency import IdempotentRoute

TAKEN: Final = "There is already a lorebook {id!r}. Choose another id."
UNKNOWN: Final = "There is no lorebook {id!r}."
ANY_OBJECT: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}

router = APIRouter(
    prefix="/api/v1/lorebooks",
    tags=["Lorebooks"],
    dependencies=[Depends(scope("characters"))],
    route_class=IdempotentRoute,
)


class LorebookCreate(Strict):
    """A lorebook to store."""

    id: LorebookId | None = None
    """What characters name it by. None: made of its name."""
    lorebook: Lorebook
    """What stands in it."""


class LorebookRead(SharedLorebook):
    """A stored lorebook."""

    object: Literal["lorebook"] = "lorebook"
    """What this is."""


class LorebookImported(LorebookRead):
    """A lorebook that was made of a file."""

    warnings: list[str]
    """What of the file was left out or cut."""


class LorebookList(Strict):
    """A tenant's lorebooks, by id."""

    object: Literal["list"] = "list"
    data: list[Summary]


@router.get("")
async def list_lorebooks(owner: OwnerDep, lorebooks: LorebooksDep) -> LorebookList:
    """List the tenant's lorebooks, without their entries."""
    return LorebookList(data=list(await lorebooks.list(owner)))


@router.post("", status_code=201, openapi_extra=described(LorebookCreate))
async def create_lorebook(
    request: Request, owner: OwnerDep, lorebooks: LorebooksDep, response: Response
) -> LorebookRead:
    """Store a lorebook."""
    body = await large(request, LorebookCreate)
    made = made_of(body.lorebook, body.id)
    if not await lorebooks.add(owner, made):
        raise Conflict(TAKEN.format(id=made.id), param="id")
    response.headers["location"] = f"/api/v1/lorebooks/{made.id}"
    return shown(made)


@router.post("/import", status_code=201, openapi_extra=ANY_OBJECT)
async def import_lorebook(
    request: Request,
    owner: OwnerDep,
    lorebooks: LorebooksDep,
    response: Response,
    lorebook_id: Annotated[LorebookId | None, Query(alias="id")] = None,
) -> LorebookImported:
    """Store a lorebook from a file: `lorebook_v3`, the `character_book` of a card, or SillyTavern's world info."""
    book, warnings = await anyio.to_thread.run_sync(of_file, await request.body())
    made = made_of(book, lorebook_id)
    if not await lorebooks.add(owner, made):
        raise Conflict(TAKEN.format(id=made.id), param="id")
    response.headers["location"] = f"/api/v1/lorebooks/{made.id}"
    return LorebookImported(warnings=warnings, **dict(shown(made)))


@router.get("/{lorebook_id}")
async def get_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep) -> LorebookRead:
    """Return one lorebook."""
    found = await lorebooks.get(owner, lorebook_id)
    if found is None:
        raise NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")
    return shown(found)


@router.get("/{lorebook_id}/export", response_class=Response, responses={200: {"content": {"application/json": {}}}})
async def export_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep) -> Response:
    """Return a lorebook as a `lorebook_v3` file."""
    found = await lorebooks.get(owner, lorebook_id)
    if found is None:
        raise NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")
    headers = {
        "content-disposition": f'attachment; filename="{found.id}.json"',
        "cache-control": "no-store",
        **HARMLESS,
    }
    return Response(json_text.write(document_of(found.lorebook)), media_type="application/json", headers=headers)


@router.put("/{lorebook_id}", openapi_extra=described(Lorebook))
async def replace_lorebook(
    lorebook_id: str, request: Request, owner: OwnerDep, lorebooks: LorebooksDep
) -> LorebookRead:
    """Put another lorebook in its place."""
    body = await large(request, Lorebook)
    found = await lorebooks.get(owner, lorebook_id)
    made = found and found.model_copy(update={"lorebook": body, "updated_at": time.time()})
    if made is None or not await lorebooks.replace(owner, made):
        raise NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")
    return shown(made)


@router.delete("/{lorebook_id}", status_code=204)
async def delete_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep) -> Response:
    """Remove a lorebook. Characters that name it go on without it."""
    if not await lorebooks.delete(owner, lorebook_id):
        raise NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")
    return Response(status_code=204)


def of_file(data: bytes) -> tuple[Lorebook, list[str]]:
    """Read a lorebook of any form, and what is to be told of it. Blocks."""
    return opened(json_text.plain(json_text.parse(data, LIMITS)))


def made_of(book: Lorebook, lorebook_id: str | None) -> SharedLorebook:
    """Make what is stored; one without an id and a name gets an id that nobody can guess."""
    made_id = lorebook_id or (slug(book.name) if book.name else new_id("lore"))
    now = time.time()
    return SharedLorebook(id=made_id, created_at=now, updated_at=now, lorebook=book)


def shown(stored: SharedLorebook) -> LorebookRead:
    """Show a stored one."""
    return LorebookRead(**dict(stored))
