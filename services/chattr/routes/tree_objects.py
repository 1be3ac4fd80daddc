"""How conversations and their messages are shown. The shapes are documentation: what is sent is written as it is."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from chatacter.contracts.base import Strict
from chattr.domain.conversation import Conversation, Message, Order, Role, Status
from chattr.domain.person import Persona
from chattr.domain.tree import Tree

# Listed with each message, so a list of all would grow with their square.
MOST_SIBLINGS: Final = 64


class MessageRead(Strict):
    """Something that was said, and what else was said in its place."""

    id: str
    parent_id: str | None
    """What it answers; null at the root."""
    role: Role
    content: str
    character: str | None
    """Who said it, or whom it was said to; null where it was said to a group."""
    audience: list[str]
    """The characters of a group who heard it; empty outside groups."""
    created_at: float
    status: Status
    siblings: list[str]
    """The messages that answer the same one, itself among them, oldest first; of very many the nearest."""
    index: int
    """Which of these it is, from 0."""


class ConversationRead(Strict):
    """What is known of a conversation apart from its messages."""

    id: str
    object: Literal["conversation"] = "conversation"
    character: str
    title: str | None
    persona: Persona | None
    """Who the person is in it."""
    created_at: float
    head_id: str | None
    """The end of the active branch."""
    live_reply_id: str | None
    """The reply that is being written."""
    members: list[str]
    """The characters of a group; empty where it is with one."""
    order: Order
    """Who of a group answers."""
    replies: int
    """How many of a group may answer one after the other."""


class ConversationWhole(ConversationRead):
    """A conversation with the messages of all its branches, in the order in which they were added."""

    messages: list[MessageRead]


class ConversationListed(ConversationRead):
    """A conversation in a list."""

    opening: str | None
    """The beginning of what the person said first; null where they have said nothing."""


class ConversationPage(Strict):
    """A person's conversations, the newest first."""

    object: Literal["list"] = "list"
    data: list[ConversationListed]
    has_more: bool
    last_id: str | None


class History(Strict):
    """The active branch of a conversation, oldest first."""

    session_id: str
    character: str
    live_reply_id: str | None
    persona: Persona | None
    """Who the person is in it."""
    members: list[str]
    """The characters of a group; empty where it is with one."""
    order: Order
    """Who of a group answers."""
    replies: int
    """How many of a group may answer one after the other."""
    messages: list[MessageRead]


def conversation_object(conversation: Conversation) -> dict[str, Any]:
    """Describe a conversation."""
    return {
        "id": conversation.id,
        "object": "conversation",
        "character": conversation.character_id,
        "title": conversation.title,
        "persona": conversation.persona.model_dump() if conversation.persona else None,
        "created_at": conversation.created_at,
        "head_id": conversation.head_id,
        "live_reply_id": conversation.live_reply_id,
        "members": list(conversation.members),
        "order": conversation.order,
        "replies": conversation.replies,
    }


def message_object(message: Message, tree: Tree) -> dict[str, Any]:
    """Describe a message."""
    siblings = tree.siblings(message)
    place = tree.place(message)
    first = max(0, min(place - MOST_SIBLINGS // 2, len(siblings) - MOST_SIBLINGS))
    return {
        "id": message.id,
        "parent_id": message.parent_id,
        "role": message.role,
        "content": message.content,
        "character": message.character_id,
        "audience": list(message.audience),
        "created_at": message.created_at,
        "status": message.status,
        "siblings": siblings[first : first + MOST_SIBLINGS],
        "index": place - first,
    }


def whole_object(conversation: Conversation, tree: Tree) -> dict[str, Any]:
    """Describe a conversation with its messages."""
    return {**conversation_object(conversation), "messages": message_objects(tree.messages, tree)}


def message_objects(messages: Iterable[Message], tree: Tree) -> list[dict[str, Any]]:
    """Describe messages."""
    return [message_object(message, tree) for message in messages]
