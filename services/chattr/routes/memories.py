"""What characters remember of a person: to read, to search with the parts of each score, and to forget."""

import re
from dataclasses import replace
from typing import Annotated, Final, Literal, NamedTuple
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, NotFound, Unsupported
from chatacter.contracts.base import Strict
from chattr.dependencies import OwnerDep, RememberDep
from chattr.domain.conversation import Role
from chattr.domain.identity import Owner
from chattr.domain.memory import Branch, Kind, Memory, Recalled, Selection
from chattr.usecases.remember import Remember

router = APIRouter(prefix="/api/v1/memories", tags=["Memories"], dependencies=[Depends(scope("memories"))])

# Memories of one moment that a page may have to look past.
TIES: Final = 16
CURSOR: Final = re.compile(r"^(\d+(?:\.\d+)?)_([0-9a-f-]{36})$")
SWITCHED_OFF: Final = "Long-term memory is switched off here (ENABLE_LONG_TERM_MEMORY=false)."
FORGET_WHAT: Final = "Say what to forget: `character`, `conversation`, or `all=true` for everything of this person."
NOT_PAGED: Final = "A search has one page; leave out `after`."

Named = Annotated[str | None, Query(min_length=1, max_length=128)]


class Score(Strict):
    """Why a memory was found: the sum and its parts, comparable within one search."""

    total: float
    meaning: float
    words: float
    speaker: float
    time: float
    form: float


class MemoryRead(Strict):
    """A remembered turn and where it comes from."""

    id: str
    object: Literal["memory"] = "memory"
    text: str
    role: Role
    character: str
    conversation_id: str
    message_id: str
    previous_id: str | None = None
    speaker: str | None = None
    created_at: float
    kind: Kind
    """A turn as it was said, or a fact that was drawn from one."""
    branch: Branch
    """Whether its conversation is on the branch where it was said; what was left reaches no prompt."""
    pinned: bool
    """Whether it reaches every prompt."""
    score: Score | None = None


class MemoryList(Strict):
    """A page of memories, the newest or the best first. `next` is the `after` of the next page."""

    object: Literal["list"] = "list"
    data: list[MemoryRead]
    next: str | None = None


class Forgotten(Strict):
    """Forgotten for good. `erased` is false while the stored copy waits for long-term memory to return."""

    object: Literal["memory.forgotten"] = "memory.forgotten"
    erased: bool


class Cursor(NamedTuple):
    """The memory that a page ended with."""

    created_at: float
    id: str

    @classmethod
    def read(cls, text: str) -> "Cursor":
        """Read what `write` wrote. Raises `InvalidInput`."""
        found = CURSOR.match(text)
        if found is None:
            raise InvalidInput("`after` is the `next` of the page before.", param="after")
        return cls(float(found.group(1)), found.group(2))

    def write(self) -> str:
        """Write it as clients hand it back."""
        return f"{self.created_at!r}_{self.id}"


def working(remember: RememberDep) -> Remember:
    """Return long-term memory. Raises `Unsupported` where it is switched off."""
    if remember is None:
        raise Unsupported(SWITCHED_OFF)
    return remember


Working = Annotated[Remember, Depends(working)]


@router.get("")
async def list_memories(
    owner: OwnerDep,
    remember: Working,
    *,
    q: Annotated[str | None, Query(min_length=1, max_length=2_000, description="What to search for")] = None,
    character: Named = None,
    conversation: Named = None,
    kind: Annotated[Kind | None, Query(description="Only turns as they were said, or only facts")] = None,
    after: Annotated[str | None, Query(max_length=80)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> MemoryList:
    """List a person's memories, the newest first; with `q`, those that bear on it, the best first, with scores."""
    within = Selection(character_id=character, conversation_id=conversation, kind=kind)
    if q is None:
        return await page(remember, owner, within, Cursor.read(after) if after else None, limit)
    if after is not None:
        raise InvalidInput(NOT_PAGED, param="after")
    found = await remember.search(owner, q, within, limit=limit)
    return MemoryList(data=[scored(one) for one in found])


@router.delete("", response_model=Forgotten, responses={202: {"model": Forgotten}})
async def forget_memories(
    owner: OwnerDep,
    remember: Working,
    *,
    character: Named = None,
    conversation: Named = None,
    everything: Annotated[bool, Query(alias="all")] = False,
) -> Response:
    """Forget what one character or one conversation left, or all of a person."""
    if not (character or conversation or everything):
        raise InvalidInput(FORGET_WHAT, param="all")
    what = Selection(character_id=character, conversation_id=conversation)
    return forgotten(erased=await remember.forget(owner, what))


async def page(remember: Remember, owner: Owner, within: Selection, after: Cursor | None, limit: int) -> MemoryList:
    """Read one page; memories of the very moment at which the last one ended are told apart by id."""
    wanted = limit + 1 + (TIES if after else 0)
    until = replace(within, until=after.created_at if after else None)
    found = sorted(await remember.newest(owner, until, limit=wanted), key=place)
    rest = [one for one in found if after is None or place(one) > (-after.created_at, after.id)]
    shown_now = rest[:limit]
    more = len(rest) > limit
    last = Cursor(shown_now[-1].created_at, shown_now[-1].id).write() if more else None
    return MemoryList(data=[shown(one) for one in shown_now], next=last)


def place(memory: Memory) -> tuple[float, str]:
    """Where a memory stands in a list, the newest first."""
    return (-memory.created_at, memory.id)


async def existing(remember: Remember, owner: Owner, memory_id: UUID) -> Memory:
    """Return one of the person's memories. Raises `NotFound`."""
    found = await remember.newest(owner, Selection(ids=(str(memory_id),)), limit=1)
    if not found:
        raise NotFound("There is no such memory of this person.", param="memory_id")
    return found[0]


def shown(memory: Memory, score: Score | None = None) -> MemoryRead:
    """Describe a memory."""
    return MemoryRead(
        id=memory.id,
        text=memory.text,
        role=memory.role,
        character=memory.character_id,
        conversation_id=memory.conversation_id,
        message_id=memory.message_id,
        previous_id=memory.previous_id,
        speaker=memory.speaker,
        created_at=memory.created_at,
        kind=memory.kind,
        branch=memory.branch,
        pinned=memory.standing == "pinned",
        score=score,
    )


def scored(recalled: Recalled) -> MemoryRead:
    """Describe a memory that was searched for."""
    parts = Score(
        total=recalled.score,
        meaning=recalled.meaning,
        words=recalled.words,
        speaker=recalled.speaker,
        time=recalled.time,
        form=recalled.form,
    )
    return shown(recalled.memory, parts)


def forgotten(*, erased: bool) -> JSONResponse:
    """Answer 200 when it is erased, 202 when that is still to be done."""
    return JSONResponse(Forgotten(erased=erased).model_dump(), status_code=200 if erased else 202)
