"""How well forgetting by search finds what a text is about, at each threshold of likeness.

Has the product remember the talks of `data/talks.json` by its own path and asks for what each question is about, as
`POST /api/v1/memories/forget:preview` does. Every other fact that the talks hold is for choosing the threshold; what it
is worth is told of the others. The labels name one turn a question, so that what is about the same in other turns
counts as wrong. Needs `chatacter models install all-minilm-l6-v2`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from measuring import results
from measuring.made_up_talks import FACTS, PLACE
from measuring.product import Product
from measuring.profile import installed_models
from measuring.talks import Asked, Talk, read

from chattr.adapters.edge_memory import EdgeMemory
from chattr.adapters.minilm_embedder import NAME, MiniLmEmbedder
from chattr.domain.identity import Owner
from chattr.usecases import remember

THRESHOLDS: Final = (0.20, 0.22, 0.24, 0.26, 0.28, 0.30, 0.35, 0.40)


def for_tuning(talk: Talk, question: Asked) -> bool:
    """Whether a question is one of those that the threshold is chosen by: those of every other fact."""
    texts = {turn.id: turn.text for turn in talk.turns}
    told = [number for number, fact in enumerate(FACTS) if fact[0] in {texts[one] for one in question.evidence}]
    return bool(told) and told[0] % 2 == 0


async def found(talks: Sequence[Talk]) -> list[tuple[float, bool, bool, int]]:
    """Return, of each question at each threshold: for tuning or not, whether its turn was found, and how many were."""
    rows = []
    remember.EMBED_SECONDS = 60.0  # type: ignore[misc]  # nobody waits here, whatever else the machine does
    folder = installed_models() / NAME
    with tempfile.TemporaryDirectory(prefix="forgetting-") as place:
        async with (
            MiniLmEmbedder(folder / "model.safetensors", folder / "tokenizer.json") as embedder,
            EdgeMemory(Path(place)) as memory,
        ):
            product = Product(memory, embedder)
            for number, talk in enumerate(talks):
                owner = Owner("bench", f"person-{number}")
                await product.learn(owner, talk)
                for threshold in THRESHOLDS:
                    remember.ABOUT_IT = threshold  # type: ignore[misc]
                    for question in talk.questions:
                        shown = await product.about(owner, question.text)
                        hit = bool(question.evidence & set(shown))
                        rows.append((threshold, for_tuning(talk, question), hit, len(shown)))
    return rows


def report(rows: Sequence[tuple[float, bool, bool, int]], chosen: float) -> list[str]:
    """Write the table."""
    lines = []
    for threshold in THRESHOLDS:
        mark = " (the product's)" if threshold == chosen else ""
        for tuning, half in ((True, "chosen by"), (False, "held out")):
            of = [(hit, shown) for at, for_it, hit, shown in rows if at == threshold and for_it == tuning]
            recall = statistics.fmean(hit for hit, _ in of)
            shown = statistics.fmean(shown for _, shown in of)
            precision = recall / shown if shown else 0.0
            worth = 5 * precision * recall / (4 * precision + recall) if recall else 0.0
            figures = (f"{recall:.3f}", f"{precision:.3f}", f"{worth:.3f}", f"{shown:.1f}")
            lines.append((f"{threshold:.2f}{mark}", half, *figures))
    head = ("likeness", "questions", "turn found", "of what is shown, labelled", "F2", "turns shown")
    return [results.table(head, lines)]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-page", action="store_true", help="leave benchmarks/RESULTS.md as it is")
    given = parser.parse_args()
    if not installed_models().is_dir():
        sys.exit(f"Install the embedder first: chatacter models install {NAME}")
    load, chosen = results.busy(), remember.ABOUT_IT
    parts = report(asyncio.run(found(read(PLACE))), chosen)
    if given.no_page:
        print("\n\n".join(parts))
    else:
        results.write("Forgetting by search", load, *parts)


if __name__ == "__main__":
    main()
