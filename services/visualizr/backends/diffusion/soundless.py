"""transformers imports torchaudio where it finds it. One that was built for another PyTorch cannot be loaded, and with
it nothing of diffusers; films need nothing of it, so its native part is left out.
"""

import importlib
import sys
from types import ModuleType
from typing import Any, Final

NATIVE: Final = "torchaudio._extension"


def mend_torchaudio() -> None:
    """Make a torchaudio that cannot load its native part importable. Comes before anything of transformers."""
    try:
        importlib.import_module("torchaudio")
    except ModuleNotFoundError:
        return
    except OSError:
        stand_in: Any = ModuleType(NATIVE)
        stand_in._IS_TORCHAUDIO_EXT_AVAILABLE = stand_in._IS_ALIGN_AVAILABLE = False
        stand_in._load_lib = lambda _: False
        stand_in.fail_if_no_align = lambda function: function
        sys.modules[NATIVE] = stand_in
