"""The tiny XTTS for a process of its own: its vocoder's size, which no configuration has, is set before it loads."""

from typing import Any

from tests.tiny_speech import mended
from vocalizr.backends.coqui.backend import create_xtts
from vocalizr.settings import VocalizrSettings


def create(settings: VocalizrSettings) -> Any:
    """Make the backend that `VOCALIZR_MODEL=tiny-xtts` asks for."""
    mended()
    return create_xtts(settings)
