"""The backend: voices, accents, and a text spoken clause by clause."""

import hashlib
import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from chatacter.chassis.errors import Cancelled, Misconfigured, Unsupported
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Voice
from chatacter.models.store import ModelStore
from chatacter.serving.licences import APACHE
from vocalizr.backend import (
    NO_CLONING,
    NOTHING_TO_SAY,
    NothingToSay,
    Recording,
    SpeechCapabilities,
    SpeechChunk,
    Utterance,
)
from vocalizr.backends.kokoro.english import English
from vocalizr.backends.kokoro.joins import joined
from vocalizr.backends.kokoro.model import MAX_SYMBOLS, SAMPLE_RATE, KokoroModel, Styles, styles_of
from vocalizr.backends.kokoro.unknown import UnknownWords
from vocalizr.clauses import FIRST, clauses, stretches
from vocalizr.settings import VocalizrSettings

KOKORO: Final = "kokoro-82m"
G2P: Final = "english-g2p"

# The first letter of a voice is its language. The voices of other languages are not listed: there is no phonemizer
# for them here that is free of the GPL.
LANGUAGES: Final[Mapping[str, str]] = {"a": "en-US", "b": "en-GB"}
BRITISH: Final = "en-GB"
LEXICONS: Final[Mapping[str, tuple[str, str]]] = {
    "en-US": ("us_silver.json", "us_gold.json"),
    "en-GB": ("gb_silver.json", "gb_gold.json"),
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `load` takes."""

    model: KokoroModel
    accents: Mapping[str, English]
    styles: Mapping[str, Styles]


class KokoroSpeech:
    """Kokoro-82M, int8, on the CPU."""

    capabilities = SpeechCapabilities(
        languages=frozenset(LANGUAGES.values()),
        sample_rate=SAMPLE_RATE,
        cloning=False,
        instructions=False,
        timings=True,
        speed=(0.5, 2.0),
        max_characters=MAX_INPUT_CHARACTERS,
        licence=APACHE,
        blending=True,
        device="cpu, int8",
    )

    def __init__(self, store: ModelStore, *, threads: int, name: str = "kokoro") -> None:
        self._store = store
        self._threads = threads
        self._name = name
        self._loaded: Loaded | None = None

    def load(self) -> None:
        """Load the network, the lexicons and the English voices: about two seconds, 500 MB."""
        model = KokoroModel.load(
            self._store.file(KOKORO, "model.onnx"), self._store.file(KOKORO, "vocab.json"), self._threads
        )
        unknown = UnknownWords.load(self._store.file(G2P, "checkpoint20.npz"))
        accents = {
            tag: English.load(
                [self._store.file(G2P, name) for name in names], unknown, model.symbols, british=tag == BRITISH
            )
            for tag, names in LEXICONS.items()
        }
        paths = sorted((self._store.directory(KOKORO) / "voices").glob("*.bin"))
        styles = {path.stem: styles_of(path) for path in paths if path.stem[0] in LANGUAGES}
        if not styles:
            raise Misconfigured(f"{KOKORO} has no English voice; run `chatacter models install {KOKORO}`.")
        self._loaded = Loaded(model, accents, styles)
        self.capabilities = replace(self.capabilities, learns=named(styles))

    def voices(self) -> Sequence[Voice]:
        """List the English voices."""
        return [
            Voice(id=name, name=name.partition("_")[2].capitalize(), model=self._name, language=LANGUAGES[name[0]])
            for name in self._ready().styles
        ]

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak clause by clause."""
        loaded = self._ready()
        styles = loaded.styles[utterance.voice] if utterance.likeness is None else styles_in(utterance.likeness)
        accent = loaded.accents[utterance.language or LANGUAGES[utterance.voice[0]]]
        pieces = pronounced(accent, utterance.text)
        following = next(pieces, None)
        if following is None:
            raise NothingToSay(NOTHING_TO_SAY, param="input")
        clock = 0.0
        while following is not None:
            if cancelled.is_set():
                return
            symbols, following = following, next(pieces, None)
            try:
                spoken = loaded.model.speak(symbols, styles, utterance.speed, cancelled)
            except Cancelled:
                return
            chunk = joined(spoken, symbols, clock, last=following is None)
            clock += chunk.samples.size / SAMPLE_RATE
            yield chunk

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Raise `Unsupported`: it has its own voices only."""
        raise Unsupported(NO_CLONING)

    def blended(self, shares: Mapping[str, float]) -> bytes:
        """Return the mean of voices' styles, each with its share: a new voice that speaks as clearly as they do."""
        styles = self._ready().styles
        mean = np.average([styles[name] for name in shares], axis=0, weights=list(shares.values()))
        kept = io.BytesIO()
        np.save(kept, mean.astype(np.float32), allow_pickle=False)
        return kept.getvalue()

    def close(self) -> None:
        """Free the model."""
        self._loaded = None

    def _ready(self) -> Loaded:
        if self._loaded is None:
            raise RuntimeError("load() comes first")
        return self._loaded


def named(styles: Mapping[str, Styles]) -> str:
    """Name a set of voices: what is blended of others is another voice."""
    told = hashlib.sha256()
    for name, style in styles.items():
        told.update(name.encode())
        told.update(style.tobytes())
    return told.hexdigest()[:16]


def styles_in(likeness: bytes) -> Styles:
    """Read what `blended` returned."""
    return np.asarray(np.load(io.BytesIO(likeness), allow_pickle=False), dtype=np.float32)


def pronounced(accent: English, text: str) -> Iterator[str]:
    """Yield the symbols of each clause, each short enough for the model; clauses without a sound are left out."""
    for number, stretch in enumerate(stretches(text)):
        for clause in clauses(accent.words(stretch), first=FIRST if number == 0 else 0):
            symbols = accent.phonemes(clause)
            if accent.sayable(symbols):
                yield from (symbols[begin : begin + MAX_SYMBOLS] for begin in range(0, len(symbols), MAX_SYMBOLS))


def create(settings: VocalizrSettings) -> KokoroSpeech:
    """Make the backend that `VOCALIZR_MODEL=kokoro` asks for."""
    store = ModelStore(settings.models_dir)
    return KokoroSpeech(store, threads=settings.vocalizr_threads, name=settings.served_name)
