"""How long recall takes with many turns of one person: the product's own path, with the packaged embedder and engine.

Embeds `--turns` invented turns, carries them into an engine of its own as the indexer does, and asks. Needs
`chatacter models install all-minilm-l6-v2`.
"""

import argparse
import asyncio
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from measuring import results
from measuring.profile import installed_models
from opentelemetry.trace import NoOpTracer

from chatacter.chassis.deadline import Deadline
from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.minilm_embedder import NAME, MiniLmEmbedder
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.usecases.indexing import Indexer
from chattr.usecases.knowing import Knowing
from chattr.usecases.remember import Remember

OWNER: Final = Owner("bench", "ann")
BATCH: Final = 32
WHO: Final = ("my sister", "the baker", "our neighbour", "a sailor", "my old teacher", "the night watchman", "I")
DID: Final = ("found", "painted", "lost", "repaired", "sold", "described", "dreamt of", "wrote about")
WHAT: Final = ("a brass telescope", "two grey cats", "the green ledger", "a cello", "an orchard", "a paper boat")
WHERE: Final = ("at the harbour", "in Leipzig", "behind the library", "on the bridge", "near the station")
WHEN: Final = ("last spring", "on a rainy Tuesday", "years ago", "before the wedding", "this morning")


def sentence(chance: random.Random) -> str:
    """Invent something that somebody could say."""
    parts = [chance.choice(words) for words in (WHO, DID, WHAT, WHERE, WHEN)]
    return f"{' '.join(parts)}, and number {chance.randrange(10_000)} came after it."


async def timed(times: int, work: Callable[[], Awaitable[object]]) -> list[float]:
    """Do something several times and return how long each took, sorted."""
    await work()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - began)
    return sorted(taken)


def row(name: str, taken: Sequence[float]) -> tuple[str, str, str]:
    """Write a line of the table."""
    return (name, f"{statistics.median(taken) * 1e3:.1f} ms", f"{taken[int(len(taken) * 0.95)] * 1e3:.1f} ms")


def held() -> int:
    """The most memory that this process held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


async def measured(turns: int, asks: int) -> list[str]:
    """Fill the memory and ask it."""
    chance, stem, outbox = random.Random(11), english_stemmer(), FakeOutbox(block_ms=10)
    folder, before = installed_models() / NAME, held()
    with tempfile.TemporaryDirectory(prefix="recall-") as place:
        async with (
            MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json") as embedder,
            EdgeMemory(Path(place)) as memory,
        ):
            conversations, knowing = FakeConversations(outbox), Knowing(FakeKnowledge(outbox))
            remember = Remember(
                memory=memory, embedder=embedder, outbox=outbox, knowing=knowing, stem=stem, tracer=NoOpTracer()
            )
            indexer = Indexer(
                memory=memory, conversations=conversations, knowing=knowing, embedder=embedder, outbox=outbox, stem=stem
            )
            one = await timed(asks, lambda: embedder.embed([sentence(chance)]))
            began, cpu = time.perf_counter(), time.process_time()
            for first in range(0, turns, BATCH):
                said = [
                    Message(f"m{n}", f"m{n - 1}" if n > first else None, "user", sentence(chance), float(n))
                    for n in range(first, min(turns, first + BATCH))
                ]
                await conversations.create(OWNER, Conversation(f"c{first}", "ada", float(first)))
                await conversations.append(OWNER, f"c{first}", said)
                await indexer.carry(await outbox.take(BATCH))
            wall, cpu = time.perf_counter() - began, time.process_time() - cpu
            whole = await timed(asks, lambda: remember.recall(OWNER, "ada", sentence(chance), (), Deadline.after(60.0)))
    rows = [
        row("embedding one text", one),
        row(f"recall among {turns:,} turns of one person, embedding included", whole),
    ]
    filled = f"{turns / wall:.0f} turns a second ({turns / cpu:.0f} a second of CPU time)"
    return [
        results.table(("what", "median", "95 of 100 within"), rows),
        f"Indexing, embedding included: {filled}. The process held {results.megabytes(held() - before)} more at most.",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=10_000, help="remembered turns")
    parser.add_argument("--asks", type=int, default=200, help="readings of each kind")
    given = parser.parse_args()
    if not installed_models().is_dir():
        sys.exit(f"Install the embedder first: chatacter models install {NAME}")
    load = results.busy()
    results.write("Recall from long-term memory", load, *asyncio.run(measured(given.turns, given.asks)))


if __name__ == "__main__":
    main()
