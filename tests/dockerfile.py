"""A Dockerfile, read: its stages, what each inherits, and what an image made of one is told.

Source: the Dockerfile reference. Of it only what inference/Dockerfile uses is known; anything else is refused.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = frozenset(
    "ARG COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER WORKDIR".split()  # noqa: SIM905
)
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
# What the official Python image sets.
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction: its flags taken apart, the rest as it is written, line breaks gone."""

    keyword: str
    flags: tuple[tuple[str, str], ...]
    value: str

    def flag(self, name: str) -> str | None:
        return dict(self.flags).get(name)

    def mounts(self) -> list[dict[str, str]]:
        """The `--mount` flags of a RUN, as key and value."""
        return [dict(part.split("=", 1) for part in value.split(",")) for name, value in self.flags if name == "mount"]


@dataclass(frozen=True, slots=True)
class Stage:
    name: str
    base: str
    instructions: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]


@dataclass(slots=True)
class Told:
    """What a container of a stage is told, its ancestors' words included."""

    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    user: str = ""
    folder: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    stop_signal: str = ""

    def expanded(self, text: str) -> str:
        """Fill in variables as the builder does; an unknown one is refused here, where a builder says nothing."""
        known = {**self.arguments, **self.environment}
        return VARIABLE.sub(lambda found: known[found[1] or found[2]], text)

    def hear(self, instruction: Instruction, given: dict[str, str]) -> None:
        value = instruction.value
        match instruction.keyword:
            case "ARG":
                name, _, default = value.partition("=")
                self.arguments[name] = given.get(name, self.expanded(default))
            case "ENV":
                self.environment.update(pairs(self.expanded(value)))
            case "LABEL":
                self.labels.update(pairs(self.expanded(value)))
            case "EXPOSE":
                self.ports.append(int(value))
            case "USER":
                self.user = value
            case "WORKDIR":
                self.folder = value
            case "STOPSIGNAL":
                self.stop_signal = value
            case "ENTRYPOINT":
                self.entrypoint = json.loads(value)
            case "HEALTHCHECK":
                self.healthcheck = json.loads(value.removeprefix("CMD "))


class Dockerfile:
    """One file with its stages; `arguments` are those that a build gives (`--build-arg`)."""

    def __init__(self, path: Path, **arguments: str) -> None:
        self.given = arguments
        self.path = path
        self.stages: dict[str, Stage] = {}
        before: list[Instruction] = []
        for instruction in instructions(path.read_text("utf-8")):
            if instruction.keyword == "FROM":
                base, _, name = instruction.value.partition(" AS ")
                self.stages[name] = Stage(name, base, ())
            elif not self.stages:
                before.append(instruction)
            else:
                *_, last = self.stages.values()
                self.stages[last.name] = Stage(last.name, last.base, (*last.instructions, instruction))
        outer = Told()
        for instruction in before:
            outer.hear(instruction, self.given)
        self.outer = outer

    def lineage(self, name: str) -> list[Stage]:
        """A stage and those that it is made from, the eldest first."""
        stage = self.stages[name]
        return [*(self.lineage(stage.base) if stage.base in self.stages else []), stage]

    def base(self, name: str) -> str:
        """The image from outside that a stage begins with."""
        return self.outer.expanded(self.lineage(name)[0].base)

    def needed(self, name: str) -> list[str]:
        """Every stage that must be built for one, in an order in which that can be done, itself the last."""
        found: list[str] = []
        for stage in self.lineage(name):
            for copy in stage.all("COPY"):
                source = copy.flag("from")
                found += [each for each in self.needed(source) if each not in found] if source else []
            found += [stage.name] if stage.name not in found else []
        return found

    def told(self, name: str) -> Told:
        """What a container of this stage is told."""
        told = Told()
        for stage in self.lineage(name):
            told.arguments = {}
            for instruction in stage.instructions:
                self.hear(told, instruction)
        return told

    def hear(self, told: Told, instruction: Instruction) -> None:
        """Take in one instruction; an ARG without a default has that of the one before the first stage."""
        told.hear(instruction, {**self.outer.arguments, **self.given})


def instructions(text: str) -> Iterator[Instruction]:
    """Read the instructions one by one."""
    lines = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if not line.strip():
            continue
        keyword, _, value = line.strip().partition(" ")
        if keyword not in KNOWN:
            raise ValueError(f"{keyword} is not known here")
        flags = []
        while found := FLAG.match(value):
            flags.append((found[1], found[2]))
            value = value[found.end() :]
        yield Instruction(keyword, tuple(flags), value.strip())


def pairs(text: str) -> dict[str, str]:
    """Read `key=value` with quotes as a shell would."""
    return dict(part.split("=", 1) for part in shlex.split(text))
