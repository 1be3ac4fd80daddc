"""Models that say a clause in one go: VITS and the others, some with a vocoder behind them.

Imports coqui-tts: only after the torchaudio mend.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from itertools import dropwhile
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from TTS.utils.synthesizer import PAD_SILENCE_SAMPLES, Synthesizer

from chatacter.chassis.errors import Misconfigured, Unsupported
from chatacter.serving.batching import Joining, Made, nobody
from vocalizr.backend import NO_CLONING, Recording, Samples
from vocalizr.backends.coqui.sheet import VITS, Sheet
from vocalizr.backends.coqui.vits import Line, VitsTogether
from vocalizr.backends.coqui.voicing import Portion
from vocalizr.backends.pytorch.device import Hardware
from vocalizr.clauses import clauses

CHECKPOINTS: Final = ("model_file.pth", "model.pth", "best_model.pth", "*.pth", "*.pth.tar")
# Beside the model there may lie its speakers, or what a speaker is recognised by.
NOT_THE_MODEL: Final = ("speaker", "dvae", "mel_stats")
ONLY: Final = "default"


class PlainVoicing:
    """A loaded model; several pieces in one go where it is a VITS."""

    learns = ""

    def __init__(self, synthesizer: Any, sheet: Sheet, hardware: Hardware) -> None:
        self._synthesizer = synthesizer
        self._model = synthesizer.tts_model
        self._sheet = sheet
        self._hardware = hardware
        self._pace = getattr(self._model, "length_scale", None)
        # One that raises its sampling rate between flow and decoder has a step that knows no ends of lines.
        one_rate = sheet.kind == VITS and not self._model.args.encoder_sample_rate
        self._together = VitsTogether(self._model) if one_rate else None
        # It has generators of its own, and so waits for no other model's turn at PyTorch's.
        self._one_call = threading.Lock()

    @classmethod
    def load(cls, folder: Path, vocoder: Path | None, sheet: Sheet, hardware: Hardware) -> "PlainVoicing":
        """Load from a folder. Raises `Misconfigured` when it is not whole, or a phonemizer is not installed."""
        of_vocoder = {}
        if vocoder is not None:
            of_vocoder = {"vocoder_checkpoint": checkpoint(vocoder), "vocoder_config": vocoder / "config.json"}
        try:
            synthesizer = Synthesizer(
                tts_checkpoint=checkpoint(folder),
                tts_config_path=folder / "config.json",
                use_cuda=hardware.device == "cuda",
                **{name: str(path) for name, path in of_vocoder.items()},
            )
        except ImportError as error:
            raise Misconfigured(f"The text of this model becomes phonemes by {sheet.phonemizer}: {error}") from error
        if hardware.device != "cuda":
            synthesizer.to(hardware.device)
        return cls(synthesizer.eval(), sheet, hardware)

    @property
    def speakers(self) -> Sequence[str]:
        """The model's speakers by name, `default` where it has one that has none."""
        manager = self._model.speaker_manager
        return sorted(manager.speaker_names) if manager is not None and manager.speaker_names else [ONLY]

    def pieces(self, text: str, language: str) -> Iterator[str]:
        """Cut at clauses, the first one short; it begins with the first one that has phonemes."""
        pieces = (piece for piece in clauses(text) if any(letter.isalnum() for letter in piece))
        return dropwhile(lambda piece: not self._sayable(piece, language), pieces)

    def said(
        self,
        portions: Sequence[Portion],
        cancelled: Sequence[threading.Event],
        joining: Joining[Portion] = nobody,
    ) -> Iterator[Made[Samples]]:
        """Say portions in one go where it is a VITS that gains by it, else one after the other; nobody joins."""
        wanted = [number for number, event in enumerate(cancelled) if not event.is_set()]
        if self._together is None:
            for number in wanted:
                if not cancelled[number].is_set():
                    yield Made(number, self._alone(portions[number]))
            return
        for group in [wanted] if self._together.gains else [[number] for number in wanted]:
            still = [number for number in group if not cancelled[number].is_set()]
            sounds = self._at_once(self._together, [portions[number] for number in still]) if still else []
            yield from (Made(number, sound) for number, sound in zip(still, sounds, strict=True))

    def _alone(self, portion: Portion) -> Samples:
        """Say a portion; no sample where the model has no sound for it."""
        if not self._sayable(portion.text, portion.language):
            return np.zeros(0, dtype=np.float32)
        names = {
            "speaker_name": portion.utterance.voice if self._several else None,
            "language_name": portion.language if len(self._sheet.languages) > 1 else None,
        }
        with portion.turn(), torch.inference_mode(), self._numbers():
            if self._pace is not None:
                self._model.length_scale = self._pace / portion.utterance.speed
            sound = self._synthesizer.tts(portion.text, **names, split_sentences=False)
        return np.asarray(sound[:-PAD_SILENCE_SAMPLES], dtype=np.float32)

    def _at_once(self, together: VitsTogether, portions: Sequence[Portion]) -> list[Samples]:
        with self._one_call, torch.inference_mode(), self._numbers():
            lines = [self._line(portion) for portion in portions]
            sayable = [line for line in lines if line.tokens]
            heard = iter(together.said(sayable) if sayable else [])
        sounds = [next(heard) if line.tokens else np.zeros(0, dtype=np.float32) for line in lines]
        if self._synthesizer.tts_config.audio.get("do_trim_silence"):
            return [sound[: self._model.ap.find_endpoint(sound)] for sound in sounds]
        return sounds

    def _line(self, portion: Portion) -> Line:
        model, utterance = self._model, portion.utterance
        name = portion.language if len(self._sheet.languages) > 1 else None
        speaker, vector = model._get_speaker_id_or_dvector(utterance.voice if self._several else None)
        voice = model._get_speaker_conditioning(
            {"speaker_ids": speaker, "d_vectors": vector}, "emb_g", normalize_embedding=False
        )
        return Line(
            tokens=model.tokenizer.text_to_ids(portion.text, language=portion.language),
            pace=utterance.speed,
            seed=portion.seed,
            voice=None if voice is None else voice[0],
            language=model._get_language_id(name),
        )

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Raise `Unsupported`: these have their own speakers only."""
        raise Unsupported(NO_CLONING)

    @property
    def _several(self) -> bool:
        return self.speakers != [ONLY]

    def _sayable(self, piece: str, language: str) -> bool:
        return bool(len(self._model.tokenizer.text_to_ids(piece, language=language)))

    def _numbers(self) -> Any:
        if self._hardware.numbers == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self._hardware.device, dtype=self._hardware.dtype)


def checkpoint(folder: Path) -> Path:
    """Return the file of the weights. Raises `Misconfigured` when there is none."""
    for pattern in CHECKPOINTS:
        for path in sorted(folder.glob(pattern)):
            if not any(word in path.name for word in NOT_THE_MODEL):
                return path
    raise Misconfigured(f"{folder} has a config.json and no weights beside it: a file model.pth is missing.")
