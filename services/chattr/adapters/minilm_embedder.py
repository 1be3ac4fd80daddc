"""all-MiniLM-L6-v2 in numpy: the packaged embedder, without torch.

Source: Wang et al. 2020, "MiniLM"; the forward pass is BERT's (Devlin et al. 2019), mean-pooled over the tokens and
scaled to length 1, as sentence-transformers does it.
"""

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file
from threadpoolctl import threadpool_info, threadpool_limits
from tokenizers import Encoding, Tokenizer

from chatacter.chassis.errors import Misconfigured, NotReady
from chattr.ports.embedder import Vectors

Floats = NDArray[np.float32]
T = TypeVar("T")

NAME: Final = "all-minilm-l6-v2"
DIMENSIONS: Final = 384
LAYERS: Final = 6
HEADS: Final = 12
# Longer texts are cut: the model was tuned on 256 tokens.
MAX_TOKENS: Final = 256
# Padded tokens that are computed at once; what they make fits a core's cache: a third faster than 2048.
BATCH_TOKENS: Final = 256
# Where OpenBLAS has them, small matrices are multiplied as they lie, where larger ones are copied first: in blocks of
# weights a question of twelve tokens takes half the time, and texts of any length no more. Small is what it calls so.
SMALL_KERNELS: Final = frozenset({"SkylakeX", "Cooperlake", "SapphireRapids"})
SMALL: Final = 1_000_000
BLOCK: Final = (384, 32)
EPSILON: Final = 1e-12
MASKED: Final = np.float32(-1e9)
# Abramowitz and Stegun 7.1.26: erf to 1.5e-7.
ERF_P: Final = np.float32(0.3275911)
ERF_A: Final = tuple(np.float32(a) for a in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592))


