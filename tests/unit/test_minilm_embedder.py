"""The packaged embedder: equal to an independent implementation, in order, off the loop, honest when files are missing.

`data/minilm_reference.json` holds what torch 2.13 and transformers' BertModel make of the same weights, mean-pooled.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from chatacter.chassis.errors import Misconfigured, NotReady
from chattr.adapters.minilm_embedder import BATCH_TOKENS, BLOCK, DIMENSIONS, Linear, MiniLmEmbedder, batches, gelu

pytestmark = pytest.mark.unit

REFERENCE = Path(__file__).parent / "data" / "minilm_reference.json"
FACTS = [
    ("What animal do I live with?", "My golden retriever is called Biscuit."),
    ("which phobia did he mention", "Jonas told me he is scared of heights and flying."),
    ("what should I serve him to drink?", "The user's favourite drink is black tea with honey."),
    ("What is the user's job?", "The user works as a nurse at a children's hospital in Leipzig."),
    ("food that could make the user ill", "The user is allergic to peanuts."),
]


@pytest.fixture
async def embedder(models_home: Path) -> AsyncIterator[MiniLmEmbedder]:
    folder = models_home / "all-minilm-l6-v2"
    async with MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json") as opened:
        yield opened


async def test_equals_an_independent_implementation(embedder: MiniLmEmbedder) -> None:
    reference = json.loads(REFERENCE.read_text())
    ours = await embedder.embed([one["text"] for one in reference])
    theirs = np.array([one["vector"] for one in reference])
    cosines = (ours.astype(np.float64) * theirs).sum(1)
    assert np.abs(1 - cosines).max() < 1e-5
    assert np.abs(ours - theirs).max() < 1e-5


async def test_a_text_has_the_same_vector_alone_and_among_others(embedder: MiniLmEmbedder) -> None:
    texts = ["tea", "a somewhat longer text about the sea " * 30, "", "My dog is called Biscuit."] * 3
    together = await embedder.embed(texts)
    assert together.shape == (12, DIMENSIONS)
    assert together.dtype == np.float32
    for text, vector in zip(texts, together, strict=True):
        alone = (await embedder.embed([text]))[0]
        assert float(alone @ vector) == pytest.approx(1.0, abs=1e-5)
        assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)


async def test_a_question_lies_nearest_to_its_answer(embedder: MiniLmEmbedder) -> None:
    questions = await embedder.embed([question for question, _ in FACTS])
    answers = await embedder.embed([answer for _, answer in FACTS])
    assert (questions @ answers.T).argmax(1).tolist() == list(range(len(FACTS)))


async def test_the_loop_turns_while_it_embeds(embedder: MiniLmEmbedder) -> None:
    embedding = asyncio.create_task(embedder.embed(["a long text about boats and the sea " * 20] * 8))
    longest, before = 0.0, time.perf_counter()
    while not embedding.done():
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.perf_counter() - before), time.perf_counter()
    assert longest < 5.0
    assert len(await embedding) == 8


async def test_no_texts_no_vectors(embedder: MiniLmEmbedder) -> None:
    assert (await embedder.embed([])).shape == (0, DIMENSIONS)


async def test_missing_files_name_the_command(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="chatacter models install all-minilm-l6-v2"):
        await MiniLmEmbedder(tmp_path / "none", tmp_path / "none").__aenter__()


async def test_not_ready_until_entered(tmp_path: Path) -> None:
    with pytest.raises(NotReady):
        await MiniLmEmbedder(tmp_path / "none", tmp_path / "none").embed(["tea"])


@pytest.mark.parametrize("block", [None, BLOCK])
@pytest.mark.parametrize("rows", [1, 12, 81, 82, 200])
def test_a_layer_in_blocks_is_the_same_layer(block: tuple[int, int] | None, rows: int) -> None:
    noise = np.random.default_rng(3)
    weight, bias = noise.normal(size=(1536, 384)).astype(np.float32), noise.normal(size=384).astype(np.float32)
    values = noise.normal(size=(rows, 1, 1536)).astype(np.float32)
    assert Linear(weight, bias, block)(values) == pytest.approx(values @ weight + bias, abs=1e-3)


def test_gelu_is_exact() -> None:
    values = np.linspace(-12, 12, 20_001, dtype=np.float32)
    exact = 0.5 * values.astype(np.float64) * (1 + erf(values.astype(np.float64) / np.sqrt(2)))
    assert np.abs(gelu(values) - exact).max() < 2e-6


def test_batches_hold_every_text_once_and_little_padding() -> None:
    lengths = [3, 256, 8, 8, 200, 3, 256, 12] * 20
    groups = list(batches(lengths))
    assert sorted(chain.from_iterable(groups)) == list(range(len(lengths)))
    assert all(len(group) * max(lengths[index] for index in group) <= BATCH_TOKENS for group in groups)
    padded = sum(len(group) * max(lengths[index] for index in group) for group in groups)
    assert padded < 1.3 * sum(lengths)
