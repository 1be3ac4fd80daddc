"""The real architectures, small and with random weights, saved as their publishers save them."""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

VITS_SPEAKERS: Final = ("alice", "bob", "eve")
XTTS_SPEAKERS: Final = ("Ana Florence", "Viktor Menelaos")
XTTS_LANGUAGES: Final = ("en", "fr", "de", "es")
LETTERS: Final = "abcdefghijklmnopqrstuvwxyz.,!?'-0123456789"


def mended(decoder: int = 32) -> Any:
    """PyTorch, with what lets coqui-tts be imported. Late, because most tests need none of it.

    XTTS's configuration has no size for its vocoder, so that for this process it begins with so many channels.
    """
    from vocalizr.backends.pytorch.torchaudio_stand_in import mend_torchaudio

    mend_torchaudio()
    import torch
    from TTS.tts.models import xtts

    kind = xtts.HifiDecoder.func if isinstance(xtts.HifiDecoder, partial) else xtts.HifiDecoder
    xtts.HifiDecoder = partial(kind, upsample_initial_channel_decoder=decoder)
    return torch


def vits(folder: Path, architecture: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """A VITS of three speakers, 1.3 MB; each letter lasts about 35 ms. `architecture` changes its sizes."""
    torch = mended()
    from TTS.tts.configs.vits_config import VitsArgs, VitsConfig
    from TTS.tts.models.vits import Vits

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    speakers = folder / "speakers.json"
    speakers.write_text(json.dumps({name: number for number, name in enumerate(VITS_SPEAKERS)}))
    sizes: dict[str, Any] = {
        "hidden_channels": 16,
        "hidden_channels_ffn_text_encoder": 32,
        "num_heads_text_encoder": 2,
        "num_layers_text_encoder": 1,
        "num_layers_posterior_encoder": 2,
        "num_layers_flow": 1,
        "upsample_initial_channel_decoder": 32,
        "use_sdp": False,
        "use_speaker_embedding": True,
        "speaker_embedding_channels": 16,
        "init_discriminator": False,
        "speakers_file": str(speakers),
        "length_scale": 1.5,
    }
    args = VitsArgs(**{**sizes, **(architecture or {})})
    config = VitsConfig(model_args=args, use_phonemes=False, text_cleaner="basic_cleaners", languages=["en"])
    model = Vits(config)
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    audio = json.loads((folder / "config.json").read_text())["audio"] | {"do_trim_silence": False}
    changed(folder, {"audio": audio, **changes})
    return folder


def changed(folder: Path, changes: dict[str, Any]) -> None:
    """Say something else in the configuration."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def xtts(folder: Path, architecture: Mapping[str, Any] | None = None, stopping: float = 3.0, decoder: int = 32) -> Path:
    """An XTTS of two speakers and four languages; the less `stopping` is, the sooner sentences end of themselves."""
    torch = mended(decoder)
    from TTS.tts.configs.xtts_config import XttsArgs, XttsAudioConfig, XttsConfig
    from TTS.tts.layers.xtts.tokenizer import VoiceBpeTokenizer
    from TTS.tts.models.xtts import Xtts

    torch.manual_seed(0)
    folder.mkdir(parents=True)
    vocabulary(folder / "vocab.json")
    sizes: dict[str, Any] = {
        "gpt_layers": 2,
        "gpt_n_model_channels": 64,
        "gpt_n_heads": 2,
        "decoder_input_dim": 64,
        "gpt_max_audio_tokens": 45,
        "gpt_max_text_tokens": 120,
        "gpt_num_audio_tokens": 34,
        "gpt_start_audio_token": 32,
        "gpt_stop_audio_token": 33,
        "gpt_use_perceiver_resampler": True,
    }
    args = XttsArgs(**{**sizes, **(architecture or {})}, tokenizer_file=str(folder / "vocab.json"))
    config = XttsConfig(model_args=args, audio=XttsAudioConfig(), languages=list(XTTS_LANGUAGES))
    model = Xtts(config)
    model.tokenizer = VoiceBpeTokenizer(vocab_file=folder / "vocab.json")
    model.init_models()
    # Random weights would hardly look at the text and what was said, and end most sentences at once.
    for weights in model.gpt.gpt.h.parameters():
        weights.data *= 4
    model.gpt.mel_head.bias.data[args.gpt_stop_audio_token] -= stopping
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    config.save_json(str(folder / "config.json"))
    channels = args.gpt_n_model_channels
    latents = [(torch.randn(1, 32, channels), torch.randn(1, 512, 1)) for _ in XTTS_SPEAKERS]
    held = [{"gpt_cond_latent": latent, "speaker_embedding": speaker} for latent, speaker in latents]
    torch.save(dict(zip(XTTS_SPEAKERS, held, strict=True)), folder / "speakers_xtts.pth")
    return folder


def vocabulary(path: Path) -> None:
    """Letters for tokens."""
    from tokenizers import Tokenizer, models

    special = ["[STOP]", "[UNK]", "[SPACE]", "[START]", *(f"[{language}]" for language in XTTS_LANGUAGES)]
    tokens = {token: number for number, token in enumerate([*special, *LETTERS])}
    tokenizer = Tokenizer(models.BPE(tokens, [], unk_token="[UNK]"))
    tokenizer.add_special_tokens(special)
    tokenizer.save(str(path))


def bark(
    folder: Path,
    architecture: Mapping[str, Any] | None = None,
    codec: Mapping[str, Any] | None = None,
    longest: int = 40,
) -> Path:
    """A Bark of two speakers that says about a second a sentence, 10 MB; `longest` are a sentence's tokens of meaning.

    `architecture` changes the sizes of the first three networks, `codec` those of the last one.
    """
    torch = mended()
    from transformers import BarkConfig, BarkModel, BertTokenizer, EncodecConfig

    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_heads": 2, "num_layers": 1, "block_size": 1024, **(architecture or {})}
    encodec = EncodecConfig(
        sampling_rate=24000,
        target_bandwidths=[6.0],
        codebook_size=1024,
        upsampling_ratios=[8, 5, 4, 2],
        **{"num_filters": 4, "hidden_size": 16, "codebook_dim": 16, **(codec or {})},
    )
    config = BarkConfig(
        semantic_config={**size, "input_vocab_size": 129600, "output_vocab_size": 10048},
        coarse_acoustics_config={**size, "input_vocab_size": 12096, "output_vocab_size": 12096},
        fine_acoustics_config={
            **size,
            "input_vocab_size": 1056,
            "output_vocab_size": 1056,
            "n_codes_total": 8,
            "n_codes_given": 1,
        },
        codec_config=encodec.to_dict(),
    )
    model = BarkModel(config)
    for layer in model.codec_model.quantizer.layers:  # all codes would sound alike
        layer.codebook.embed.normal_()
    model.save_pretrained(folder)
    generation_of_bark(folder, longest)
    letters = "abcdefghijklmnopqrstuvwxyz"
    (folder / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)])
    )
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    speakers_of_bark(folder)
    return folder


def generation_of_bark(folder: Path, longest: int) -> None:
    """Say how Bark generates, as its publisher's file does; a sentence has at most so many tokens of meaning."""
    from transformers.models.bark.generation_configuration_bark import (
        BarkCoarseGenerationConfig,
        BarkFineGenerationConfig,
        BarkSemanticGenerationConfig,
    )

    semantic = BarkSemanticGenerationConfig(max_new_tokens=longest, do_sample=True)
    coarse = BarkCoarseGenerationConfig(do_sample=True)
    told = {
        "model_type": "bark",
        "codebook_size": 1024,
        "semantic_config": semantic.to_dict(),
        "coarse_acoustics_config": coarse.to_dict(),
        "fine_acoustics_config": BarkFineGenerationConfig().to_dict(),
    }
    (folder / "generation_config.json").write_text(json.dumps(told, default=str))


def speakers_of_bark(folder: Path) -> None:
    """Two speaker prompts: one as the publisher's list names it, one in an archive."""
    numbers = np.random.default_rng(0)
    parts = {
        "semantic_prompt": numbers.integers(0, 10_000, 60),
        "coarse_prompt": numbers.integers(0, 1024, (2, 90)),
        "fine_prompt": numbers.integers(0, 1024, (8, 90)),
    }
    (folder / "speaker_embeddings" / "v2").mkdir(parents=True)
    named = {part: f"speaker_embeddings/v2/de_speaker_3_{part}.npy" for part in parts}
    for part, codes in parts.items():
        np.save(folder / named[part], codes)
    listed = {"repo_or_path": "suno/bark", "v2/de_speaker_3": named}
    (folder / "speaker_embeddings_path.json").write_text(json.dumps(listed))
    np.savez(folder / "narrator.npz", **parts)


@pytest.fixture(scope="session")
def tiny_vits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny VITS."""
    return vits(tmp_path_factory.mktemp("weights") / "vits")


@pytest.fixture(scope="session")
def tiny_xtts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny XTTS."""
    return xtts(tmp_path_factory.mktemp("weights") / "xtts")


@pytest.fixture(scope="session")
def tiny_bark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny Bark."""
    return bark(tmp_path_factory.mktemp("weights") / "bark")
