"""The backend: which weights, what they can do, and a text spoken piece by piece."""

import logging
import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from chatacter.chassis.errors import Misconfigured
from chatacter.chassis.plugins import needing
from chatacter.contracts.speech import MAX_INPUT_CHARACTERS, Voice
from chatacter.serving.batching import Joining, Left, Made, nobody
from chatacter.serving.licences import Licence
from vocalizr.backend import (
    NOTHING_TO_SAY,
    NothingToSay,
    Piece,
    Recording,
    SpeechCapabilities,
    SpeechChunk,
    Together,
    Utterance,
)
from vocalizr.backends.coqui import published, sheet
from vocalizr.backends.coqui.sheet import Sheet
from vocalizr.backends.coqui.voicing import Portion, Voicing
from vocalizr.backends.pytorch.edges import Edges
from vocalizr.backends.pytorch.weights import CONFIG, no_weights, place, whole
from vocalizr.settings import VocalizrSettings
from vocalizr.together import alone

if TYPE_CHECKING:
    from vocalizr.backends.pytorch.turns import Turns

# Before the weights are here, nothing is known of them but their licence.
UNKNOWN: Final = Sheet("unknown", 24000, sheet.ONE_PACE, {"en": "en"}, phonemizer=None)
# VITS says lines one after the other on one axis, XTTS a code of each at a time: what is beside one costs it nothing.
TOGETHER: Final = {
    sheet.VITS: Together(pieces=16, symbols=1600, padded=False),
    sheet.XTTS: Together(pieces=16, symbols=3600, padded=False, joining=True),
}
ESPEAK: Final = ("espeak-ng", "espeak")
NO_ESPEAK: Final = (
    "This model's text becomes phonemes by a program that is not here: install espeak-ng (`apt install espeak-ng`, "
    "`brew install espeak-ng`), or choose a model that needs none."
)


