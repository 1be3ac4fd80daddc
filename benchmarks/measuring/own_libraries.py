"""The models by their own libraries, one text at a time, untouched by us: what a batch is measured against.

Imports PyTorch, coqui-tts and transformers: only after the torchaudio mend.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer, BarkModel
from TTS.tts.configs.vits_config import VitsConfig
from TTS.tts.configs.xtts_config import XttsConfig
from TTS.tts.models.vits import Vits
from TTS.tts.models.xtts import Xtts

from measuring.speech_models import Setup, ends_sometimes
from vocalizr.backend import Utterance
from vocalizr.backends.bark.backend import BarkSpeech

Say = Callable[[Utterance], Iterator[np.ndarray]]


def loaded(setup: Setup, backend: Any) -> tuple[str, Say]:
    """Load a model; returns what says it, and by what. Bark's published settings are read as our backend reads them."""
    if isinstance(backend, BarkSpeech):
        return "transformers' `generate`", by_transformers(setup, backend)
    if setup.model == "xtts":
        return "coqui-tts' `inference_stream`", by_coquis_xtts(setup)
    return "coqui-tts' `inference`", by_coquis_vits(setup)


def by_coquis_vits(setup: Setup) -> Say:
    """By `Vits.inference`."""

    config = VitsConfig()
    config.load_json(str(setup.folder / "vits" / "config.json"))
    model = Vits.init_from_config(config)
    model.load_checkpoint(config, str(setup.folder / "vits" / "model.pth"), eval=True)
    model.to(setup.device)

    def say(utterance: Utterance) -> Iterator[np.ndarray]:
        tokens = torch.tensor([model.tokenizer.text_to_ids(utterance.text, language="en")], device=setup.device)
        voice = torch.tensor([model.speaker_manager.name_to_id[utterance.voice]], device=setup.device)
        told = {"x_lengths": torch.tensor([tokens.shape[1]], device=setup.device), "speaker_ids": voice}
        with torch.inference_mode():
            made = model.inference(tokens, {**told, "d_vectors": None, "language_ids": None, "durations": None})
        yield made["model_outputs"][0, 0].float().cpu().numpy()

    return say


def by_coquis_xtts(setup: Setup) -> Say:
    """By `Xtts.inference_stream`."""

    config = XttsConfig()
    config.load_json(str(setup.folder / "xtts" / "config.json"))
    model = Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=str(setup.folder / "xtts"), eval=True)
    model.to(setup.device)
    names = ("temperature", "length_penalty", "repetition_penalty", "top_k", "top_p")
    how = {name: model.config[name] for name in names}

    def say(utterance: Utterance) -> Iterator[np.ndarray]:
        voice = model.speaker_manager.name_to_id[utterance.voice]
        for chunk in model.inference_stream(
            utterance.text, "en", voice["gpt_cond_latent"], voice["speaker_embedding"], **how
        ):
            yield chunk.float().cpu().numpy().reshape(-1)

    return say


def by_transformers(setup: Setup, backend: BarkSpeech) -> Say:
    """By `generate` of each of Bark's networks: that of the whole cannot read the published settings (5.23)."""

    folder = setup.folder / "bark"
    networks: Any = BarkModel.from_pretrained(folder, dtype=getattr(torch, setup.dtype)).to(setup.device).eval()
    ends_sometimes(networks)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, _ = backend._ready()
    steps = model.steps
    configs = {"semantic_generation_config": steps.meaning, "coarse_generation_config": steps.coarse}
    reads = {"padding": "max_length", "max_length": 256, "truncation": True, "add_special_tokens": False}

    def say(utterance: Utterance) -> Iterator[np.ndarray]:
        history = model.speaker(utterance.voice).history
        text = tokenizer(utterance.text, return_tensors="pt", **reads).to(setup.device)
        with torch.inference_mode():
            meaning = networks.semantic.generate(
                text["input_ids"],
                attention_mask=text["attention_mask"],
                history_prompt=history,
                semantic_generation_config=steps.meaning,
            )
            coarse = networks.coarse_acoustics.generate(meaning, history_prompt=history, **configs)
            codes = networks.fine_acoustics.generate(
                coarse, history_prompt=history, fine_generation_config=steps.fine, **configs
            )
            yield networks.codec_decode(codes).float().cpu().numpy().reshape(-1)

    return say
