"""A chat completion request, read as a question to a character."""

from typing import Any

import pytest

from chatacter.chassis.errors import ChatacterError, InvalidInput, NotBuilt
from chatacter.contracts.chat import ChatCompletionRequest
from chattr.domain.prompt import Turn
from chattr.routes.openai import ask_of

pytestmark = pytest.mark.unit

HELLO = {"role": "user", "content": "Hello"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def request(*messages: dict[str, Any], **more: Any) -> ChatCompletionRequest:
    return ChatCompletionRequest.model_validate({"model": "ada", "messages": messages or [HELLO], **more})


def test_history_instructions_and_sampling_are_told_apart() -> None:
    ask = ask_of(
        request(
            {"role": "system", "content": "Rhyme."},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "and two"}]},
            {"role": "assistant", "content": "Three."},
            {"role": "user", "content": "Four?"},
            temperature=0.2,
            n=None,
        )
    )
    assert ask.text == "Four?"
    assert ask.history == (Turn("user", "One\nand two"), Turn("assistant", "Three."))
    assert ask.instructions == "Rhyme."
    assert ask.sampling["temperature"] == 0.2


def test_within_a_conversation_the_history_is_the_servers() -> None:
    earlier = {"role": "user", "content": "Earlier"}
    ask = ask_of(request(earlier, {"role": "assistant", "content": "Yes."}, HELLO, metadata={"conversation_id": "c"}))
    assert (ask.conversation_id, ask.history) == ("c", ())


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (request({"role": "user", "content": [{"type": "text", "text": "What is this?"}, PICTURE]}), NotBuilt),
        (request({"role": "tool", "content": "42"}, HELLO), NotBuilt),
        (request(tools=[{"type": "function"}]), NotBuilt),
        (request(n=2), NotBuilt),
        (request({"role": "user", "content": "  "}), InvalidInput),
        (request(HELLO, {"role": "assistant", "content": "Last."}), InvalidInput),
    ],
)
def test_what_is_not_understood_is_refused_and_never_dropped(
    asked: ChatCompletionRequest, kind: type[ChatacterError]
) -> None:
    with pytest.raises(kind):
        ask_of(asked)
