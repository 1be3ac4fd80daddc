"""A model in memory. Imports PyTorch and coqui-tts: only after the torchaudio mend, and only when a model is loaded."""

from pathlib import Path

from vocalizr.backends.coqui.plain import PlainVoicing
from vocalizr.backends.coqui.sheet import Sheet
from vocalizr.backends.coqui.voicing import Voicing
from vocalizr.backends.coqui.xtts import XttsVoicing
from vocalizr.backends.pytorch.device import Hardware, hardware
from vocalizr.backends.pytorch.turns import Turns
from vocalizr.settings import VocalizrSettings


def loaded(
    folder: Path, vocoder: Path | None, sheet: Sheet, settings: VocalizrSettings
) -> tuple[Voicing, Turns, Hardware]:
    """Load a model where the settings want it, and say where that is. Raises `Misconfigured`."""
    chosen = hardware(settings)
    turns = Turns(chosen.device, settings.vocalizr_seed)
    if sheet.streams:
        return XttsVoicing.load(folder, chosen), turns, chosen
    return PlainVoicing.load(folder, vocoder, sheet, chosen), turns, chosen
