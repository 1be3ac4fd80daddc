"""Embedders: one suite over the fake, the packaged model, and any OpenAI-compatible endpoint."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI, Request
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from chatacter.chassis.errors import Misconfigured, Unavailable, UpstreamFailed
from chattr.adapters.fakes.embedder import FakeEmbedder, bag
from chattr.adapters.minilm_embedder import MiniLmEmbedder
from chattr.adapters.openai_embedder import AT_ONCE, AWAY, OpenAIEmbedder
from chattr.ports.embedder import Embedder
from tests.served import served

pytestmark = pytest.mark.contract


@dataclass
class Endpoint:
    """Answers as OpenAI does: vectors of any length, in any order. Notes what it was asked."""

    status: int = 200
    spoilt: bool = False
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/v1/embeddings")
        async def embeddings(request: Request) -> Response:
            body = await request.json()
            self.bodies.append(body)
            self.headers.append(dict(request.headers))
            if self.status != 200:
                return JSONResponse({"error": {"message": "no", "type": "x", "code": "x"}}, self.status)
            rows = [
                {"object": "embedding", "index": index, "embedding": (3 * bag(text)).tolist()}
                for index, text in enumerate(body["input"])
            ]
            data = rows[:-1] if self.spoilt else rows[::-1]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return JSONResponse({"object": "list", "data": data, "model": body["model"], "usage": usage})

        return app


async def opened(stack: AsyncExitStack, endpoint: Endpoint, **given: Any) -> OpenAIEmbedder:
    url = await stack.enter_async_context(served(await asyncio.to_thread(endpoint.app)))
    embedder = OpenAIEmbedder(name="some/model:v1", url=f"{url}/v1", through_proxy=False, **given)
    return await stack.enter_async_context(embedder)


@pytest.fixture(params=["fake", "packaged", "endpoint"])
async def embedder(request: pytest.FixtureRequest) -> AsyncIterator[Embedder]:
    async with AsyncExitStack() as stack:
        match request.param:
            case "fake":
                yield FakeEmbedder()
            case "packaged":
                folder: Path = request.getfixturevalue("models_home") / "all-minilm-l6-v2"
                packaged = MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json")
                yield await stack.enter_async_context(packaged)
            case "endpoint":
                yield await opened(stack, Endpoint())


async def test_a_text_has_one_vector_of_length_one_alone_and_among_others(embedder: Embedder) -> None:
    texts = ["my dog is called biscuit", "the harbour", "", "my dog is called biscuit", "🙂 日本語 " * 400]
    together = await embedder.embed(texts)
    assert together.shape[0] == len(texts)
    assert together.dtype == np.float32
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-4)
    assert together[0] == pytest.approx(together[3], abs=1e-5)
    assert (await embedder.embed(texts[1:2]))[0] == pytest.approx(together[1], abs=1e-5)


async def test_like_texts_lie_nearer_than_unlike_ones(embedder: Embedder) -> None:
    dog, same, other = await embedder.embed(["my dog is old", "how old is my dog", "trains to the harbour"])
    assert dog @ same > dog @ other


async def test_many_texts_keep_their_order(embedder: Embedder) -> None:
    texts = [f"word{number} of {number}" for number in range(2 * AT_ONCE + 3)]
    together = await embedder.embed(texts)
    assert (await embedder.embed(texts[-1:]))[0] == pytest.approx(together[-1], abs=1e-5)


async def test_no_texts_no_vectors(embedder: Embedder) -> None:
    assert (await embedder.embed([])).shape[0] == 0


async def test_the_endpoint_is_asked_for_its_model_with_the_key_and_no_more_texts_than_it_takes() -> None:
    endpoint = Endpoint()
    async with AsyncExitStack() as stack:
        embedder = await opened(stack, endpoint, api_key=SecretStr("s3cret"), dimensions=64)
        assert await embedder.check() is None
        await embedder.embed(["tea"] * (AT_ONCE + 1))
    assert [len(body["input"]) for body in endpoint.bodies] == [1, AT_ONCE, 1]
    assert {(body["model"], body["dimensions"]) for body in endpoint.bodies} == {("some/model:v1", 64)}
    assert {headers["authorization"] for headers in endpoint.headers} == {"Bearer s3cret"}
    assert embedder.name == "some/model:v1:64"


async def test_probes_cost_nothing_while_the_endpoint_was_heard_lately() -> None:
    endpoint = Endpoint()
    async with AsyncExitStack() as stack:
        embedder = await opened(stack, endpoint)
        await embedder.embed(["tea"])
        assert [await embedder.check() for _ in range(5)] == [None] * 5
        assert len(endpoint.bodies) == 1
        endpoint.status = 503
        with pytest.raises(Unavailable):
            await embedder.embed(["tea"])
        assert [await embedder.check() for _ in range(5)] == [AWAY] * 5
        endpoint.status = 200
        await embedder.embed(["tea"])
        assert await embedder.check() is None


async def test_without_a_key_none_is_sent() -> None:
    endpoint = Endpoint()
    async with AsyncExitStack() as stack:
        await (await opened(stack, endpoint)).embed(["tea"])
    assert "authorization" not in endpoint.headers[0]
    assert "dimensions" not in endpoint.bodies[0]


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, Misconfigured), (403, Misconfigured), (404, Misconfigured), (400, UpstreamFailed)],
)
async def test_refusals_are_told_in_our_words(status: int, error: type[Exception]) -> None:
    async with AsyncExitStack() as stack:
        embedder = await opened(stack, Endpoint(status=status))
        with pytest.raises(error, match="embeddings endpoint"):
            await embedder.embed(["tea"])
        assert await embedder.check() is not None


async def test_an_endpoint_that_fails_is_away() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(Unavailable):
            await (await opened(stack, Endpoint(status=503))).embed(["tea"])


async def test_an_endpoint_that_nobody_answers_is_away(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    async with OpenAIEmbedder(name="m", url=url, through_proxy=False) as embedder:
        with pytest.raises(Unavailable):
            await embedder.embed(["tea"])
    with pytest.raises(Unavailable):
        await embedder.embed(["tea"])


async def test_an_answer_without_a_vector_a_text_is_refused() -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(UpstreamFailed):
            await (await opened(stack, Endpoint(spoilt=True))).embed(["tea", "boats"])
