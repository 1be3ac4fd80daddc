"""What an image brings to a container: environment, working folder, models; read from the Dockerfile."""

import re
from dataclasses import dataclass, field
from functools import cache

from tests.architecture.repository import ROOT

DOCKERFILE = ROOT / "inference" / "Dockerfile"
INSTRUCTION = re.compile(r"^(FROM|ENV|WORKDIR|RUN|COPY)\s+(.*)$", re.DOTALL)
VARIABLE = re.compile(r"([A-Z_]+)=(\S+)")
INSTALLED = re.compile(r"chatacter models install ([\w. -]+)")
# A step that does nothing for the image without CUDA, which is the one that pods run from here.
FOR_GPUS = '[ -z "${VARIANT}" ] ||'
# The last part of an image's name, as the chart spells it, is `chatacter-<target>`.
TARGET = re.compile(r"/chatacter-([a-z]+)(?:[:@]|$)")


@dataclass
class Image:
    """One stage, with what it has from the stages below."""

    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    models: set[str] = field(default_factory=set)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each on one line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = (INSTRUCTION.match(line) for line in joined.splitlines())
    return [(match[1], match[2]) for match in found if match]


@cache
def stages() -> dict[str, Image]:
    """Every stage by its name."""
    found: dict[str, Image] = {}
    current = Image()
    for verb, rest in instructions():
        if verb == "FROM":
            base, _, name = rest.partition(" AS ")
            below = found.get(base.strip(), Image())
            current = found[name.strip()] = Image(dict(below.environment), below.folder, set(below.models))
        elif verb == "ENV":
            current.environment |= dict(VARIABLE.findall(rest))
        elif verb == "WORKDIR":
            current.folder = rest.strip()
        elif verb == "RUN" and FOR_GPUS not in rest and (installed := INSTALLED.search(rest)):
            current.models |= set(installed[1].split())
        elif verb == "COPY" and (models := re.match(r"--from=(\S+) /opt/chatacter /opt/chatacter", rest)):
            current.models |= found[models[1]].models
    return found


def image_of(reference: str) -> Image | None:
    """The image of ours that a container names, `PATH` aside, which leads to this machine's Python."""
    target = TARGET.search(reference)
    if target is None:
        return None
    image = stages()[target[1]]
    return Image({k: v for k, v in image.environment.items() if k != "PATH"}, image.folder, set(image.models))
