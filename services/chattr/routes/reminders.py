"""Why a reply says what it says: which memories reached its prompt."""

from typing import Literal

from fastapi import APIRouter, Depends

from chatacter.chassis.auth import scope
from chatacter.contracts.base import Strict
from chattr.dependencies import ConversingDep, OwnerDep, SummingDep
from chattr.domain.conversation import Section
from chattr.domain.memory import Selection
from chattr.routes.memories import MemoryRead, Working, shown
from chattr.routes.summaries import SummaryRead, active_of, summary_read
from chattr.usecases.conversing import existing

router = APIRouter(prefix="/api/v1/conversations", tags=["Conversations"], dependencies=[Depends(scope("memories"))])


class ReminderRead(Strict):
    """A memory that was recalled for a reply."""

    memory_id: str
    memory: MemoryRead | None
    """The memory as it is now; null where it was forgotten, or went with what it was drawn from."""
    section: Section
    """Where in the prompt: among what is known (`facts`), or among what was said (`turns`)."""
    reached: bool
    """Whether it had room in the prompt."""
    parts: dict[str, float]
    """Why it was recalled: the parts of its score, by name. None: it is pinned."""


class RecallRead(Strict):
    """What a reply was reminded of, what mattered most first."""

    object: Literal["recall"] = "recall"
    conversation_id: str
    message_id: str
    summary: SummaryRead | None
    """What stood for the beginning of the conversation; null without one, and where it was taken back."""
    data: list[ReminderRead]


@router.get("/{conversation_id}/messages/{message_id}/recall")
async def recall_of(
    conversation_id: str,
    message_id: str,
    owner: OwnerDep,
    conversing: ConversingDep,
    summing: SummingDep,
    remember: Working,
) -> RecallRead:
    """Say which memories reached the prompt of a reply, where and why. Messages of people have none."""
    whole = await conversing.whole(owner, conversation_id)
    message = existing(whole.tree, message_id)
    ids = tuple(one.memory_id for one in message.reminders)
    found = await remember.newest(owner, Selection(ids=ids), limit=len(ids)) if ids else ()
    there = {memory.id: shown(memory) for memory in found}
    data = [
        ReminderRead(
            memory_id=one.memory_id,
            memory=there.get(one.memory_id),
            section=one.section,
            reached=one.reached,
            parts=dict(one.parts),
        )
        for one in message.reminders
    ]
    standing = await summing.standing(owner, conversation_id) if message.summary_id else {}
    summary = standing.get(message.summary_id or "")
    return RecallRead(
        conversation_id=conversation_id,
        message_id=message_id,
        summary=summary_read(summary, active_of(whole)) if summary else None,
        data=data,
    )
