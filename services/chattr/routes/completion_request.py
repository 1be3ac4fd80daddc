"""A chat completion request, read as a question to a character."""

from collections.abc import Mapping, Sequence
from typing import Final

from chatacter.chassis.errors import InvalidInput, NotBuilt
from chatacter.contracts.chat import ChatCompletionRequest, ChatMessage
from chattr.domain.prompt import OPENING, Turn
from chattr.domain.prompt.parts import Role
from chattr.usecases.caching import CacheUse
from chattr.usecases.scene import Ask

TOLD_ROLES: Final = frozenset({"system", "developer"})
ROLES: Final[Mapping[str, Role]] = {"user": "user", "assistant": "assistant", "tool": "tool", "function": "tool"}
SAYS_NOTHING: Final = "The last message of the user says nothing."
AUDIO: Final = "Spoken answers are not built at this door. POST /v1/audio/speech speaks a text in a character's voice."
ONE_ANSWER: Final = "A conversation goes on with one answer: ask for n=1, or leave `metadata.conversation_id` out."
NO_TOOLS: Final = (
    "A conversation holds what was said, and no tool calls: leave `metadata.conversation_id` out and send the history "
    "in `messages`, or leave the tools out."
)
USER_LAST: Final = (
    "In a conversation the last message must be the user's, and say something in words. Without "
    "`metadata.conversation_id` it may be the assistant's, which the answer then begins with."
)
WORDS_ARE_KEPT: Final = "What the message shows was seen for this answer; the conversation keeps its words alone."


def ask_of(body: ChatCompletionRequest, cache: CacheUse = "use") -> Ask:
    """Read a request. Raises `InvalidInput`, `NotBuilt`."""
    if body.audio or "audio" in (body.modalities or ()):
        raise NotBuilt(AUDIO, param="modalities")
    before, asked, since = parted(body.messages)
    stateful = body.conversation_id is not None
    if stateful:
        require_speakable(body, asked, since)
    elif asked.plain and not asked.text.strip():
        raise InvalidInput(SAYS_NOTHING, param="messages")
    told = [message.text for message in body.messages if message.role in TOLD_ROLES and message.text]
    return Ask(
        character_id=body.model,
        text=asked.text,
        conversation_id=body.conversation_id,
        history=() if stateful else tuple(map(turn, before)),
        instructions="\n".join(told) or None,
        sampling=body.sampling,
        raw=None if asked.plain else asked.as_sent,
        since=tuple(map(turn, since)),
        cache=cache,
        told=(WORDS_ARE_KEPT,) if stateful and asked.beyond_text else (),
    )


def parted(
    messages: Sequence[ChatMessage],
) -> tuple[Sequence[ChatMessage], ChatMessage, Sequence[ChatMessage]]:
    """Part what was spoken at the user's last message. Where the user said nothing, the character is greeted."""
    spoken = [message for message in messages if message.role not in TOLD_ROLES]
    for place in range(len(spoken) - 1, -1, -1):
        if spoken[place].role == "user":
            return spoken[:place], spoken[place], spoken[place + 1 :]
    return (), ChatMessage(role="user", content=OPENING), spoken


def require_speakable(body: ChatCompletionRequest, asked: ChatMessage, since: Sequence[ChatMessage]) -> None:
    """Refuse what a conversation cannot hold: it is a tree of what was said. Raises `InvalidInput`."""
    if (body.n or 1) != 1:
        raise InvalidInput(ONE_ANSWER, param="n")
    if "tools" in body.sampling or "functions" in body.sampling:
        raise InvalidInput(NO_TOOLS, param="tools")
    if any(message.role not in {"user", "assistant"} for message in since):
        raise InvalidInput(NO_TOOLS, param="messages")
    spoken = [message for message in body.messages if message.role not in TOLD_ROLES]
    if since or not spoken or not asked.text.strip():
        raise InvalidInput(USER_LAST, param="messages")


def turn(message: ChatMessage) -> Turn:
    """Read a message that was spoken, called or returned."""
    return Turn(ROLES[message.role], message.text, raw=None if message.plain else message.as_sent)
