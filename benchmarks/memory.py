"""What recall is worth: of the turns that hold an answer, how many are among exactly 5, 10 and 20 that come back.

Reads dated talks in LoCoMo's shape, has the product remember them by its own path (Remember, Indexer, the packaged
embedder, Qdrant's engine) and asks; BM25, and mem0 where a Python with `mem0ai` is named, answer the same questions in
the same run. Ends with one JSON line. Needs `chatacter models install all-minilm-l6-v2`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from measuring import results
from measuring.beside_mem0 import Mem0, missing
from measuring.bm25 import Bm25, joined, with_neighbours
from measuring.product import Product
from measuring.profile import installed_models
from measuring.talks import Talk, Turn, read

from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.minilm_embedder import NAME, MiniLmEmbedder
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.identity import Owner
from chattr.domain.prompt import estimated_tokens

COUNTS: Final = (5, 10, 20)
BATCH: Final = 32
# Talks of our own making.
OURS_TOO: Final = Path(__file__).parent / "data" / "talks.json"
DAY: Final = 86_400.0
# Tokens that each way of recalling may fill with turns, at equal cost.
TOKENS: Final = 600
OURS: Final = "Chatacter"
BM25: Final = "BM25"
MEM0: Final = "mem0"


@dataclass(slots=True)
class Answers:
    """How one way of recalling answered: by question, its talk's number, the recall at each count, and the cost."""

    talks: list[int] = field(default_factory=list)
    recalls: list[tuple[float, ...]] = field(default_factory=list)
    at_equal_tokens: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, number: int, talk: Talk, evidence: frozenset[str], ranked: Sequence[str], seconds: float) -> None:
        """Take one answer: the turns in the order in which they would be returned."""
        cost = {turn.id: tokens_of(turn) for turn in talk.turns}
        self.talks.append(number)
        self.recalls.append(tuple(part(evidence, ranked[:count]) for count in COUNTS))
        self.at_equal_tokens.append(part(evidence, affordable(ranked, cost)))
        self.tokens.append(sum(cost[one] for one in ranked[: COUNTS[-1]]))
        self.seconds.append(seconds)

    def recall(self, wanted: Callable[[int], bool] = lambda number: True) -> list[float]:
        """The mean recall at each count over the questions of the talks that are wanted."""
        of = [recall for talk, recall in zip(self.talks, self.recalls, strict=True) if wanted(talk)]
        return [statistics.fmean(column) for column in zip(*of, strict=True)] if of else []

    def within(self, share: float) -> float:
        """The milliseconds within which that share of the questions was answered."""
        return sorted(self.seconds)[int(len(self.seconds) * share)] * 1e3


def part(evidence: frozenset[str], returned: Sequence[str]) -> float:
    """The part of the evidence that is returned."""
    return len(evidence & set(returned)) / len(evidence)


def tokens_of(turn: Turn) -> int:
    """What a turn costs in a prompt."""
    return estimated_tokens(f"{turn.speaker}: {turn.text}")


def affordable(ranked: Sequence[str], cost: dict[str, int]) -> list[str]:
    """The first turns that together cost at most `TOKENS`."""
    kept, left = [], TOKENS
    for one in ranked:
        left -= cost[one]
        if left < 0:
            break
        kept.append(one)
    return kept


async def measured(talks: Sequence[Talk], python: str | None) -> dict[str, Answers]:
    """Have everybody answer everything."""
    answers: dict[str, Answers] = {}
    folder = installed_models() / NAME
    with tempfile.TemporaryDirectory(prefix="memory-") as place:
        async with (
            MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json") as embedder,
            EdgeMemory(Path(place)) as memory,
        ):
            product = Product(memory, embedder)
            for number, talk in enumerate(talks):
                await ask_product(product, number, talk, answers.setdefault(OURS, Answers()))
                ask_bm25(number, talk, answers)
                print(f"{talk.name}: {len(talk.turns)} turns, {len(talk.questions)} questions", file=sys.stderr)
            if python is not None:
                with suppress(EOFError):  # the table then says that there is no answer of its
                    answers[MEM0] = await asked_mem0(python, talks, embedder)
    return answers


async def ask_product(product: Product, number: int, talk: Talk, answers: Answers) -> None:
    """Ask the product."""
    owner = Owner("bench", f"person-{number}")
    await product.learn(owner, talk)
    for question in talk.questions:
        began = time.perf_counter()
        ranked = await product.recall(owner, question.text, COUNTS[-1])
        answers.add(number, talk, question.evidence, ranked, time.perf_counter() - began)


