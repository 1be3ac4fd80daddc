"""How well a language model draws facts from talk: 100 labelled dialogues through the product's own learner.

Asks the model of `MODEL__URL`, `MODEL__NAME` and `MODEL__API_KEY` where they are set, else the embedded one, which
needs `chatacter models install qwen2.5-coder-0.5b-instruct`. A drawn fact counts as right where it holds what one of
its dialogue's labels names; all else that is drawn counts as wrong, also what is true and was not labelled.
"""

import argparse
import asyncio
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from measuring import results
from measuring.profile import installed_models
from pydantic import SecretStr

from chatacter.models.store import ModelStore
from chattr.adapters.fakes.characters import FakeCharacters
from chattr.adapters.fakes.conversations import FakeConversations
from chattr.adapters.fakes.knowledge import FakeKnowledge
from chattr.adapters.fakes.outbox import FakeOutbox
from chattr.adapters.local_llm import LocalLanguageModel
from chattr.adapters.openai_llm import OpenAILanguageModel
from chattr.adapters.snowball_stemmer import english_stemmer
from chattr.domain.character import Character
from chattr.domain.conversation import Conversation, Message
from chattr.domain.identity import Owner
from chattr.domain.knowledge import Fact, standing
from chattr.domain.memory import Changed
from chattr.ports.language import LanguageModel
from chattr.usecases.characters import Cast
from chattr.usecases.learning import Learner, Teacher

DIALOGUES: Final = Path(__file__).with_name("extraction_dialogues.jsonl")
EMBEDDED: Final = "qwen2.5-coder-0.5b-instruct"
ADA: Final = Character(id="ada", name="Ada", system_prompt="You are Ada, a friendly mathematician.")
ENDED: Final = re.compile(r"\b(no longer|not|never|any ?more|used to|formerly|previously|sold|quit|left|gave up)\b")


@dataclass
class Score:
    """What was drawn, against the labels."""

    drawn: int = 0
    right: int = 0
    labelled: int = 0
    found: int = 0
    changes: int = 0
    replaced: int = 0
    quiet: Counter[str] = field(default_factory=Counter)
    empty: Counter[str] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    def take(self, dialogue: dict[str, Any], facts: Sequence[Fact], seconds: float) -> None:
        """Judge one dialogue."""
        texts = [fact.text.lower() for fact in standing(facts)]
        labels = list(dialogue["expect"])
        self.took.append(seconds)
        self.drawn += len(texts)
        self.right += sum(any(holds(text, label) for label in labels) for text in texts)
        self.labelled += len(labels)
        self.found += sum(any(holds(text, label) for text in texts) for label in labels)
        if dialogue["kind"] == "change":
            old = [text for text in texts if any(holds(text, label) for label in dialogue["gone"])]
            self.changes += 1
            self.replaced += bool(texts) and not [text for text in old if not ENDED.search(text)]
        if not labels:
            self.empty[dialogue["kind"]] += 1
            self.quiet[dialogue["kind"]] += not texts

    def line(self) -> dict[str, Any]:
        """The numbers, for a machine."""
        return {
            "precision": round(self.right / max(1, self.drawn), 3),
            "recall": round(self.found / max(1, self.labelled), 3),
            "nothing_stored": {kind: f"{self.quiet[kind]}/{count}" for kind, count in self.empty.items()},
            "replaced": f"{self.replaced}/{self.changes}",
            "median_s": round(statistics.median(self.took), 2),
        }


def holds(text: str, label: Sequence[str]) -> bool:
    """Whether a fact holds every word of a label; `a|b` is either."""
    return all(any(word in text for word in words.split("|")) for words in label)


@asynccontextmanager
async def asked_model(place: Path) -> AsyncIterator[LanguageModel]:
    """Open the model that is measured."""
    url, name = os.environ.get("MODEL__URL"), os.environ.get("MODEL__NAME", "")
    if url:
        key = os.environ.get("MODEL__API_KEY")
        async with OpenAILanguageModel(name=name, url=url, api_key=SecretStr(key) if key else None) as provider:
            yield provider
        return
    store = ModelStore(installed_models())
    async with LocalLanguageModel(store=store, name=name or EMBEDDED, home=place, threads=2) as local:
        yield local


async def learned_from(dialogue: dict[str, Any], language: LanguageModel) -> list[Fact]:
    """Let a character learn from a dialogue, as it would from a conversation of somebody's."""
    owner, conversations, knowledge = Owner("bench", f"p{dialogue['id']}"), FakeConversations(), FakeKnowledge()
    lessons, stem = FakeOutbox(block_ms=1), english_stemmer()
    learner = Learner(
        cast=Cast({"ada": ADA}, {}, FakeCharacters(), default="ada"),
        conversations=conversations,
        knowledge=knowledge,
        lessons=lessons,
        outbox=FakeOutbox(),
        teacher=Teacher(language),
        stem=stem,
    )
    await conversations.create(owner, Conversation("c", "ada", 0.0))
    parent, count = None, 0
    for part in (dialogue["say"], dialogue.get("then", ())):
        for index, text in enumerate(part):
            count += 1
            role = "assistant" if index % 2 else "user"
            await conversations.append(owner, "c", [Message(f"m{count}", parent, role, text, float(count), "ada")])
            parent = f"m{count}"
        if part:
            await lessons.note(owner, [Changed("c")])
            await learner.carry(await lessons.take(1))
    return list((await knowledge.facts(owner)).all)


async def measured(dialogues: Sequence[dict[str, Any]], *, show: bool) -> tuple[str, Score]:
    """Ask about every dialogue."""
    score = Score()
    with tempfile.TemporaryDirectory(prefix="extraction-") as place:
        async with asked_model(Path(place)) as language:
            for dialogue in dialogues:
                began = time.perf_counter()
                facts = await learned_from(dialogue, language)
                score.take(dialogue, facts, time.perf_counter() - began)
                if show:
                    print(dialogue["id"], dialogue["kind"], [fact.text for fact in standing(facts)], flush=True)
            return language.name, score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--show", action="store_true", help="print what is drawn from each dialogue")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth dialogue; then nothing is written")
    given = parser.parse_args()
    if "MODEL__URL" not in os.environ and not (installed_models() / EMBEDDED).is_dir():
        sys.exit(f"Install the language model first: chatacter models install {EMBEDDED}, or set MODEL__URL")
    dialogues = [json.loads(line) for line in DIALOGUES.read_text("utf-8").splitlines()][:: given.every]
    load = results.busy()
    name, score = asyncio.run(measured(dialogues, show=given.show))
    line = score.line()
    quiet = ", ".join(f"{kind} {share}" for kind, share in line["nothing_stored"].items())
    rows = [
        ("precision", str(line["precision"])),
        ("recall", str(line["recall"])),
        ("nothing drawn where nothing is to be known", quiet),
        ("a changed fact took the other's place", str(line["replaced"])),
        ("a dialogue, median", f"{line['median_s']} s"),
    ]
    if given.every == 1:
        results.write(f"Facts drawn from talk by {name}", load, results.table(("what", name), rows))
    print(json.dumps(line))


if __name__ == "__main__":
    main()
