"""What a model would be asked: the prompt of a message that nobody sends."""

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self

from fastapi import APIRouter, Depends
from pydantic import Field, model_validator

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.base import Strict
from chattr.dependencies import OwnerDep, ReplyDep
from chattr.domain.person import Persona
from chattr.domain.prompt import Prompt, Turn
from chattr.usecases.scene import Ask

LONGEST: Final = 32_768
MOST_TURNS: Final = 1_000
ONE_HISTORY: Final = "Give `history` or `conversation_id`, not both."

Words = Annotated[str, Field(max_length=LONGEST)]

# Whoever sees a prompt sees what its character is and what it remembers.
router = APIRouter(
    prefix="/api/v1/characters",
    tags=["Characters"],
    dependencies=[Depends(scope("characters")), Depends(scope("chat"))],
)


class Said(Strict):
    """Something that was said before."""

    role: Literal["user", "assistant"]
    content: Words


class PromptPreviewRequest(Strict):
    """A message, and what came before it."""

    message: Annotated[str, Field(min_length=1, max_length=LONGEST)]
    """What would be said to the character."""
    history: Annotated[tuple[Said, ...], Field(max_length=MOST_TURNS)] = ()
    """What was said before."""
    conversation_id: str | None = None
    """The conversation at whose head it would be said, instead of a history."""
    persona: Persona | None = None
    """Who would say it. None: the conversation's person."""
    instructions: Words | None = None
    """What a client's system message would say."""

    @model_validator(mode="after")
    def says_something(self) -> Self:
        """Blank messages are mistakes."""
        if not self.message.strip():
            raise ValueError("message says nothing")
        return self


class PartRead(Strict):
    """What a part of the prompt costs, and what was left out of it."""

    name: Literal["system", "examples", "lore", "summary", "history", "facts", "memories", "message"]
    tokens: int
    """As they are estimated; a model's own count differs."""
    kept: int
    dropped: int
    why: list[str]
    """Why each was dropped."""


class LoreRead(Strict):
    """An entry of a lorebook that is told."""

    source: str
    """`character`, or the id of a shared lorebook."""
    entry: str
    """Its name, its comment, or its number."""
    content: str
    by: str
    """The key that was found, or what else decided."""
    position: str
    depth: int
    """Messages from the newest one, where `position` is `depth`."""
    role: str
    tokens: int
    settled: bool
    """Whether it is told in every prompt of the conversation, from its stable beginning."""


class LoreLeft(Strict):
    """An entry that is not told, though somebody may expect it."""

    source: str
    entry: str
    reason: str


class PromptPreview(Strict):
    """What the model would be asked."""

    object: Literal["prompt.preview"] = "prompt.preview"
    character_id: str
    messages: list[dict[str, Any]]
    """OpenAI's."""
    sampling: dict[str, Any]
    tokens: int
    stable: int
    """How many leading messages are the same in every conversation with this character."""
    parts: list[PartRead]
    lore: list[LoreRead]
    left: list[LoreLeft]
    summary: str | None
    """What stands for the beginning of a long conversation."""
    facts: list[str]
    """What is known and has room."""
    memories: list[str]
    """What is remembered of earlier talks and has room."""
    told: list[str]
    """What a reply would tell its reader, and what is odd in the lorebooks."""


@router.post("/{character_id}/prompt:preview")
async def preview_prompt(
    character_id: str, body: PromptPreviewRequest, owner: OwnerDep, reply: ReplyDep
) -> PromptPreview:
    """Show what a model would be asked, what was left out and why. Nothing is stored and no model is asked."""
    if body.history and body.conversation_id is not None:
        raise InvalidInput(ONE_HISTORY, param="conversation_id")
    ask = Ask(
        character_id,
        body.message,
        conversation_id=body.conversation_id,
        history=[Turn(one.role, one.content) for one in body.history],
        instructions=body.instructions,
        persona=body.persona,
    )
    scene, prompt = await reply.preview(owner, ask)
    return shown(scene.character.id, prompt, scene.told)


def shown(character_id: str, prompt: Prompt, told: list[str]) -> PromptPreview:
    """Show a prompt."""
    entries = [asdict(one) for one in prompt.lore.active]
    return PromptPreview(
        character_id=character_id,
        messages=prompt.messages,
        sampling=prompt.sampling,
        tokens=prompt.tokens,
        stable=prompt.prefix,
        parts=[PartRead(**{**asdict(part), "why": list(part.why)}) for part in prompt.parts],
        lore=[LoreRead(**{name: one[name] for name in LoreRead.model_fields}) for one in entries],
        left=[LoreLeft(**asdict(one)) for one in prompt.lore.left],
        summary=prompt.summary.text if prompt.summary else None,
        facts=list(prompt.facts),
        memories=list(prompt.memories),
        told=[*told, *prompt.lore.told],
    )
