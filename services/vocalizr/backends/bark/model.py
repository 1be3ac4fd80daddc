"""Bark's four networks, one after the other: text to meaning, to coarse codes, to fine codes, to sound.

Imports PyTorch and transformers: only after the torchaudio mend.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoTokenizer, BarkModel
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.utils.logging import disable_progress_bar

from chatacter.chassis.errors import Misconfigured
from vocalizr.backends.bark import presets
from vocalizr.backends.bark.drawing import only_last
from vocalizr.backends.bark.voicing import Speaker
from vocalizr.backends.pytorch.device import hardware
from vocalizr.backends.pytorch.turns import Turns
from vocalizr.settings import VocalizrSettings

COARSE: Final = 2
WANTED: Final = ("*.json", "*.txt", "*.bin", "*.safetensors", "speaker_embeddings/**")


class Steps:
    """How each network generates, from the publisher's `generation_config.json`.

    Read here, because transformers 5.23 cannot: its class for the whole file lacks what its own check looks at.
    """

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.meaning: Any = BarkSemanticGenerationConfig(**told["semantic_config"])  # type: ignore[no-untyped-call]
        self.coarse: Any = BarkCoarseGenerationConfig(**told["coarse_acoustics_config"])
        self.fine: Any = BarkFineGenerationConfig(**told["fine_acoustics_config"])  # type: ignore[no-untyped-call]
        self.codebook_size = int(told.get("codebook_size", 1024))


class Bark:
    """The loaded networks and the speaker prompts."""

    def __init__(
        self, model: Any, tokenizer: Any, steps: Steps, prompts: Mapping[str, Mapping[str, Path]], turns: Turns
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.turns = turns
        self.steps = steps
        self.device = ""
        self._prompts = prompts

    @classmethod
    def load(cls, where: Path | str, settings: VocalizrSettings) -> "Bark":
        """Load from a folder, or from a hub by name. Raises `Misconfigured`."""
        disable_progress_bar()  # type: ignore[no-untyped-call]
        chosen = hardware(settings, half="float16")
        folder = where if isinstance(where, Path) else fetched(where)
        try:
            model: Any = BarkModel.from_pretrained(folder, dtype=chosen.dtype)
            tokenizer = AutoTokenizer.from_pretrained(folder)
            steps = Steps(json.loads((folder / "generation_config.json").read_text("utf-8")))
        except (OSError, ValueError, KeyError) as error:
            raise Misconfigured(
                f"{folder} holds no whole Bark: it needs config.json, generation_config.json, the weights, and the "
                "files of its tokenizer, as suno/bark and suno/bark-small have them."
            ) from error
        for network in (model.semantic, model.coarse_acoustics):
            network.lm_head.register_forward_pre_hook(only_last)
        turns = Turns(chosen.device, settings.vocalizr_seed)
        loaded = cls(model.to(chosen.device).eval(), tokenizer, steps, presets.listed(folder), turns)
        loaded.device = chosen.told
        return loaded

    @property
    def speakers(self) -> Sequence[str]:
        """The voices that have a prompt."""
        return sorted(self._prompts)

    def speaker(self, name: str | None) -> Speaker:
        """Begin a text in a voice; None for one that nobody has heard yet."""
        if name is None:
            return Speaker(None)
        arrays = presets.prompt(self._prompts[name])
        return Speaker({part: torch.from_numpy(codes).to(self.model.device) for part, codes in arrays.items()})


def fetched(name: str) -> Path:
    """Fetch the files of a model at the hub, unless they are there. Raises `Misconfigured`."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise Misconfigured(
            f"The weights {name} could not be downloaded. Without a way to the hub, put them into a folder and name it "
            "in VOCALIZR_WEIGHTS."
        ) from error
