"""What a reply is asked for: the prompt of a scene, with what is remembered and what lorebooks know."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import anyio.to_thread

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import Unavailable
from chattr.domain.conversation import Message, branch
from chattr.domain.lorebook.activation import Lore
from chattr.domain.lorebook.rules import Shelf, looks_back
from chattr.domain.memory import Beside
from chattr.domain.person import NOBODY
from chattr.domain.prompt import ALL_AT_HAND, Budget, Digest, Past, Prompt, Setting, Voice, assemble, text_of
from chattr.domain.recall import MAX_RECALLED
from chattr.domain.summary import Summary, along
from chattr.ports.lorebooks import Lorebooks
from chattr.ports.records import Conversations
from chattr.usecases.characters import Cast
from chattr.usecases.remember import Recollection, Remember
from chattr.usecases.scene import Scene
from chattr.usecases.summing import Summing

RECALL_SECONDS: Final = 2.0

NOTHING: Final = Recollection((), None)
SUMMARIES_AWAY: Final = "The summary of what was said before could not be read; this reply does without it."
BOOKS_GONE: Final = "This character names lorebooks that are not there: {ids}."
BOOKS_AWAY: Final = "The lorebooks that this character shares could not be read; it answers without them."


class Prompting:
    """Writes prompts. The one way to them: for a reply as for a preview."""

    def __init__(
        self,
        cast: Cast,
        conversations: Conversations,
        remember: Remember | None,
        lorebooks: Lorebooks | None,
        summing: Summing | None,
        budget: Budget,
    ) -> None:
        self._cast = cast
        self._conversations = conversations
        self._remember = remember
        self._lorebooks = lorebooks
        self._summing = summing
        self._budget = budget

    async def write(self, scene: Scene) -> Prompt:
        """Put the prompt of a scene together. What is missing is told to the scene. Raises `TooLarge`."""
        known = scene.conversation.persona if scene.conversation else None
        setting = Setting(
            person=scene.ask.persona or known or NOBODY,
            conversation=scene.ask.conversation_id or "",
            occasion=scene.reply_id,
            shared=await self._shared(scene),
        )
        shelves = Voice(scene.character, setting).shelves
        await self._remind(scene, shelves)
        bare = await self._assembled(scene, setting, NOTHING, None)
        past = await self._past(scene, bare)
        if past.digests:
            bare = await self._assembled(scene, setting, NOTHING, bare.lore, past)
        scene.summary_id = bare.summary.id if bare.summary else None
        recalled = await self._recalled(scene, bare)
        if recalled.told:
            scene.told.append(recalled.told)
        if not recalled.items:
            return bare
        prompt = await self._assembled(scene, setting, recalled, bare.lore, past)
        scene.reminders = recalled.reminders({*prompt.facts, *prompt.memories})
        return prompt

    async def _assembled(
        self, scene: Scene, setting: Setting, recalled: Recollection, lore: Lore | None, past: Past = ALL_AT_HAND
    ) -> Prompt:
        work = partial(
            assemble,
            scene.character,
            scene.turns(),
            scene.asked,
            raw=scene.ask.raw,
            since=scene.done(),
            past=past,
            facts=recalled.facts,
            recalled=recalled.turns,
            pinned=recalled.pinned,
            instructions=scene.ask.instructions,
            setting=setting,
            lore=lore,
            budget=self._budget,
        )
        if lore is not None or not Voice(scene.character, setting).shelves:
            return work()
        return await anyio.to_thread.run_sync(work)  # A stranger's patterns may take their whole time.

    async def _past(self, scene: Scene, bare: Prompt) -> Past:
        """Return the summaries of a conversation of which not everything fits, or is at hand. Away ones are told."""
        first = scene.history[0] if scene.history else None
        if self._summing is None or scene.conversation is None or first is None:
            return ALL_AT_HAND
        most = self._summing.windows.messages
        if first.parent_id is None and not bare.cut_off and len(scene.history) <= most:
            return ALL_AT_HAND
        try:
            every = (await self._summing.standing(scene.owner, scene.conversation.id)).values()
            own = [one for one in every if one.character_id == scene.character.id]
            if own and first.parent_id is not None and not reachable(own, scene.history):
                messages = await self._conversations.messages(scene.owner, scene.conversation.id)
                scene.history = branch(messages, scene.history[-1].id)
        except Unavailable:
            scene.told.append(SUMMARIES_AWAY)
            return ALL_AT_HAND
        return past_of(scene, own, most)

    async def _shared(self, scene: Scene) -> tuple[Shelf, ...]:
        """Return the lorebooks that the character names, of the tenant that made it. Those that are gone are told."""
        ids = scene.character.lorebooks
        if not ids or self._lorebooks is None:
            return ()
        try:
            known = await self._cast.known(scene.owner, scene.character.id)
            found = await self._lorebooks.some(known.home(scene.owner), ids)
        except Unavailable:
            scene.told.append(BOOKS_AWAY)
            return ()
        gone = sorted(set(ids) - {book.id for book in found})
        if gone:
            scene.told.append(BOOKS_GONE.format(ids=", ".join(gone)))
        return tuple(Shelf(book.id, book.lorebook) for book in found)

    async def _remind(self, scene: Scene, shelves: Sequence[Shelf]) -> None:
        """Read all of the conversation where only its end is at hand and a lorebook asks for all."""
        first = scene.history[0] if scene.history else None
        if scene.conversation is None or first is None or first.parent_id is None or not looks_back(shelves):
            return
        messages = await self._conversations.messages(scene.owner, scene.conversation.id)
        scene.history = branch(messages, scene.history[-1].id)

    async def _recalled(self, scene: Scene, bare: Prompt) -> Recollection:
        """Recall what the prompt does not hold anyway; what fell out of its window may come back."""
        policy = scene.character.memory
        if self._remember is None or not policy.long_term or policy.recall == 0:
            return NOTHING
        held = "\n".join(text_of(message) for message in bare.messages)
        known = [message for message in scene.path if message.content.strip() in held]
        exclude = [each.name(scene.character.id) for each in (*map(Beside.of, known), *scene.elsewhere)]
        deadline = Deadline.after(RECALL_SECONDS)
        return await self._remember.recall(
            scene.owner, scene.character.id, scene.text, exclude, deadline, limit=policy.recall or MAX_RECALLED
        )


def reachable(summaries: Sequence[Summary], history: Sequence[Message]) -> bool:
    """Whether one sums up all that was said before what is at hand, or up to a message of it."""
    ends = {history[0].parent_id, *(message.id for message in history)}
    return any(one.through_id in ends for one in summaries)


def past_of(scene: Scene, summaries: Sequence[Summary], most: int) -> Past:
    """Return what stands for the beginning of a scene's history, which may be the end of the branch alone."""
    first = scene.history[0]
    found = [(0, one) for one in summaries if one.through_id == first.parent_id]
    found += along(summaries, scene.character.id, scene.history)
    return Past([Digest(one.id, one.text, scene.seen(place)) for place, one in found], first.parent_id is None, most)
