"""Plugins by entry point. Only what is configured is imported, and it fails loudly."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal

from chatacter.chassis.errors import Misconfigured

Group = Literal["chatacter.speech", "chatacter.video", "chatacter.routes", "chatacter.commands"]

# The extra that brings what a module of ours imports, so that a missing package says its install line.
EXTRAS: Final = {
    "TTS": "coqui",
    "av": "kokoro",
    "c2pa": "c2pa",
    "cv2": "portrait",
    "diffusers": "diffusers",
    "faster_whisper": "listening",
    "gradio": "ui",
    "kserve": "serving",
    "onnxruntime": "kokoro",
    "qdrant_edge": "embedded",
    "resvg_py": "portrait",
    "torch": "coqui",
    "torchaudio": "coqui",
    "torchcodec": "coqui",
    "transformers": "bark",
    "xllamacpp": "embedded",
}


def installed(group: Group) -> dict[str, EntryPoint]:
    """List the plugins of a group by name, without importing any."""
    return {point.name: point for point in entry_points(group=group)}


def load(group: Group, name: str) -> Any:
    """Import one plugin. Raises `Misconfigured` if there is none of that name, or it needs a missing package."""
    points = installed(group)
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        raise Misconfigured(f"There is no {group} plugin called {name!r}. Installed: {known}.")
    return load_point(points[name])


def load_all(group: Group) -> Iterator[tuple[str, Any]]:
    """Import every plugin of a group, in the order of names."""
    for name, point in sorted(installed(group).items()):
        yield name, load_point(point)


def load_point(point: EntryPoint) -> Any:
    """Import what an entry point names. Raises `Misconfigured` with the install line of a missing package."""
    with needing(f"The plugin {point.name!r}"):
        return point.load()


@contextmanager
def needing(what: str, extra: str | None = None) -> Iterator[None]:
    """Import within this block; a missing package is told as `Misconfigured`, with the line that installs it.

    `extra` brings all that the block imports; without it the missing package says which extra that is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        wanted = extra or EXTRAS.get((error.name or "").partition(".")[0])
        hint = f"pip install 'chatacter[{wanted}]'" if wanted else f"pip install {error.name}"
        raise Misconfigured(f"{what} needs {error.name!r}: {hint}") from error
