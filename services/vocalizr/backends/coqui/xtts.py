"""XTTS: sound in chunks while a sentence is still in the making, and a voice out of a few seconds of anybody.

Imports coqui-tts: only after the torchaudio mend.
"""

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch
import torch
import torchaudio.functional
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.models.xtts import Xtts, _legacy_safe_globals

from chatacter.chassis.errors import InvalidInput, Misconfigured
from chatacter.serving.batching import Joining, Left, Made, nobody
from vocalizr.backend import Recording, Samples, Utterance
from vocalizr.backends.coqui.chunks import Chunks, Strand
from vocalizr.backends.coqui.company import Company
from vocalizr.backends.coqui.gpt import Gpt, Row, Sampling
from vocalizr.backends.coqui.voicing import Portion
from vocalizr.backends.pytorch.chance import chance_of
from vocalizr.backends.pytorch.device import Hardware
from vocalizr.clauses import clauses

# Samples a second at which the model listens, and the least that it can make something of, in seconds.
HEARD: Final = 22050
LEAST: Final = 0.5
QUIET: Final = 1e-3
# Characters that the model says well at once: below the limits that it was trained with.
MOST: Final = 220
GPT: Final = "gpt_cond_latent"
SPEAKER: Final = "speaker_embedding"


class FromReadOnlyFolder(Xtts):  # type: ignore[misc]
    """XTTS whose checkpoint is read, and never written back: weights are mounted read-only."""

    def _load_checkpoint(self, model_path: Path) -> dict[str, Any]:
        with _legacy_safe_globals():
            content = torch.load(model_path, map_location="cpu", weights_only=True, mmap=True)
        weights: dict[str, Any] = content["model"]
        return weights


