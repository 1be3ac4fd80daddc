"""What the embedded language model can do of OpenAI's parameters, beyond what llama.cpp says itself with a 400."""

from collections.abc import Mapping
from typing import Any, Final

from chatacter.chassis.errors import Unsupported
from chattr.ports.language import ChatRequest

CAN: Final = (
    "It takes text, `stream`, `stop`, `seed`, `n`, `logprobs`, `logit_bias` and `response_format`; set MODEL__URL to a "
    "provider for the rest."
)
NO_TOOLS: Final = f"The embedded language model is too small to call tools dependably, so it is given none. {CAN}"
NO_PICTURES: Final = f"The embedded language model reads text and sees or hears nothing. {CAN}"
FEWER: Final = "The embedded language model gives at most {most} answers at a time: ask for `n` of {most} or fewer."
TEXT: Final = frozenset({"text", "input_text"})
ABOUT_TOOLS: Final = frozenset({"tools", "tool_choice", "parallel_tool_calls", "functions", "function_call"})


def sampling_for(request: ChatRequest, *, most: int) -> Mapping[str, Any]:
    """Return the parameters that llama.cpp is given; `most` answers at a time. Raises `Unsupported`."""
    sampling = request.sampling
    if calls_tools(sampling) or any(
        message.get("tool_calls") or message["role"] == "tool" for message in request.messages
    ):
        raise Unsupported(NO_TOOLS, param="tools")
    if any(part["type"] not in TEXT for message in request.messages for part in parts(message)):
        raise Unsupported(NO_PICTURES, param="messages")
    if (sampling.get("n") or 1) > most:
        raise Unsupported(FEWER.format(most=most), param="n")
    return {name: value for name, value in sampling.items() if name not in ABOUT_TOOLS}


def calls_tools(sampling: Mapping[str, Any]) -> bool:
    """Whether the model is to call something; a choice of `none` forbids it to."""
    offered = sampling.get("tools") or sampling.get("functions")
    return bool(offered) and "none" not in (sampling.get("tool_choice"), sampling.get("function_call"))


def parts(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of a message that has some."""
    content = message.get("content")
    return content if isinstance(content, list) else []


def is_of_a_tool(message: Mapping[str, Any]) -> bool:
    """Whether a message calls a tool or returns what one said."""
    return bool(message.get("tool_calls")) or message["role"] in {"tool", "function"}