def ask_bm25(number: int, talk: Talk, answers: dict[str, Answers]) -> None:
    """Ask BM25: over turns, with the turns next to each hit returned too, and over turns joined with those."""
    stem = english_stemmer()
    plain = Bm25([f"{turn.speaker}: {turn.text}" for turn in talk.turns], stem)
    windows = Bm25(joined(talk.turns), stem)
    ways: dict[str, Callable[[str], list[int]]] = {
        BM25: plain.ranked,
        "BM25, neighbours of each hit returned": lambda text: with_neighbours(talk.turns, plain.ranked(text)),
        "BM25 over windows of three turns": windows.ranked,
    }
    for name, way in ways.items():
        for question in talk.questions:
            began = time.perf_counter()
            ranked = [talk.turns[one].id for one in way(question.text)[: 4 * COUNTS[-1]]]
            taken = time.perf_counter() - began
            answers.setdefault(name, Answers()).add(number, talk, question.evidence, ranked, taken)


async def asked_mem0(python: str, talks: Sequence[Talk], embedder: MiniLmEmbedder) -> Answers:
    """Ask mem0, with our embedder. Raises `EOFError` where its process ends before it has answered."""
    answers = Answers()

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        vectors: list[list[float]] = (await embedder.embed(texts)).tolist()
        return vectors

    with Mem0(python) as mem0:
        for number, talk in enumerate(talks):
            heard = await mem0.rank(talk, embed, limit=COUNTS[-1])
            for question, ranked, taken in zip(talk.questions, heard.turns, heard.seconds, strict=True):
                answers.add(number, talk, question.evidence, ranked, taken)
            print(f"{talk.name}: asked mem0", file=sys.stderr)
    return answers


def report(talks: Sequence[Talk], answers: dict[str, Answers]) -> list[str]:
    """Write the tables."""
    every, rows = "all", []
    halves: dict[str, Callable[[int], bool]] = {
        every: lambda number: True,
        "1st, 3rd, 5th … talk (held out)": lambda number: number % 2 == 0,
        "2nd, 4th, 6th … talk (learnt on, where it is LoCoMo)": lambda number: number % 2 == 1,
    }
    for name, one in answers.items():
        for half, wanted in halves.items():
            if recalls := one.recall(wanted):
                rows.append((name, half, *(f"{recall:.3f}" for recall in recalls)))
    cost = [
        (
            name,
            f"{statistics.fmean(one.at_equal_tokens):.3f}",
            f"{statistics.fmean(one.tokens):.0f}",
            f"{one.within(0.5):.1f} ms",
            f"{one.within(0.95):.1f} ms",
        )
        for name, one in answers.items()
    ]
    questions = sum(len(talk.questions) for talk in talks)
    turns = sum(len(talk.turns) for talk in talks)
    size = f"{len(talks)} talks, {turns:,} turns, {questions:,} questions with evidence."
    return [
        f"{size} Evidence recall with exactly so many turns returned:",
        results.table(("way", "talks", *(f"{count} turns" for count in COUNTS)), rows),
        results.table(
            ("way", f"recall at {TOKENS} tokens", f"tokens of {COUNTS[-1]} turns", "median", "95 of 100 within"), cost
        ),
    ]


def summary(answers: dict[str, Answers]) -> str:
    """Write the last line."""

    def recalls(name: str) -> dict[str, float] | None:
        one = answers.get(name)
        return one and {str(count): round(recall, 4) for count, recall in zip(COUNTS, one.recall(), strict=True)}

    ours = answers[OURS]
    return json.dumps(
        {
            "turn_recall": recalls(OURS),
            "bm25": recalls(BM25),
            "mem0": recalls(MEM0),
            "p95_ms": round(ours.within(0.95), 1),
            "tokens": round(statistics.fmean(ours.tokens)),
        }
    )


def main() -> None:
    """Measure, write the page, and end with the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, nargs="?", default=OURS_TOO, help="talks in LoCoMo's shape, JSON")
    parser.add_argument("--mem0-python", metavar="PYTHON", help="a Python that has `mem0ai`; this one unless named")
    parser.add_argument("--note", help="what else to say about the run")
    parser.add_argument("--no-page", action="store_true", help="leave benchmarks/RESULTS.md as it is")
    given = parser.parse_args()
    if not installed_models().is_dir():
        sys.exit(f"Install the embedder first: chatacter models install {NAME}")
    load, talks = results.busy(), read(given.dataset)
    without = missing(given.mem0_python)
    answers = asyncio.run(measured(talks, None if without else given.mem0_python or sys.executable))
    if not without and MEM0 not in answers:
        without = "mem0 was not measured: its process ended before it had answered."
    parts = [*filter(None, (given.note, without)), *report(talks, answers)]
    if given.no_page:
        print("\n\n".join(parts))
    else:
        results.write("Evidence recall of long-term memory", load, *parts)
    print(summary(answers))


if __name__ == "__main__":
    main()
