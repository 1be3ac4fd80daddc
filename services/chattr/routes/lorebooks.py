"""Lorebooks that characters share: a tenant's own, named in a character's `lorebooks`."""

import time
from typing import Annotated, Any, Final, Literal

import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import Conflict, NotFound, Stale
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
from chattr.routes.etags import CHANGED, REVALIDATED, Conditions, ConditionsDep, etag
from chattr.routes.idempotency import IdempotentRoute

JSON: Final = "application/json"
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


@router.get("/{lorebook_id}", response_model=LorebookRead)
async def get_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep, asked: ConditionsDep) -> Response:
    """Return one lorebook."""
    return asked.answer(body_of(existing(await lorebooks.get(owner, lorebook_id), lorebook_id)), JSON)


@router.get("/{lorebook_id}/export", response_class=Response, responses={200: {"content": {"application/json": {}}}})
async def export_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep) -> Response:
    """Return a lorebook as a `lorebook_v3` file."""
    found = existing(await lorebooks.get(owner, lorebook_id), lorebook_id)
    headers = {
        "content-disposition": f'attachment; filename="{found.id}.json"',
        "cache-control": "no-store",
        **HARMLESS,
    }
    return Response(json_text.write(document_of(found.lorebook)), media_type="application/json", headers=headers)


@router.put("/{lorebook_id}", response_model=LorebookRead, openapi_extra=described(Lorebook))
async def replace_lorebook(
    lorebook_id: str, request: Request, owner: OwnerDep, lorebooks: LorebooksDep, asked: ConditionsDep
) -> Response:
    """Put another lorebook in its place."""
    body = await large(request, Lorebook)
    found = existing(await lorebooks.get(owner, lorebook_id), lorebook_id)
    made = found.model_copy(update={"lorebook": body, "updated_at": time.time()})
    if not await lorebooks.replace(owner, made, over=required(asked, found)):
        raise changed_meanwhile(asked, lorebook_id)
    sent = body_of(made)
    return Response(sent, media_type=JSON, headers={"etag": etag(sent), **REVALIDATED})


@router.delete("/{lorebook_id}", status_code=204)
async def delete_lorebook(lorebook_id: str, owner: OwnerDep, lorebooks: LorebooksDep, asked: ConditionsDep) -> Response:
    """Remove a lorebook. Characters that name it go on without it."""
    found = existing(await lorebooks.get(owner, lorebook_id), lorebook_id)
    if not await lorebooks.delete(owner, lorebook_id, over=required(asked, found)):
        raise changed_meanwhile(asked, lorebook_id)
    return Response(status_code=204)


def existing(found: SharedLorebook | None, lorebook_id: str) -> SharedLorebook:
    """Return what there is. Raises `NotFound`."""
    if found is None:
        raise NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")
    return found


def required(asked: Conditions, found: SharedLorebook) -> SharedLorebook | None:
    """Return what a change is made for; None: whatever there is. Raises `Stale`."""
    if not asked.any:
        return None
    asked.require(etag(body_of(found)))
    return found


def changed_meanwhile(asked: Conditions, lorebook_id: str) -> Exception:
    """Say why nothing was changed: somebody else did, or removed it."""
    if asked.any:
        return Stale(CHANGED, param="If-Match")
    return NotFound(UNKNOWN.format(id=lorebook_id), param="lorebook_id")


def body_of(stored: SharedLorebook) -> bytes:
    """Write a lorebook as it is sent."""
    return shown(stored).model_dump_json().encode()


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
