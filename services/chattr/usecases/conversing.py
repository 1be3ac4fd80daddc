"""What a person does with a conversation, apart from talking: begin, name, edit, go back and forth in it, cut, copy."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from chatacter.chassis.errors import Busy, Conflict, InvalidInput, NotFound
from chattr.domain.character import Character
from chattr.domain.conversation import CONVERSATION_ID, MOST_MEMBERS, Conversation, Message, Order
from chattr.domain.identity import Owner, new_id
from chattr.domain.macros import Chance, Names, expanded
from chattr.domain.memory import Selection, memory_ids
from chattr.domain.person import NOBODY, Persona
from chattr.domain.tree import Tree
from chattr.ports.records import Conversations
from chattr.ports.replies import ReplyCache
from chattr.ports.sessions import ShortTerm
from chattr.usecases.caching import forget_kept
from chattr.usecases.characters import Cast
from chattr.usecases.remember import Remember
from chattr.usecases.scene import BAD_ID, Ask, Under, no_conversation, no_message
from chattr.usecases.summing import Summing

# A subtree is cut from the conversation as it was read; so often is it read again when somebody speaks in between.
TRIES: Final = 16
# Conversations that are read at once where those with one character are looked for.
LOOKED_THROUGH: Final = 100
RESTLESS: Final = "This conversation changes all the time; nothing was done. Try again when its replies have ended."
TAKEN: Final = "There is a conversation {id!r} already. Choose another id, or leave it out."
FULL: Final = f"A group has at most {MOST_MEMBERS} characters."
LAST_ONE: Final = "The last character stays; delete the conversation instead."
NOTHING_TO_ANSWER: Final = "Only the person's messages get a reply. Leave `reply` out, or regenerate this message."
NO_GREETING: Final = "There are {count} greetings here; `greeting` numbers them from 0."


class Whole(NamedTuple):
    """A conversation with all its messages."""

    conversation: Conversation
    tree: Tree


@dataclass(frozen=True, slots=True)
class Beginning:
    """How a conversation begins."""

    id: str | None = None
    """None: one is made up."""
    title: str | None = None
    persona: Persona | None = None
    greeting: int | None = 0
    """Which of the greetings is heard; None: the person speaks first."""
    order: Order = "mention"
    replies: int = 1


BY_GREETING: Final = Beginning()


class Conversing:
    """A person's conversations. Every method raises `NotFound` for one that is not theirs, and `Unavailable`."""

    def __init__(
        self,
        cast: Cast,
        conversations: Conversations,
        short_term: ShortTerm,
        remember: Remember | None,
        summing: Summing | None = None,
        *,
        replies: ReplyCache | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cast = cast
        self._conversations = conversations
        self._short_term = short_term
        self._remember = remember
        self._summing = summing
        self._replies = replies
        self._clock = clock

    async def begin(self, owner: Owner, characters: Sequence[str], how: Beginning = BY_GREETING) -> Whole:
        """Begin one, with several characters as a group. Greetings stand at the root, side by side.

        Raises `InvalidInput` for a greeting that is not there or an id that is none, `Conflict` for a taken one.
        """
        made = await self.imagined(owner, characters, how)
        if not await self._conversations.create(owner, made.conversation, made.tree.messages):
            raise Conflict(TAKEN.format(id=made.conversation.id), param="id")
        return made

    async def imagined(self, owner: Owner, characters: Sequence[str], how: Beginning = BY_GREETING) -> Whole:
        """Show how one would begin; nothing is stored. Begun under the same id it opens in the same words."""
        if how.id is not None and not CONVERSATION_ID.fullmatch(how.id):
            raise InvalidInput(BAD_ID, param="id")
        cast = [await self._cast.get(owner, each) for each in dict.fromkeys(characters)]
        members = tuple(character.id for character in cast) if len(cast) > 1 else ()
        made = Conversation(how.id or new_id("conv"), cast[0].id, self._clock(), how.title, persona=how.persona)
        made = replace(made, members=members, order=how.order, replies=how.replies)
        messages = greetings(cast, made) if how.greeting is not None else []
        if how.greeting and how.greeting >= len(messages):
            raise InvalidInput(NO_GREETING.format(count=len(messages)), param="greeting")
        if messages:
            made = replace(made, head_id=messages[how.greeting or 0].id)
        return Whole(made, Tree(messages))

    async def get(self, owner: Owner, conversation_id: str) -> Conversation:
        """Return what is known of a conversation."""
        found = await self._conversations.get(owner, conversation_id)
        if found is None:
            raise no_conversation(conversation_id)
        return found

    async def whole(self, owner: Owner, conversation_id: str) -> Whole:
        """Return a conversation with all its branches."""
        found = await self.get(owner, conversation_id)
        return Whole(found, Tree(await self._conversations.messages(owner, conversation_id)))

    async def list(
        self, owner: Owner, *, character_id: str | None = None, before: str | None, limit: int
    ) -> Sequence[Conversation]:
        """Return the newest first, all or those begun with a character; `before` is the id that the previous page ended
        with. Raises `NotFound` for another.
        """
        if character_id is None:
            return await self._conversations.list(owner, before=before, limit=limit)
        found: list[Conversation] = []
        while len(found) < limit:
            page = await self._conversations.list(owner, before=before, limit=LOOKED_THROUGH)
            found += [each for each in page if each.character_id == character_id]
            if len(page) < LOOKED_THROUGH:
                break
            before = page[-1].id
        return found[:limit]

    async def openings(self, owner: Owner, conversations: Sequence[Conversation]) -> Sequence[str | None]:
        """Return the beginning of what the person said first in each, None where that is nothing."""
        return await self._conversations.openings(owner, [each.id for each in conversations])

    async def change(self, owner: Owner, conversation_id: str, changes: dict[str, Any]) -> Conversation:
        """Set `title`, `persona` or `head_id`, those that are named. A head goes on to the newest leaf under it."""
        found = await self.get(owner, conversation_id)
        if (chosen := changes.get("head_id")) is not None:
            tree = Tree(await self._conversations.messages(owner, conversation_id))
            if tree.get(chosen) is None:
                raise no_message(chosen)
            changes = {**changes, "head_id": tree.newest_leaf(chosen)}
        if changes:
            await self._conversations.update(owner, replace(found, **changes), *changes)
        return await self.get(owner, conversation_id)

    async def join(self, owner: Owner, conversation_id: str, character_id: str) -> Conversation:
        """Let a character join; it knows what is said from now on. Raises `Conflict` where there are too many."""
        character = await self._cast.get(owner, character_id)

        def joined(members: tuple[str, ...]) -> tuple[str, ...]:
            if character.id in members:
                return members
            if len(members) >= MOST_MEMBERS:
                raise Conflict(FULL, param="character")
            return (*members, character.id)

        return await self._regroup(owner, conversation_id, joined)

    async def leave(self, owner: Owner, conversation_id: str, character_id: str) -> Conversation:
        """Let a character go; it keeps what it heard. Raises `NotFound` for one who is not there, `Conflict`."""

        def left(members: tuple[str, ...]) -> tuple[str, ...]:
            if character_id not in members:
                raise NotFound(f"{character_id!r} is not in this conversation.", param="character")
            if len(members) == 1:
                raise Conflict(LAST_ONE, param="character")
            return tuple(each for each in members if each != character_id)

        return await self._regroup(owner, conversation_id, left)

    async def _regroup(
        self, owner: Owner, conversation_id: str, work: Callable[[tuple[str, ...]], tuple[str, ...]]
    ) -> Conversation:
        """Change who is there; worked out anew where somebody else changed something meanwhile."""
        for _ in range(TRIES):
            found = await self.get(owner, conversation_id)
            before = found.members or (found.character_id,)
            after = work(before)
            if after == before:
                return found
            changed = replace(found, members=after)
            if await self._conversations.update(owner, changed, "members", at_revision=found.revision):
                return await self.get(owner, conversation_id)
        raise Busy(RESTLESS, retry_after=1)

    async def edit(self, owner: Owner, conversation_id: str, message_id: str, content: str) -> tuple[Message, Tree]:
        """Say something else in a message's place: it stands beside it, and is the head from now on.

        Returns it with the tree that it stands in.
        """
        whole = await self.whole(owner, conversation_id)
        old = existing(whole.tree, message_id)
        new = replace(
            old,
            id=new_id("msg"),
            content=content,
            created_at=self._clock(),
            status="complete",
            reminders=(),
            summary_id=None,
            memorable=await self._memorable(owner, whole.conversation, old),
        )
        await self._conversations.append(owner, conversation_id, [new])
        return new, Tree([*whole.tree.messages, new])

    async def said_instead(
        self, owner: Owner, conversation_id: str, message_id: str, text: str, sampling: Mapping[str, Any]
    ) -> Ask:
        """Return what asks for a reply to something else that the person says in a message's place."""
        old = existing((await self.whole(owner, conversation_id)).tree, message_id)
        if old.role != "user":
            raise InvalidInput(NOTHING_TO_ANSWER, param="reply")
        return Ask(None, text, conversation_id, sampling=sampling, place=Under(old.parent_id))

    async def remove(self, owner: Owner, conversation_id: str, message_id: str) -> Conversation:
        """Delete a message with all that followed on it, and what was remembered of it. The head moves to what remains.

        Raises `Busy` when others write all the while.
        """
        for _ in range(TRIES):
            whole = await self.whole(owner, conversation_id)
            existing(whole.tree, message_id)
            removed = whole.tree.under(message_id)
            head = whole.tree.head_without(removed, whole.conversation.head_id)
            if await self._conversations.prune(owner, replace(whole.conversation, head_id=head), removed):
                break
        else:
            raise Busy(RESTLESS, retry_after=1)
        gone = [message for message in whole.tree.messages if message.id in set(removed)]
        await self._forget(owner, Selection(ids=memory_ids(owner, gone)))
        return await self.get(owner, conversation_id)

    async def fork(
        self, owner: Owner, conversation_id: str, message_id: str | None, *, title: str | None = None
    ) -> Whole:
        """Begin a new conversation with a copy of what was said up to a message, the head unless another is named.

        What was said is remembered where it was said; the copy is not remembered once more.
        """
        whole = await self.whole(owner, conversation_id)
        old = whole.conversation
        leaf = existing(whole.tree, message_id).id if message_id is not None else old.head_id
        path = whole.tree.path(leaf)
        copied = renamed([replace(each, memorable=False) for each in path])
        made = replace(
            Conversation(new_id("conv"), old.character_id, self._clock(), old.title if title is None else title),
            persona=old.persona,
            members=old.members,
            order=old.order,
            replies=old.replies,
            head_id=copied[-1].id if copied else None,
        )
        await self._conversations.create(owner, made, copied)
        if self._summing is not None:
            names = {old.id: new.id for old, new in zip(path, copied, strict=True)}
            found = (await self._summing.standing(owner, conversation_id)).values()
            await self._summing.carry(owner, found, made.id, names)
        return Whole(made, Tree(copied))

    async def delete(self, owner: Owner, conversation_id: str) -> None:
        """Remove a conversation with its messages, and what was remembered of it."""
        there = await self._conversations.delete(owner, conversation_id)  # first, so that a reply adds nothing after it
        await self._short_term.drop(owner, conversation_id)
        await self._forget(owner, Selection(conversation_id=conversation_id))
        if not there:
            raise no_conversation(conversation_id)

    async def _forget(self, owner: Owner, what: Selection) -> None:
        """Take back what came of messages that are gone."""
        if self._remember is not None:
            await self._remember.forget(owner, what)
        else:
            await forget_kept(self._replies, owner)

    async def _memorable(self, owner: Owner, conversation: Conversation, edited: Message) -> bool:
        """Whether what is said in a message's place is remembered: what a character opens with is not."""
        if edited.audience:
            return edited.memorable
        if edited.role == "assistant" and edited.parent_id is None:
            return False
        try:
            character = await self._cast.get(owner, edited.character_id or conversation.character_id)
        except NotFound:
            return edited.memorable
        return character.memory.long_term


def greetings(cast: Sequence[Character], conversation: Conversation) -> list[Message]:
    """Write what characters may open with, the first one's first; in a group what is meant for groups, if anything."""
    opening = Message("", None, "assistant", "", conversation.created_at, memorable=False)
    opening = replace(opening, audience=conversation.members)
    said = [(one, text) for one in cast for text in one.group_greetings] if conversation.members else []
    made = []
    for number, (character, text) in enumerate(said or [(cast[0], text) for text in cast[0].greetings]):
        chance = Chance(conversation.id, conversation.id)
        names = Names(character.nickname or character.name, (conversation.persona or NOBODY).called, chance)
        content = expanded(text, names, f"greeting {number}")
        if content.strip():
            made.append(replace(opening, id=new_id("msg"), content=content, character_id=character.id))
    return made


def existing(tree: Tree, message_id: str) -> Message:
    """Return a message. Raises `NotFound`."""
    found = tree.get(message_id)
    if found is None:
        raise no_message(message_id)
    return found


def renamed(messages: Sequence[Message]) -> list[Message]:
    """Copy messages, parents first, under new ids: a message's id is remembered, corrected and forgotten by itself."""
    names = {message.id: new_id("msg") for message in messages}
    return [replace(each, id=names[each.id], parent_id=names.get(each.parent_id or "")) for each in messages]