class CoquiSpeech:
    """Any text-to-speech model of coqui-tts; `hub_name` is told where no weights are found."""

    def __init__(self, settings: VocalizrSettings, hub_name: str) -> None:
        self._settings = settings
        self._hub_name = hub_name
        self._known: tuple[Sheet, SpeechCapabilities] | None = None
        self._loaded: tuple[Voicing, Turns] | None = None

    @property
    def capabilities(self) -> SpeechCapabilities:
        """What the model's own configuration says; next to nothing before its weights are on this machine."""
        return self._told()[1]

    def load(self) -> None:
        """Load the weights, fetching them first where they were named by their name at a hub."""
        where = place(self._settings)
        if where is None:
            raise no_weights(self._settings, self._hub_name)
        logging.getLogger("TTS").setLevel(logging.ERROR)  # what it warns of quotes the text
        with needing(f"VOCALIZR_MODEL={self._settings.vocalizr_model}", "coqui"):
            from vocalizr.backends.pytorch.torchaudio_stand_in import mend_torchaudio  # noqa: PLC0415 - with PyTorch

            mend_torchaudio()
            from vocalizr.backends.coqui import downloads, engine  # noqa: PLC0415 - with coqui-tts
        folder, vocoder = (whole(where), None) if isinstance(where, Path) else downloads.fetched(where)
        told = sheet.read(folder)
        if told.needs_espeak and not any(shutil.which(program) for program in ESPEAK):
            raise Misconfigured(NO_ESPEAK)
        voicing, turns, chosen = engine.loaded(folder, vocoder, told, self._settings)
        self._known = self._described(told, chosen.told, voicing.learns)
        self._loaded = (voicing, turns)

    def voices(self) -> Sequence[Voice]:
        """List the model's own speakers; none for a model that only speaks like recordings."""
        told, _ = self._told()
        language = next(iter(told.languages))
        return [
            Voice(id=name, name=name, model=self._settings.served_name, language=language)
            for name in self._ready()[0].speakers
        ]

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Speak piece by piece; XTTS in chunks that grow from 0.2 s to 1.3 s, while a sentence is in the making."""
        return alone(self, utterance, cancelled)

    def pieces(self, utterance: Utterance) -> Iterator[Piece]:
        """Cut a text for `speak_together`, as its pieces are wanted."""
        (told, _), (voicing, turns) = self._told(), self._ready()
        language = told.language(utterance.language)
        seed = self._settings.vocalizr_seed if utterance.seed is None else utterance.seed
        turn = turns.utterance(seed)
        number = -1
        for number, text in enumerate(voicing.pieces(utterance.text, language)):
            own = None if seed is None else seed + number
            yield Piece(number, len(text), Portion(text, utterance, language, own, turn))
        if number < 0:
            raise NothingToSay(NOTHING_TO_SAY, param="input")

    def speak_together(
        self, pieces: Sequence[Piece], cancelled: Sequence[threading.Event], joining: Joining[Piece] = nobody
    ) -> Iterator[Made[SpeechChunk] | Left]:
        """Speak pieces of several texts; what is cancelled by now is left out. XTTS takes others in meanwhile."""
        (told, _), (voicing, _) = self._told(), self._ready()
        numbers = count()
        edges: dict[int, Edges] = {}

        def opened(coming: Sequence[Piece]) -> list[Portion]:
            edges.update((next(numbers), Edges(piece.content.text, told.rate)) for piece in coming)
            return [piece.content for piece in coming]

        def joined() -> Sequence[tuple[Portion, threading.Event]]:
            coming = joining()
            return list(zip(opened([piece for piece, _ in coming]), [event for _, event in coming], strict=True))

        for made in voicing.said(opened(pieces), cancelled, joined):
            if isinstance(made, Left):
                del edges[made.number]
                yield made
                continue
            heard = edges[made.number].passed(made.result)
            if made.last:
                heard = np.concatenate([heard, edges.pop(made.number).ended()])
            yield Made(made.number, SpeechChunk(heard), made.last)

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return XTTS's latents of a speaker as safetensors."""
        voicing, _ = self._ready()
        return voicing.conditioned(recordings)

    def close(self) -> None:
        """Free the model, and what the device kept for it."""
        if self._loaded is None:
            return
        from vocalizr.backends.pytorch.device import freed  # noqa: PLC0415 - with PyTorch

        self._loaded = None
        freed()

    def _ready(self) -> tuple[Voicing, "Turns"]:
        if self._loaded is None:
            raise RuntimeError("load() comes first")
        return self._loaded

    def _told(self) -> tuple[Sheet, SpeechCapabilities]:
        """Return what is known of the model; read from its folder once."""
        if self._known is None:
            where = place(self._settings)
            folder = where if isinstance(where, Path) and (where / CONFIG).is_file() else None
            self._known = self._described(sheet.read(folder) if folder else self._guessed())
        return self._known

    def _guessed(self) -> Sheet:
        """Return next to nothing, and the kind where the name at the hub says it: places and batches depend on it."""
        named = self._hub_name if self._hub_name == published.XTTS else self._settings.weights or ""
        name = named.rpartition("/")[2].casefold()
        return next(
            (replace(UNKNOWN, kind=kind) for kind in (sheet.XTTS, sheet.VITS) if name.startswith(kind)), UNKNOWN
        )

    def _described(self, told: Sheet, device: str | None = None, learns: str = "") -> tuple[Sheet, SpeechCapabilities]:
        return told, SpeechCapabilities(
            languages=frozenset(told.languages),
            sample_rate=told.rate,
            cloning=told.streams,
            instructions=False,
            timings=False,
            speed=told.speed,
            max_characters=MAX_INPUT_CHARACTERS,
            licence=self._licence(told),
            together=TOGETHER.get(told.kind),
            seeds=True,
            device=device,
            learns=learns,
        )

    def _licence(self, told: Sheet) -> Licence | None:
        if told.kind == sheet.XTTS:
            return published.CPML
        where = place(self._settings)
        return None if where is None else published.licence_of(where.name if isinstance(where, Path) else where)


def create(settings: VocalizrSettings) -> CoquiSpeech:
    """Make the backend that `VOCALIZR_MODEL=coqui` asks for."""
    return CoquiSpeech(settings, published.EXAMPLE)


def create_xtts(settings: VocalizrSettings) -> CoquiSpeech:
    """Make the backend that `VOCALIZR_MODEL=xtts` asks for."""
    return CoquiSpeech(settings, published.XTTS)
