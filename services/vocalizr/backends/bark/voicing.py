"""What Bark is asked to say: a sentence, and by whom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

RATE: Final = 24000


@dataclass(slots=True, eq=False)
class Speaker:
    """Who says a text: what he said before, as tensors on the device, by the names of a speaker prompt.

    None for one whom nobody has heard yet: his first sentence becomes his prompt, and so he stays the same.
    """

    history: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Portion:
    """A sentence, who says it, and its seed; None for another sound each time."""

    text: str
    speaker: Speaker
    seed: int | None
