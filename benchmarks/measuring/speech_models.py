"""The speech models that are measured: their weights, our backends, and what a batch wastes.

All but Kokoro have random weights; their sentences end of themselves, and are of mixed lengths as texts are. `full` are
the sizes of the weights that are published.
"""

import math
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

from measuring import results
from measuring.profile import installed_models

sys.path.insert(0, str(results.ROOT))

from chatacter.models.store import ModelStore
from tests import tiny_speech
from vocalizr.backend import Piece, SpeechBackend
from vocalizr.backends.bark.backend import BarkSpeech
from vocalizr.backends.coqui.backend import CoquiSpeech
from vocalizr.backends.kokoro.backend import KokoroSpeech
from vocalizr.settings import VocalizrSettings

VITS: Final = {
    "hidden_channels": 192,
    "hidden_channels_ffn_text_encoder": 768,
    "num_layers_text_encoder": 10,
    "num_layers_posterior_encoder": 16,
    "num_layers_flow": 4,
    "upsample_initial_channel_decoder": 512,
    "speaker_embedding_channels": 256,
}
CODES: Final = {"gpt_num_audio_tokens": 1026, "gpt_start_audio_token": 1024, "gpt_stop_audio_token": 1025}
GPT: Final = {"gpt_layers": 30, "gpt_n_model_channels": 1024, "gpt_n_heads": 16, "decoder_input_dim": 1024}
XTTS: Final = {"gpt_max_audio_tokens": 205, "gpt_max_text_tokens": 402, **GPT, **CODES}
BARK: Final = {"hidden_size": 1024, "num_heads": 16, "num_layers": 24}
ENCODEC: Final = {"num_filters": 32, "hidden_size": 128, "codebook_dim": 128}
# The most tokens of meaning in a sentence of Bark's, and the score of its end beside that of the likeliest token.
MEANING: Final = 160
ENDING: Final = -0.5


@dataclass(frozen=True)
class Setup:
    """A model to measure, and where its weights are."""

    model: str
    folder: Path
    full: bool
    device: str
    dtype: str
    threads: int

    @property
    def settings(self) -> VocalizrSettings:
        """As Vocalizr would be told."""
        return VocalizrSettings(
            vocalizr_model=self.model,
            vocalizr_weights=str(self.folder / self.model),
            vocalizr_threads=self.threads,
            vocalizr_device=self.device,
            vocalizr_dtype=self.dtype,
        )

    @property
    def decoder(self) -> int:
        """The widest layer of XTTS' vocoder, for which its configuration has no word."""
        return 512 if self.full else 32

    def written(self) -> None:
        """Write the weights."""
        folder = self.folder / self.model
        if self.model == "vits":
            tiny_speech.vits(folder, VITS if self.full else {})
        elif self.model == "xtts":
            sizes = XTTS if self.full else {"gpt_max_audio_tokens": 125}
            tiny_speech.xtts(folder, sizes, -1.0 if self.full else 0.5, self.decoder)
        elif self.model == "bark":
            tiny_speech.bark(folder, BARK if self.full else {}, ENCODEC if self.full else {}, MEANING)

    def opened(self) -> SpeechBackend:
        """Load our backend."""
        if self.model == "kokoro":
            backend: SpeechBackend = KokoroSpeech(ModelStore(installed_models()), threads=self.threads)
        else:
            tiny_speech.mended(self.decoder)
            backend = BarkSpeech(self.settings) if self.model == "bark" else CoquiSpeech(self.settings, "")
        backend.load()
        if isinstance(backend, BarkSpeech):
            ends_sometimes(backend._ready()[0].model)
        return backend


def ends_sometimes(networks: Any) -> None:
    """Have Bark's sentences end: of random weights the end is one token of ten thousand."""

    def likelier(_: Any, __: Any, scores: Any) -> Any:
        scores[..., 10_000] = scores.amax(dim=-1) + ENDING
        return scores

    networks.semantic.lm_head.register_forward_hook(likelier)


def wasted(backend: Any, pieces: Sequence[Piece]) -> tuple[float, str]:
    """Say pieces together; return which share of what part of the work was for nothing, and what part that is."""
    if isinstance(backend, BarkSpeech):
        return wasted_by_bark(backend, pieces)
    voicing = backend._ready()[0]
    if backend.capabilities.together.joining:
        return wasted_by_xtts(voicing, pieces)
    frames: list[int] = []
    decoder = voicing._model.waveform_decoder
    hook = decoder.register_forward_pre_hook(lambda _, given: frames.append(given[0].shape[-1]))
    made = voicing.said([piece.content for piece in pieces], [threading.Event() for _ in pieces])
    samples = sum(each.result.size for each in made)
    hook.remove()
    hop = math.prod(up.stride[0] for up in decoder.ups)
    return 1 - samples / hop / sum(frames), "of the decoder's frames"


def wasted_by_xtts(voicing: Any, pieces: Sequence[Piece]) -> tuple[float, str]:
    from vocalizr.backends.coqui import company  # noqa: PLC0415 - after the mend

    begun: list[Any] = []
    steps = company.Steps
    with mock.patch.object(company, "Steps", lambda model: begun.append(steps(model)) or begun[-1]):
        list(voicing.said([piece.content for piece in pieces], [threading.Event() for _ in pieces]))
    (all_of_it,) = begun
    return all_of_it.padded / all_of_it.worked, "of what attention looks at"


def wasted_by_bark(backend: BarkSpeech, pieces: Sequence[Piece]) -> tuple[float, str]:
    networks = backend._ready()[0].model
    seen = [0, 0]

    def counting(_: Any, __: Any, given: dict[str, Any]) -> None:
        asking, mask = given["inputs_embeds"], given["attention_mask"]
        there = given["past_key_values"].get_seq_length() + asking.shape[1]
        seen[0] += asking.shape[0] * asking.shape[1] * there
        seen[1] += 0 if mask is None else int((mask < 0).sum()) * asking.shape[1]

    hooks = [
        network.register_forward_pre_hook(counting, with_kwargs=True)
        for network in (networks.semantic, networks.coarse_acoustics)
    ]
    list(backend.speak_together(pieces, [threading.Event() for _ in pieces]))
    for hook in hooks:
        hook.remove()
    return seen[1] / seen[0], "of what attention looks at"
