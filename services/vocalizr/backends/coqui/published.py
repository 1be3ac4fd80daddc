"""The models that coqui-tts knows by name: under which licence each is, and how it comes here."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from chatacter.serving.licences import APACHE, MIT, Licence

EXAMPLE: Final = "tts_models/en/vctk/vits"
XTTS: Final = "tts_models/multilingual/multi-dataset/xtts_v2"
CPML: Final = Licence("CPML", "forbids commercial use", "https://coqui.ai/cpml")
NO_COMMERCE: Final = Licence(
    "CC-BY-NC-ND-4.0",
    "forbids commercial use and changed copies",
    "https://creativecommons.org/licenses/by-nc-nd/4.0/",
)
# As coqui-tts writes licences, in small letters.
LICENCES: Final[Mapping[str, Licence]] = {
    "apache 2.0": APACHE,
    "bsd-3-clause": Licence("BSD-3-Clause", url="https://opensource.org/license/bsd-3-clause"),
    "cc by-nc-nd 4.0": NO_COMMERCE,
    "cc-by-4.0": Licence("CC-BY-4.0", url="https://creativecommons.org/licenses/by/4.0/"),
    "cc-by-sa 4.0": Licence("CC-BY-SA-4.0", url="https://creativecommons.org/licenses/by-sa/4.0/"),
    "cpml": CPML,
    "mit": MIT,
    "mpl": Licence("MPL-2.0", url="https://www.mozilla.org/en-US/MPL/2.0/"),
    "openrail": Licence("OpenRAIL", "limits what may be done with the weights", "https://www.licenses.ai/"),
}


def listed() -> dict[str, Any]:
    """Read coqui-tts's own list: kind, language, dataset, model. Empty where it is not installed."""
    spec = find_spec("TTS")
    if spec is None or not spec.submodule_search_locations:
        return {}
    found: dict[str, Any] = json.loads((Path(spec.submodule_search_locations[0]) / ".models.json").read_text("utf-8"))
    return found


def entry(name: str) -> Mapping[str, Any] | None:
    """Return what the list says of a model, `tts_models/LANGUAGE/DATASET/MODEL`; None for an unknown one."""
    found: Any = listed()
    for part in name.split("/"):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, dict) and "license" in found else None


def licence_of(name: str) -> Licence | None:
    """Return the licence of a model by its name, written with / or, as a folder of coqui-tts is called, with --."""
    found = entry(name.replace("--", "/"))
    said = str(found["license"]) if found else ""
    return LICENCES.get(said.casefold()) or (Licence(said, "has terms of its own") if said else None)
