"""Finds the sentences with which the chart's templates refuse values."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scripts.manifests.helm import CHART

ACTION = re.compile(r"\{\{-?(.*?)-?\}\}", re.DOTALL)
COMMENT = re.compile(r"^\s*/\*")
TEXT = re.compile(r"\"(?:[^\"\\]|\\.)*\"|`[^`]*`")
# `fail` and `required` as functions, not as the field of a value nor as a word in a text.
REFUSAL = re.compile(r"(?<![.\w])(?:fail|required)\b")
VERB = re.compile(r"%[-+# 0]*\d*[a-z]")


class Guard(NamedTuple):
    """One refusal in a template."""

    template: str
    sentence: str

    def said_in(self, words: str) -> bool:
        """Whether Helm's words carry this sentence, whatever stood in for its blanks."""
        blanks = (re.escape(part) for part in VERB.split(self.sentence))
        return re.search(".*?".join(blanks), words, re.DOTALL) is not None


def guards(chart: Path = CHART) -> Iterator[Guard]:
    for path in sorted(chart.rglob("templates/**/*")):
        if path.suffix in {".tpl", ".yaml", ".txt"}:
            for action in ACTION.findall(path.read_text("utf-8")):
                yield from refusals(action, str(path.relative_to(chart)))


def refusals(action: str, template: str) -> Iterator[Guard]:
    """The refusals in one action; one whose sentence cannot be found is a mistake of ours."""
    if COMMENT.match(action):
        return
    texts = {match.start(): match[0] for match in TEXT.finditer(action)}
    bare = TEXT.sub(lambda match: " " * len(match[0]), action)
    for call in REFUSAL.finditer(bare):
        piped = bare[: call.start()].rstrip().endswith("|")
        candidates = [start for start in texts if (start < call.start()) == piped]
        if not candidates:
            raise ValueError(f"{template}: a refusal without a sentence of its own: {action.strip()}")
        said = texts[min(candidates)]
        yield Guard(template, json.loads(said) if said[0] == '"' else said[1:-1])
