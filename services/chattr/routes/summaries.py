"""The running summary of a conversation: to read, to correct, and to take back."""

from collections.abc import Set
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import AfterValidator, Field
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.contracts.base import Strict
from chattr.dependencies import ConversingDep, OwnerDep, SummingDep
from chattr.domain.memory import Branch
from chattr.domain.summary import LONGEST_TEXT, Summary
from chattr.routes.memory_changes import telling
from chattr.usecases.conversing import Whole

router = APIRouter(
    prefix="/api/v1/conversations/{conversation_id}/summaries",
    tags=["Conversations"],
    dependencies=[Depends(scope("memories"))],
)


class SummaryRead(Strict):
    """What was said from the beginning of a conversation up to a message, in short."""

    id: str
    object: Literal["conversation.summary"] = "conversation.summary"
    conversation_id: str
    character: str
    """Who heard what it sums up."""
    text: str
    """Empty where all of it was forgotten."""
    through_message_id: str
    """The last message that it sums up."""
    previous_id: str | None
    """The summary that it goes on from."""
    message_ids: list[str]
    """The messages that it adds to that one."""
    branch: Branch
    """Whether the conversation is on the branch that it sums up; what was left reaches no prompt."""
    corrected: bool
    """Whether somebody wrote it anew."""
    created_at: float


class SummaryList(Strict):
    """The summaries of a conversation, of all its branches, the shortest first."""

    object: Literal["list"] = "list"
    data: list[SummaryRead]


class SummaryCorrected(Strict):
    """What a summary says from now on."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT), AfterValidator(telling)]


@router.get("")
async def list_summaries(
    conversation_id: str, owner: OwnerDep, conversing: ConversingDep, summing: SummingDep
) -> SummaryList:
    """List what was summed up of a conversation. One at most stands in a prompt, with what was said after it."""
    whole = await conversing.whole(owner, conversation_id)
    found = (await summing.standing(owner, conversation_id)).values()
    depths, active = depths_of(whole), active_of(whole)
    ordered = sorted(found, key=lambda one: (depths.get(one.through_id, 0), one.through_at, one.id))
    return SummaryList(data=[summary_read(one, active) for one in ordered])


@router.patch("/{summary_id}")
async def correct_summary(
    conversation_id: str,
    summary_id: UUID,
    body: SummaryCorrected,
    owner: OwnerDep,
    conversing: ConversingDep,
    summing: SummingDep,
) -> SummaryRead:
    """Let a summary say something else. Later ones that go on from it are made anew."""
    whole = await conversing.whole(owner, conversation_id)
    return summary_read(await summing.correct(owner, conversation_id, str(summary_id), body.text), active_of(whole))


@router.delete("/{summary_id}", status_code=204)
async def delete_summary(
    conversation_id: str, summary_id: UUID, owner: OwnerDep, conversing: ConversingDep, summing: SummingDep
) -> Response:
    """Take a summary back, with all that go on from it. It is made anew from what stands when it is needed again; what
    must not come back is forgotten at `/api/v1/memories`, or its message deleted.
    """
    await conversing.get(owner, conversation_id)
    await summing.drop(owner, conversation_id, str(summary_id))
    return Response(status_code=204)


@router.delete("", status_code=204)
async def delete_summaries(
    conversation_id: str, owner: OwnerDep, conversing: ConversingDep, summing: SummingDep
) -> Response:
    """Take all summaries of a conversation back. They are made anew when they are needed again."""
    await conversing.get(owner, conversation_id)
    await summing.drop(owner, conversation_id)
    return Response(status_code=204)


def depths_of(whole: Whole) -> dict[str, int]:
    """Return how many messages lead to each, itself among them."""
    depths: dict[str | None, int] = {None: 0}
    for message in whole.tree.messages:  # each comes after the one that it answers
        depths[message.id] = depths.get(message.parent_id, 0) + 1
    return {each: depth for each, depth in depths.items() if each is not None}


def active_of(whole: Whole) -> Set[str]:
    """Return the messages of the branch that the conversation is on."""
    return {message.id for message in whole.tree.path(whole.conversation.head_id)}


def summary_read(summary: Summary, active: Set[str]) -> SummaryRead:
    """Describe a summary. `active`: the messages of the branch that the conversation is on."""
    return SummaryRead(
        id=summary.id,
        conversation_id=summary.conversation_id,
        character=summary.character_id,
        text=summary.text,
        through_message_id=summary.through_id,
        previous_id=summary.previous_id,
        message_ids=[source.message_id for source in summary.sources],
        branch="active" if summary.through_id in active else "left",
        corrected=summary.corrected,
        created_at=summary.created_at,
    )
