"""Chat as OpenAI shapes it. Source: API reference, "Create chat completion"."""

from typing import Any, Final, Literal

from pydantic import Field

from chatacter.contracts.base import Open

CONVERSATION_KEY: Final = "conversation_id"
TEXT_PARTS: Final = frozenset({"text", "input_text"})


class ContentPart(Open):
    """A part of a message; only text is understood."""

    type: str
    text: str | None = None


class ChatMessage(Open):
    """One message of the history that a client sends."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[ContentPart] | None = None

    @property
    def text(self) -> str:
        """The message's text, its parts joined."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def beyond_text(self) -> bool:
        """Whether a part of it is no text."""
        return isinstance(self.content, list) and any(part.type not in TEXT_PARTS for part in self.content)


class StreamOptions(Open):
    """How a stream ends."""

    include_usage: bool = False


class ChatCompletionRequest(Open):
    """What `POST /v1/chat/completions` takes. Unknown fields are passed on to the provider."""

    model: str = Field(description="A character's id")
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    metadata: dict[str, str] | None = Field(
        default=None, description="`conversation_id` makes it stateful: the server's history counts"
    )
    user: str | None = Field(default=None, description="Who speaks; what is remembered belongs to them")

    @property
    def sampling(self) -> dict[str, Any]:
        """What is passed on to the provider as it came."""
        return dict(self.model_extra or {})

    @property
    def conversation_id(self) -> str | None:
        """The conversation that a stateful request continues."""
        return (self.metadata or {}).get(CONVERSATION_KEY)
