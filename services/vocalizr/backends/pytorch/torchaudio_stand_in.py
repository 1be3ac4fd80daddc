"""PyPI's torchaudio is built for CUDA; beside a PyTorch without CUDA its native part fails to load, and so does all
that imports it (coqui-tts, transformers). Its Python part needs none of it: a stand-in takes the native part's place.
"""

import sys
from types import ModuleType
from typing import Any, Final

import torch

NATIVE: Final = "torchaudio._extension"


def refused(*_: Any, **__: Any) -> Any:
    """Raise what torchaudio raises where it was built without its native part."""
    raise RuntimeError("This torchaudio runs without its native part, because PyTorch here is built without CUDA.")


def mend_torchaudio() -> None:
    """Make torchaudio importable beside a PyTorch without CUDA. Has to come before anything imports it."""
    if torch.version.cuda is not None or NATIVE in sys.modules or "torchaudio" in sys.modules:
        return
    stand_in: Any = ModuleType(NATIVE)
    stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = False
    stand_in._IS_ALIGN_AVAILABLE = False
    stand_in._load_lib = lambda _: False
    stand_in.fail_if_no_align = lambda _: refused
    sys.modules[NATIVE] = stand_in
