"""Unfinished replies at providers that know how to go on, and at those that do not."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import InvalidInput, UpstreamFailed
from chattr.adapters.fakes.language import chunk
from chattr.adapters.going_on import OPEN_END, PLEASE, Continuation, GoingOn
from chattr.ports.language import ChatRequest, Chunk, finish_reason_of, text_of

pytestmark = pytest.mark.unit

BEGUN = "Once upon a time there was an engine that"
TALK = ChatRequest(
    [{"role": "user", "content": "A tale!"}, {"role": "assistant", "content": BEGUN}], {"seed": 1}, goes_on=True
)


@dataclass
class Provider:
    """Says words; refuses fields that it does not know, where it is one of those."""

    words: Sequence[str] = (" could", " count.")
    strict: bool = False
    breaks: bool = False
    name: str = "provider"
    asked: list[ChatRequest] = field(default_factory=list)

    async def stream(self, request: ChatRequest, deadline: Deadline) -> AsyncGenerator[Chunk]:
        self.asked.append(request)
        if self.strict and OPEN_END.keys() & request.sampling.keys():
            raise InvalidInput("It answered 400.")
        for word in self.words:
            yield chunk(self.name, word)
            if self.breaks:
                raise UpstreamFailed("It broke off.")
        yield chunk(self.name, None, "stop")

    async def check(self) -> str | None:
        return None


async def told(provider: Provider, how: Continuation = "auto", request: ChatRequest = TALK) -> str:
    return await said(GoingOn(provider, how), request)


async def said(model: GoingOn, request: ChatRequest = TALK) -> str:
    chunks = [each async for each in model.stream(request, Deadline.after(5))]
    assert finish_reason_of(chunks[-1]) == "stop"
    return "".join(map(text_of, chunks))


async def test_the_last_message_stays_open() -> None:
    provider = Provider()
    assert await told(provider) == " could count."
    assert provider.asked[0].messages == TALK.messages
    assert provider.asked[0].sampling == {"seed": 1, **OPEN_END}


async def test_a_provider_that_refuses_that_is_asked_now_and_from_then_on() -> None:
    provider = Provider(strict=True)
    model = GoingOn(provider, "auto")
    assert [await said(model), await said(model)] == [" could count."] * 2
    assert len(provider.asked) == 3
    for request in provider.asked[1:]:
        assert request.messages == [*TALK.messages, {"role": "user", "content": PLEASE}]
        assert request.sampling == {"seed": 1}


async def test_what_an_operator_set_is_done() -> None:
    asking = Provider()
    await told(asking, "ask")
    assert [request.messages[-1]["content"] for request in asking.asked] == [PLEASE]
    with pytest.raises(InvalidInput):
        await told(Provider(strict=True), "prefix")


async def test_what_was_begun_is_not_asked_twice() -> None:
    provider = Provider(breaks=True)
    with pytest.raises(UpstreamFailed):
        await told(provider)
    assert len(provider.asked) == 1


@pytest.mark.parametrize(
    ("words", "heard"),
    [
        (("could", " count."), " could count."),
        ((", ", "they say"), ", they say"),
        ((BEGUN, " could count."), " could count."),
        ((*(f"{word} " for word in BEGUN.split()), "could count."), " could count."),
        (("Once ", "more."), " Once more."),
        (("Once upon",), " Once upon"),
        ((), ""),
    ],
)
async def test_an_answer_is_joined_to_what_it_goes_on_with(words: tuple[str, ...], heard: str) -> None:
    assert await told(Provider(words), "ask") == heard


async def test_other_requests_pass_as_they_are() -> None:
    provider = Provider(("Hello",), strict=True)
    plain = ChatRequest([{"role": "user", "content": "Hi"}])
    assert await told(provider, request=plain) == "Hello"
    assert provider.asked == [plain]
