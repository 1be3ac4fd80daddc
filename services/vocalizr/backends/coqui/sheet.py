"""What a Coqui model's own `config.json` says of it, read without PyTorch."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from chatacter.chassis.errors import Misconfigured

XTTS: Final = "xtts"
VITS: Final = "vits"
# Kinds that cannot be spoken with here, and what takes their place.
REFUSED: Final[Mapping[str, str]] = {
    "bark": "use VOCALIZR_MODEL=bark with the weights of suno/bark or suno/bark-small",
    "tortoise": "it needs a minute for a sentence; use XTTS",
}
# What writes a language's words in sounds and comes only with an extra of coqui-tts, by XTTS's name of the language.
SPELLERS: Final[Mapping[str, str]] = {"ja": "cutlet", "zh-cn": "pypinyin"}
# Models that are told how long their sounds are have this; the others speak as fast as they learned.
PACED: Final = frozenset(
    {"vits", "glow_tts", "forward_tts", "fast_pitch", "fast_speech", "fastspeech2", "speedy_speech"}
)
ANY_PACE: Final = (0.5, 2.0)
ONE_PACE: Final = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Sheet:
    """A model's kind, its samples a second, how slow and fast it speaks, and by BCP 47 tag its names for languages.

    `phonemizer` is what writes its text in phonemes, empty for its language's usual one; None where it reads letters.
    """

    kind: str
    rate: int
    speed: tuple[float, float]
    languages: Mapping[str, str]
    phonemizer: str | None

    @property
    def needs_espeak(self) -> bool:
        """Whether its text becomes phonemes by the program espeak."""
        return self.phonemizer in {"", "espeak"}

    @property
    def streams(self) -> bool:
        """Whether sound comes before a sentence is whole, and recordings can be spoken like."""
        return self.kind == XTTS

    def language(self, tag: str | None) -> str:
        """Return the model's name for a language; for None that of its first one."""
        return next(iter(self.languages.values())) if tag is None else self.languages[tag]


def read(folder: Path) -> Sheet:
    """Read a model's sheet. Raises `Misconfigured` for a file that is none, and for a kind that is refused."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        kind = str(config["model"]).casefold()
        audio = config["audio"]
        rate = int(audio.get("output_sample_rate") or audio["sample_rate"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Misconfigured(
            f"{folder / 'config.json'} is no configuration of a model that coqui-tts speaks."
        ) from error
    if kind in REFUSED:
        raise Misconfigured(f"{folder} holds a model of the kind {kind}: {REFUSED[kind]}.")
    speed = ANY_PACE if kind in PACED or kind == XTTS else ONE_PACE
    names = list(spellable(spoken(config), kind))
    return Sheet(kind, rate, speed, {bcp47(name): name for name in names}, phonemizer_of(config))


def phonemizer_of(config: Mapping[str, Any]) -> str | None:
    """Return what writes phonemes for a model; None where it reads letters."""
    return str(config.get("phonemizer") or "") if config.get("use_phonemes") else None


def spoken(config: Mapping[str, Any]) -> list[str]:
    """Return a model's languages as it calls them: its own list, else those of its data sets, else of its phonemes."""
    sets = config.get("datasets") or []
    of_sets = sorted({str(each["language"]) for each in sets if isinstance(each, dict) and each.get("language")})
    of_phonemes = [config["phoneme_language"]] if config.get("phoneme_language") else []
    return [str(name) for name in config.get("languages") or of_sets or of_phonemes or ["en"]]


def spellable(names: list[str], kind: str) -> Iterator[str]:
    """Yield the languages whose words can be spelled here."""
    for name in names:
        if kind != XTTS or name not in SPELLERS or find_spec(SPELLERS[name]):
            yield name


def bcp47(name: str) -> str:
    """Write a language as BCP 47 does: `zh-cn` is zh-CN. Source: RFC 5646, section 2.1.1."""
    first, *rest = name.replace("_", "-").split("-")
    return "-".join([first.lower(), *(part.upper() if len(part) == 2 else part.lower() for part in rest)])
