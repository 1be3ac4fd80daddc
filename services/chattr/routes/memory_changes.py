"""What a person does with memories besides reading them: correct, pin, forget, take along and put down."""

from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Final, Literal
from uuid import UUID

import anyio.to_thread
from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, Field
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, Unavailable, Unsupported
from chatacter.contracts.base import Strict
from chattr.dependencies import AmendingDep, CastDep, MovingDep, OwnerDep
from chattr.domain.archive import MemoryArchive
from chattr.domain.memory import MAX_CHARACTERS, Selection
from chattr.routes.bodies import described, large
from chattr.routes.etags import REVALIDATED, Conditions, ConditionsDep, etag
from chattr.routes.memories import SWITCHED_OFF, Forgotten, MemoryRead, Working, existing, forgotten, shown
from chattr.usecases.amending import Amending, Known

router = APIRouter(prefix="/api/v1/memories", tags=["Memories"], dependencies=[Depends(scope("memories"))])

JSON: Final = "application/json"
SAYS_NOTHING: Final = "a memory says something"
OF_SEVERAL: Final = "This archive holds the memories of several characters; leave `character` out."


def telling(text: str) -> str:
    """Trim a text; refuse one that says nothing."""
    trimmed = text.strip()
    if not trimmed:
        raise ValueError(SAYS_NOTHING)
    return trimmed


class Corrected(Strict):
    """What a memory says from now on."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(telling)]


class Before(Strict):
    """What a memory said until then."""

    text: str
    until: float


class MemoryKnown(MemoryRead):
    """A memory, and what it said before, the oldest first."""

    history: list[Before]


class RefusedRead(Strict):
    """Something of an archive that was not taken."""

    id: str
    why: str


class Arrival(Strict):
    """What was taken of an archive. What was there already is not counted."""

    object: Literal["memory.arrival"] = "memory.arrival"
    conversations: int
    messages: int
    facts: int
    amendments: int
    refused: list[RefusedRead]


def amends(amending: AmendingDep) -> Amending:
    """Return what changes memories. Raises `Unsupported` where long-term memory is switched off."""
    if amending is None:
        raise Unsupported(SWITCHED_OFF)
    return amending


Amends = Annotated[Amending, Depends(amends)]


@router.get("/export", response_model=MemoryArchive)
async def export_memories(
    owner: OwnerDep,
    moving: MovingDep,
    character: Annotated[str | None, Query(min_length=1, max_length=128, description="Only with this one")] = None,
) -> Response:
    """Take along what was said, and what is known beside it: an archive that `import` puts down elsewhere."""
    archive = await moving.take(owner, character)
    return Response(await anyio.to_thread.run_sync(archive.model_dump_json), media_type=JSON)


@router.post("/import", openapi_extra=described(MemoryArchive))
async def import_memories(
    request: Request,
    owner: OwnerDep,
    moving: MovingDep,
    cast: CastDep,
    character: Annotated[
        str | None, Query(min_length=1, max_length=128, description="Whose the archive's memories are here")
    ] = None,
) -> Arrival:
    """Put an archive's content down as this person's. Memories of it come within moments; what is there stays."""
    body = await large(request, MemoryArchive)
    renamed: dict[str, str] = {}
    if character is not None:
        here = (await cast.get(owner, character)).id
        named = {each.character for each in body.conversations} | {each.character for each in body.facts}
        named = {body.character} if body.character else named
        if len(named) > 1:
            raise InvalidInput(OF_SEVERAL, param="character")
        renamed = dict.fromkeys(named, here)
    arrived = await moving.put(owner, body, renamed)
    refused = [RefusedRead(id=one.id, why=one.why) for one in arrived.refused]
    return Arrival(
        conversations=arrived.conversations,
        messages=arrived.messages,
        facts=arrived.facts,
        amendments=arrived.amendments,
        refused=refused,
    )


@router.get("/{memory_id}", response_model=MemoryKnown)
async def get_memory(memory_id: UUID, owner: OwnerDep, amending: Amends, asked: ConditionsDep) -> Response:
    """Read one memory, and what it said before."""
    return asked.answer(body_of(await amending.get(owner, str(memory_id))), JSON)


@router.patch("/{memory_id}", response_model=MemoryKnown)
async def correct_memory(
    memory_id: UUID, body: Corrected, owner: OwnerDep, amending: Amends, asked: ConditionsDep
) -> Response:
    """Let a memory say something else. What was said stays in its conversation."""
    return changed(await amending.correct(owner, str(memory_id), body.text, checking(asked)))


@router.post("/{memory_id}/pin", response_model=MemoryKnown)
async def pin_memory(memory_id: UUID, owner: OwnerDep, amending: Amends, asked: ConditionsDep) -> Response:
    """Have a memory reach every prompt of its character."""
    return changed(await amending.pin(owner, str(memory_id), pinned=True, check=checking(asked)))


@router.delete("/{memory_id}/pin", response_model=MemoryKnown)
async def unpin_memory(memory_id: UUID, owner: OwnerDep, amending: Amends, asked: ConditionsDep) -> Response:
    """Have a memory reach only the prompts that it bears on."""
    return changed(await amending.pin(owner, str(memory_id), pinned=False, check=checking(asked)))


@router.delete("/{memory_id}", response_model=Forgotten, responses={202: {"model": Forgotten}})
async def forget_memory(
    memory_id: UUID, owner: OwnerDep, remember: Working, amending: Amends, asked: ConditionsDep
) -> Response:
    """Forget one memory."""
    if (check := checking(asked)) is not None:
        return forgotten(erased=await amending.forget(owner, str(memory_id), check))
    with suppress(Unavailable):  # what cannot be looked up now can be forgotten all the same
        await existing(remember, owner, memory_id)
    return forgotten(erased=await remember.forget(owner, Selection(ids=(str(memory_id),))))


def checking(asked: Conditions) -> Callable[[Known], None] | None:
    """Make the check of a request's preconditions, against what would be shown of a memory."""
    return (lambda found: asked.require(etag(body_of(found)))) if asked.any else None


def changed(found: Known) -> Response:
    """Answer with what a memory is now."""
    body = body_of(found)
    return Response(body, media_type=JSON, headers={"etag": etag(body), **REVALIDATED})


def body_of(found: Known) -> bytes:
    """Write a memory with what it said before as it is sent."""
    history = [Before(text=one.text, until=one.until) for one in found.history]
    return MemoryKnown(**shown(found.memory).model_dump(), history=history).model_dump_json().encode()
