"""Conversations in which something was said, for what is to be remembered of them."""

from collections.abc import Sequence
from dataclasses import replace

from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.ports.records import Conversations


async def tell(
    conversations: Conversations, owner: Owner, character_id: str, conversation_id: str, messages: Sequence[Message]
) -> None:
    """Say messages one after the other at the head of a conversation, which begins with them where there is none."""
    await conversations.create(owner, Conversation(conversation_id, character_id, messages[0].created_at))
    found = await conversations.get(owner, conversation_id)
    assert found is not None
    parent_id, chained = found.head_id, []
    for message in messages:
        chained.append(replace(message, parent_id=parent_id, character_id=character_id))
        parent_id = message.id
    await conversations.append(owner, conversation_id, chained)