class XttsVoicing:
    """A loaded XTTS."""

    def __init__(self, model: Any, hardware: Hardware, learns: str = "") -> None:
        self.learns = learns
        self._model = model
        self._hardware = hardware
        names = ("temperature", "top_k", "top_p", "repetition_penalty")
        sampling = Sampling(**{name: model.config[name] for name in names})
        self._gpt = Gpt(model.gpt, sampling, hardware.dtype)
        self._chunks = Chunks(model.hifigan_decoder, self._numbers)
        known = model.speaker_manager.name_to_id if model.speaker_manager is not None else {}
        self._latents = {name: (held[GPT], held[SPEAKER]) for name, held in known.items()}

    @classmethod
    def load(cls, folder: Path, hardware: Hardware) -> "XttsVoicing":
        """Load from a folder. Raises `Misconfigured` when it is not whole."""
        config = XttsConfig()
        config.load_json(str(folder / "config.json"))
        model = FromReadOnlyFolder(config)
        try:
            model.load_checkpoint(config, checkpoint_dir=str(folder), eval=True)
        except (OSError, KeyError, RuntimeError) as error:
            raise Misconfigured(
                f"The weights of XTTS in {folder} cannot be read: it needs config.json, model.pth and vocab.json of "
                "one version, and speakers_xtts.pth for voices of its own."
            ) from error
        learns = listening_of(model)
        return cls(model.to(hardware.device), hardware, learns)

    @property
    def speakers(self) -> Sequence[str]:
        """The voices in `speakers_xtts.pth`."""
        return sorted(self._latents)

    def pieces(self, text: str, language: str) -> Iterator[str]:
        """Cut at sentences; a sentence that becomes too many tokens, as numbers do, is cut once more."""
        short = language.partition("-")[0]
        most = min(MOST, round(0.9 * self._model.tokenizer.char_limits.get(short, MOST)))
        for clause in clauses(text, first=0, most=most):
            yield from self._fitting(clause, short)

    def said(
        self,
        portions: Sequence[Portion],
        cancelled: Sequence[threading.Event],
        joining: Joining[Portion] = nobody,
    ) -> Iterator[Made[Samples] | Left]:
        """Say portions in chunks, together with those who join. What a call knows of them is its own."""
        return Company(self._gpt, self._chunks, self._begun).said(portions, cancelled, joining)

    @torch.inference_mode()
    def _begun(self, portion: Portion) -> tuple[Row, Strand]:
        """Begin a portion. Source: `Xtts.inference_stream`."""
        latents, speaker = self._voice(portion.utterance)
        text = portion.text.strip().lower()
        tokens = self._model.tokenizer.encode(text, lang=portion.language.partition("-")[0])
        strand = Strand(speaker.to(self._hardware.device).view(-1, 1), portion.utterance.speed)
        return Row(self._gpt.prefix(latents, tokens), chance_of(self._hardware.device, portion.seed)), strand

    def conditioned(self, recordings: Sequence[Recording]) -> bytes:
        """Return the latents of a speaker. Raises `InvalidInput` for recordings with too little sound."""
        heard = [resampled(recording) for recording in recordings]
        if not heard or sum(sound.shape[-1] for sound in heard) < LEAST * HEARD:
            raise InvalidInput(f"The recordings are too short: together they need at least {LEAST:g} seconds.")
        if max(float(sound.abs().max()) for sound in heard) < QUIET:
            raise InvalidInput("The recordings are silent.")
        config = self._model.config
        with torch.inference_mode():
            heard = [sound[:, : HEARD * config.max_ref_len].to(self._model.device) for sound in heard]
            speakers = [self._model.get_speaker_embedding(sound, HEARD) for sound in heard]
            # What is behind gpt_cond_len is not listened to: every recording has its share of it.
            share = HEARD * config.gpt_cond_len // len(heard)
            latents = self._model.get_gpt_cond_latents(
                torch.cat([sound[:, :share] for sound in heard], dim=-1),
                HEARD,
                length=config.gpt_cond_len,
                chunk_length=config.gpt_cond_chunk_len,
            )
            speaker = torch.stack(speakers).mean(dim=0)
        likeness: bytes = safetensors.torch.save({GPT: kept(latents), SPEAKER: kept(speaker)})
        return likeness

    def _voice(self, utterance: Utterance) -> tuple[Any, Any]:
        if utterance.likeness is None:
            return self._latents[utterance.voice]
        held = safetensors.torch.load(utterance.likeness)
        return held[GPT], held[SPEAKER]

    def _fitting(self, piece: str, language: str) -> Iterator[str]:
        if not any(letter.isalnum() for letter in piece):
            return
        tokens = len(self._model.tokenizer.encode(piece.strip().lower(), lang=language))
        if tokens < self._model.args.gpt_max_text_tokens - 2 or len(piece) < 2:
            yield piece
            return
        for part in clauses(piece, first=0, most=max(1, len(piece) // 2), least=1):
            yield from self._fitting(part, language)

    def _numbers(self) -> Any:
        if self._hardware.numbers == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self._hardware.device, dtype=self._hardware.dtype)


def listening_of(model: Any) -> str:
    """Name what speakers are learnt with: the networks that listen to them, and how long they do."""
    config = model.config
    told = hashlib.sha256(f"{config.gpt_cond_len}/{config.gpt_cond_chunk_len}/{config.max_ref_len}".encode())
    resampler = [model.gpt.conditioning_perceiver] if model.gpt.use_perceiver_resampler else []
    for network in (model.gpt.conditioning_encoder, *resampler, model.hifigan_decoder.speaker_encoder):
        for weights in network.state_dict().values():
            told.update(kept(weights).numpy().tobytes())
    return told.hexdigest()[:16]


def resampled(recording: Recording) -> Any:
    """Return a recording as the model hears it: a tensor [1, samples]."""
    samples = np.clip(recording.samples, -1.0, 1.0).astype(np.float32)
    return torchaudio.functional.resample(torch.from_numpy(samples)[None], recording.rate, HEARD)


def kept(tensor: Any) -> Any:
    """Return a tensor as it is stored: whole, in the processor's memory, in full precision."""
    return tensor.detach().float().cpu().contiguous().clone()
