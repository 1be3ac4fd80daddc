"""Forgetting by search: first what would be forgotten, then exactly that."""

from typing import Annotated, Final, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import Field, model_validator
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import NotFound
from chatacter.contracts.base import Strict
from chattr.dependencies import OwnerDep, SummingDep
from chattr.domain.identity import Owner
from chattr.domain.memory import Kind, Selection
from chattr.routes.memories import Forgotten, MemoryRead, Working, forgotten, scored, shown
from chattr.usecases.remember import Remember

router = APIRouter(prefix="/api/v1/memories", tags=["Memories"], dependencies=[Depends(scope("memories"))])

MOST: Final = 100
UNKNOWN: Final = "{count} of these memories are not there, {first} among them; nothing was forgotten. Search again."

Named = Annotated[str, Field(min_length=1, max_length=128)]


class Forgettable(Strict):
    """What to look for. Nothing is forgotten by it."""

    q: Annotated[str, Field(min_length=1, max_length=2_000)]
    """What memories are about that are to be forgotten."""
    character: Named | None = None
    conversation: Named | None = None
    kind: Kind | None = None
    limit: Annotated[int, Field(ge=1, le=MOST)] = 50

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """Blank searches are mistakes."""
        if not self.q.strip():
            raise ValueError("q says nothing")
        return self


class Forgetting(Strict):
    """What would be forgotten."""

    object: Literal["memory.forgetting"] = "memory.forgetting"
    data: list[MemoryRead]
    """What bears on it, the best first, each with its score."""
    ids: list[str]
    """Their ids, as `forget` takes them; leave out what is to stay."""
    facts: list[MemoryRead]
    """Facts that stand on nothing else, and go along."""
    summaries: list[str]
    """The summaries of conversations that hold something of it, and go along."""


class ToForget(Strict):
    """Memories that are to be forgotten."""

    ids: Annotated[list[UUID], Field(min_length=1, max_length=MOST)]


@router.post("/forget:preview")
async def preview_forgetting(body: Forgettable, owner: OwnerDep, remember: Working, summing: SummingDep) -> Forgetting:
    """Show what would be forgotten, and what would go along with it. Nothing is forgotten."""
    within = Selection(character_id=body.character, conversation_id=body.conversation, kind=body.kind)
    found = await remember.bearing(owner, body.q, within, limit=body.limit)
    ids = tuple(one.memory.id for one in found)
    what = Selection(ids=ids)
    return Forgetting(
        data=[scored(one) for one in found],
        ids=list(ids),
        facts=[shown(one) for one in await remember.going_along(owner, what)] if ids else [],
        summaries=await summing.touched(owner, what) if ids else [],
    )


@router.post("/forget", response_model=Forgotten, responses={202: {"model": Forgotten}})
async def forget_these(body: ToForget, owner: OwnerDep, remember: Working) -> Response:
    """Forget exactly these memories, for good. Where one of them is not there nothing is forgotten."""
    ids = tuple(dict.fromkeys(map(str, body.ids)))
    await require_there(remember, owner, ids)
    return forgotten(erased=await remember.forget(owner, Selection(ids=ids)))


async def require_there(remember: Remember, owner: Owner, ids: tuple[str, ...]) -> None:
    """Refuse memories that are not this person's, or no longer. Raises `NotFound`, `Unavailable`."""
    there = {one.id for one in await remember.newest(owner, Selection(ids=ids), limit=len(ids))}
    missing = [each for each in ids if each not in there]
    if missing:
        raise NotFound(UNKNOWN.format(count=len(missing), first=missing[0]), param="ids")
