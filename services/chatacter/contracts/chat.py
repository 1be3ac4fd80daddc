"""Chat as OpenAI shapes it. Source: API reference, "Create chat completion"."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator

from chatacter.contracts.base import Open

CONVERSATION_KEY: Final = "conversation_id"
TEXT_PARTS: Final = frozenset({"text", "input_text"})
# Ours: they name who speaks and what is stored here, and are told to nobody else.
OURS: Final = frozenset({"model", "messages", "stream", "metadata", "user", "store", "modalities", "audio"})
# Sent empty by some clients, and refused so by some providers: as good as left out.
EMPTY: Final[tuple[Any, ...]] = (None, [], {})
# Means what leaving it out means; some providers take it not even so.
USUAL: Final[Mapping[str, Any]] = {"n": 1, "logprobs": False}
# Means something only beside the other.
BESIDE: Final[Mapping[str, str]] = {
    "tool_choice": "tools",
    "parallel_tool_calls": "tools",
    "function_call": "functions",
    "top_logprobs": "logprobs",
}


class ContentPart(Open):
    """A part of a message: text, or what the model's provider may understand: a picture, a sound, a file."""

    type: str
    text: str | None = None


class CalledFunction(Open):
    """What a tool call calls."""

    name: str
    arguments: str = ""


class ToolCall(Open):
    """A call that the assistant made. Of a type that is no function, what it says stands beside."""

    id: str
    type: str = "function"
    function: CalledFunction | None = None


class ChatMessage(Open):
    """One message of the history that a client sends."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @model_validator(mode="after")
    def answers_a_call(self) -> Self:
        """A tool's result names its call."""
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a message of role `tool` needs the `tool_call_id` that it answers")
        return self

    @property
    def text(self) -> str:
        """The message's text, its parts joined."""
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content if part.text)

    @property
    def beyond_text(self) -> bool:
        """Whether a part of its content is no text."""
        return isinstance(self.content, list) and any(part.type not in TEXT_PARTS for part in self.content)

    @property
    def plain(self) -> bool:
        """Whether its role and its text are all that it says."""
        more = self.model_dump(exclude={"role", "content"}, exclude_unset=True)
        marked = isinstance(self.content, list) and any(part.model_extra for part in self.content)
        said = self.beyond_text or marked or self.role == "tool"
        return not said and all(value in EMPTY for value in more.values())

    @property
    def as_sent(self) -> dict[str, Any]:
        """The message as it came."""
        return self.model_dump(exclude_unset=True)


class FunctionTool(Open):
    """A function that the model may call; `parameters` is a JSON Schema."""

    name: Annotated[str, Field(min_length=1)]


class Tool(Open):
    """Something that the model may call."""

    type: str
    function: FunctionTool | None = None

    @model_validator(mode="after")
    def is_whole(self) -> Self:
        """A function is described in `function`."""
        if self.type == "function" and self.function is None:
            raise ValueError("a tool of type `function` needs `function`")
        return self


class StreamOptions(Open):
    """How a stream ends."""

    include_usage: bool = False


class ChatCompletionRequest(Open):
    """What `POST /v1/chat/completions` takes. Fields that do not stand here are passed on to the provider."""

    model: str = Field(description="A character's id")
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    metadata: dict[str, Any] | None = Field(
        default=None, description="`conversation_id` makes it stateful: the server's history counts"
    )
    user: str | None = Field(default=None, description="Who speaks; what is remembered belongs to them")
    n: Annotated[int, Field(ge=1, le=128)] | None = Field(default=None, description="Answers; 1 in a conversation")
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    logit_bias: dict[str, float] | None = None
    response_format: dict[str, Any] | None = Field(default=None, description="`text`, `json_object`, `json_schema`")
    tools: list[Tool] | None = Field(default=None, description="Stateless only: their results come back in `messages`")
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    modalities: list[str] | None = None
    audio: dict[str, Any] | None = None

    @model_validator(mode="after")
    def names_a_conversation(self) -> Self:
        """A conversation is named by a text."""
        if not isinstance((self.metadata or {}).get(CONVERSATION_KEY), str | None):
            raise ValueError(f"metadata.{CONVERSATION_KEY} must be a string")
        return self

    @property
    def sampling(self) -> dict[str, Any]:
        """What is passed on to the provider: all that was sent and is not ours, without what says nothing."""
        sent = self.model_dump(exclude=set(OURS), exclude_unset=True)
        said = {name: value for name, value in sent.items() if value not in EMPTY and USUAL.get(name) != value}
        return {name: value for name, value in said.items() if name not in BESIDE or BESIDE[name] in said}

    @property
    def conversation_id(self) -> str | None:
        """The conversation that a stateful request continues."""
        return (self.metadata or {}).get(CONVERSATION_KEY)
