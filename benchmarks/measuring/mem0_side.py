"""mem0 in an interpreter of its own, since it is no dependency of ours: reads a talk as JSON lines, ranks, answers.

Started by `benchmarks/memory.py --mem0-python`. A line in is a request, a line out an answer; vectors come from the
asking side, so that both use one embedder.
"""

import json
import os
import sys
import tempfile
import time
from typing import Any, Final

LINES_OUT = sys.stdout
DIMENSIONS: Final = 384


def tell(line: dict[str, Any]) -> None:
    """Write a line."""
    LINES_OUT.write(json.dumps(line) + "\n")
    LINES_OUT.flush()


class Asking:
    """mem0's embedder, by its own protocol: asks the other side for vectors."""

    def __init__(self) -> None:
        self.config: Any = None

    def embed(self, text: str, memory_action: str | None = None) -> list[float]:
        """Return a text's vector."""
        return self.embed_batch([text], memory_action)[0]

    def embed_batch(self, texts: list[str], memory_action: str | None = "add") -> list[list[float]]:
        """Return the texts' vectors."""
        tell({"embed": texts})
        vectors: list[list[float]] = json.loads(sys.stdin.readline())
        return vectors


def opened(folder: str) -> Any:
    """Make mem0 with Qdrant in a folder, its own default, and no model to ask."""
    os.environ.update(MEM0_TELEMETRY="False", MEM0_DIR=folder, OPENAI_API_KEY="none", HF_HUB_OFFLINE="1")
    from mem0 import Memory  # noqa: PLC0415  # reads its settings where it is imported

    store = {"path": f"{folder}/qdrant", "embedding_model_dims": DIMENSIONS, "on_disk": False}
    kept = {"vector_store": {"provider": "qdrant", "config": store}, "history_db_path": f"{folder}/history.db"}
    memory = Memory.from_config(kept)
    memory.embedding_model = Asking()
    return memory


def ranked(memory: Any, question: str, limit: int) -> list[str]:
    """Search, and name the turns that were found."""
    found = memory.search(question, top_k=limit, filters={"user_id": "ann"}, threshold=0.0)
    return [one["metadata"]["dia_id"] for one in found["results"]]


def main() -> None:
    """Answer requests until there are no more."""
    sys.stdout = sys.stderr  # what mem0 prints is no answer
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryDirectory(prefix="mem0-", ignore_cleanup_errors=True) as folder:
            memory = opened(folder)
            for turn in asked["turns"]:
                said = [{"role": "user", "content": turn["text"]}]
                memory.add(said, user_id="ann", metadata={"dia_id": turn["id"]}, infer=False)
            answers, taken = [], []
            for question in asked["questions"]:
                began = time.perf_counter()
                answers.append(ranked(memory, question, asked["limit"]))
                taken.append(time.perf_counter() - began)
            memory.vector_store.client.close()
        tell({"ranked": answers, "seconds": taken})


if __name__ == "__main__":
    main()