class MiniLmEmbedder:
    """Embeds in a few threads of its own. Loads when it is entered, in one of them.

    While it is open, BLAS is held to one thread in this process: beside a busy LLM its spinning threads made one text
    take 150 ms instead of 26.
    """

    name = NAME

    def __init__(self, weights: Path, tokenizer: Path, *, threads: int = 1) -> None:
        self._weights_file = weights
        self._tokenizer_file = tokenizer
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = None
        self._limits: threadpool_limits | None = None
        self._model: MiniLm | None = None

    async def __aenter__(self) -> Self:
        """Load the weights. Raises `Misconfigured` when they cannot be read."""
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedder")
        try:
            self._model = await self._run(self._pool, self._load)
        except BaseException:
            self._pool.shutdown(wait=False)
            raise
        self._limits = await self._run(self._pool, partial(threadpool_limits, 1, "blas"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let the running batch finish, and drop those that wait."""
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        if self._limits is not None:
            self._limits.restore_original_limits()
        self._pool = self._model = self._limits = None

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 a text, float32, shape `[len(texts), 384]`."""
        if self._pool is None or self._model is None:
            raise NotReady("The embedder is not loaded.", retry_after=1.0)
        if not texts:
            return np.zeros((0, DIMENSIONS), np.float32)
        return await self._run(self._pool, self._model.embed, list(texts))

    async def _run(self, pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def _load(self) -> "MiniLm":
        try:
            return MiniLm(load_file(self._weights_file), Tokenizer.from_file(str(self._tokenizer_file)))
        except (OSError, SafetensorError) as error:
            raise Misconfigured(
                f"The embedder's file {self._weights_file} cannot be read; run `chatacter models install {NAME}`."
            ) from error


class Linear:
    """A linear layer, `weight` of shape `[inputs, outputs]`, kept in blocks of such a shape, or as one."""

    def __init__(self, weight: Floats, bias: Floats, block: tuple[int, int] | None) -> None:
        inputs, outputs = weight.shape
        deep, wide = block or weight.shape
        cut = weight.reshape(inputs // deep, deep, outputs // wide, wide).transpose(0, 2, 1, 3)
        self._blocks = np.ascontiguousarray(cut)
        self._bias = bias
        # Rows at once: with more, a block is not small.
        self._rows = SMALL // (deep * wide) if block else None

    def __call__(self, values: Floats) -> Floats:
        """Apply it to the last axis."""
        rows = values.reshape(-1, values.shape[-1])
        step = self._rows or len(rows)
        parts = [self._product(rows[first : first + step]) for first in range(0, len(rows), step)]
        product = parts[0] if len(parts) == 1 else np.concatenate(parts)
        product += self._bias
        return product.reshape(*values.shape[:-1], -1)

    def _product(self, rows: Floats) -> Floats:
        depth, _, deep, _ = self._blocks.shape
        cut = rows.reshape(len(rows), depth, 1, deep).transpose(1, 2, 0, 3)
        products = cut @ self._blocks
        summed: Floats = products[0] if depth == 1 else products.sum(0)
        return summed.transpose(1, 0, 2).reshape(len(rows), -1)


@dataclass(frozen=True, slots=True)
class Norm:
    """A layer normalisation over the last axis."""

    weight: Floats
    bias: Floats

    def __call__(self, values: Floats) -> Floats:
        """Apply it; reuses no memory of `values`."""
        centred: Floats = values - values.mean(-1, keepdims=True)
        variance = np.einsum("...i,...i->...", centred, centred)[..., None] / np.float32(values.shape[-1])
        centred /= np.sqrt(variance + np.float32(EPSILON))
        centred *= self.weight
        centred += self.bias
        return centred


class Layer:
    """One layer of the encoder. Queries, keys and values are one product, the queries scaled beforehand."""

    def __init__(self, weights: Mapping[str, Floats], name: str, block: tuple[int, int] | None) -> None:
        def linear(*parts: str) -> tuple[Floats, Floats]:
            """Take linear layers out of the file, where they lie `[outputs, inputs]`, and join them."""
            joined = np.vstack([weights[f"{name}.{part}.weight"] for part in parts])
            return joined.T, np.hstack([weights[f"{name}.{part}.bias"] for part in parts])

        weight, bias = linear(*(f"attention.self.{part}" for part in ("query", "key", "value")))
        scale = np.ones_like(bias)
        scale[:DIMENSIONS] = 1 / math.sqrt(DIMENSIONS // HEADS)
        self._all = Linear(weight * scale, bias * scale, block)
        self._mix = Linear(*linear("attention.output.dense"), block)
        self._attended = norm(weights, f"{name}.attention.output.LayerNorm")
        self._widen = Linear(*linear("intermediate.dense"), block)
        self._narrow = Linear(*linear("output.dense"), block)
        self._out = norm(weights, f"{name}.output.LayerNorm")

    def __call__(self, hidden: Floats, bias: Floats | None) -> Floats:
        """Return the next layer's input. `bias` hides padding."""
        hidden = self._attended(self._mix(self._attention(hidden, bias)) + hidden)
        return self._out(self._narrow(gelu(self._widen(hidden))) + hidden)

    def _attention(self, hidden: Floats, bias: Floats | None) -> Floats:
        texts, tokens, width = hidden.shape
        queries, keys, values = self._all(hidden).reshape(texts, tokens, 3, HEADS, -1).transpose(2, 0, 3, 1, 4)
        logits = queries @ keys.swapaxes(-1, -2)
        if bias is not None:
            logits += bias
        logits -= logits.max(-1, keepdims=True)
        weights = np.exp(logits, out=logits)
        weights /= weights.sum(-1, keepdims=True)
        mixed: Floats = weights @ values
        return mixed.transpose(0, 2, 1, 3).reshape(texts, tokens, width)


def norm(weights: Mapping[str, Floats], name: str) -> Norm:
    """Take a normalisation out of the file."""
    return Norm(weights[f"{name}.weight"], weights[f"{name}.bias"])


class MiniLm:
    """The model itself; blocking, safe in several threads once it is made."""

    def __init__(self, weights: Mapping[str, Floats], tokenizer: Tokenizer) -> None:
        self._words = weights["embeddings.word_embeddings.weight"]
        # Every token is of the first type.
        self._places = (
            weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
        )
        self._norm = norm(weights, "embeddings.LayerNorm")
        block = BLOCK if multiplies_small_matrices() else None
        self._layers = [Layer(weights, f"encoder.layer.{number}", block) for number in range(LAYERS)]
        self._tokenizer = tokenizer
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.no_padding()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one vector of length 1 a text, in the order of the texts."""
        encoded = self._tokenizer.encode_batch(list(texts))
        result = np.empty((len(texts), DIMENSIONS), np.float32)
        for rows in batches([len(one.ids) for one in encoded]):
            result[rows] = self._forward([encoded[row] for row in rows])
        return result

    def _forward(self, encoded: Sequence[Encoding]) -> Floats:
        longest = max(len(one.ids) for one in encoded)
        ids = np.zeros((len(encoded), longest), np.int64)
        mask = np.zeros((len(encoded), longest), np.float32)
        for row, one in enumerate(encoded):
            ids[row, : len(one.ids)] = one.ids
            mask[row, : len(one.ids)] = 1.0
        bias = None if mask.all() else np.where(mask > 0, np.float32(0), MASKED)[:, None, None, :]
        hidden = self._norm(self._words[ids] + self._places[:longest])
        for layer in self._layers:
            hidden = layer(hidden, bias)
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return np.asarray(pooled / np.linalg.norm(pooled, axis=1, keepdims=True), np.float32)


def multiplies_small_matrices() -> bool:
    """Whether numpy's BLAS has kernels for small matrices on this processor."""
    return any(library.get("architecture") in SMALL_KERNELS for library in threadpool_info())


def gelu(values: Floats) -> Floats:
    """Apply x · Φ(x) with the exact erf, as BERT does; reuses no memory of `values`."""
    scaled = np.abs(values) * np.float32(math.sqrt(0.5))
    step = np.float32(1) / (np.float32(1) + ERF_P * scaled)
    polynomial = np.full_like(step, ERF_A[0])
    for coefficient in ERF_A[1:]:
        polynomial *= step
        polynomial += coefficient
    polynomial *= step
    np.multiply(scaled, -scaled, out=scaled)
    polynomial *= np.exp(scaled, out=scaled)
    erf = np.copysign(np.float32(1) - polynomial, values)
    erf += np.float32(1)
    erf *= values
    erf *= np.float32(0.5)
    return erf


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Group texts of like length, so that little is padded; yield indices, ≤ `BATCH_TOKENS` padded tokens a group."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    batch: list[int] = []
    for index in order:
        if batch and (len(batch) + 1) * lengths[index] > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
