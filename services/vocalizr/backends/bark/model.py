"""Bark's four networks, one after the other: text to meaning, to coarse codes, to fine codes, to sound.

Imports PyTorch and transformers: only after the torchaudio mend.
"""

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from transformers import AutoTokenizer, BarkModel, StoppingCriteria, StoppingCriteriaList
from transformers.models.bark.generation_configuration_bark import (
    BarkCoarseGenerationConfig,
    BarkFineGenerationConfig,
    BarkSemanticGenerationConfig,
)
from transformers.utils.logging import disable_progress_bar

from chatacter.chassis.errors import Cancelled, Misconfigured
from vocalizr.backend import Samples
from vocalizr.backends.bark import presets
from vocalizr.backends.pytorch.device import hardware
from vocalizr.backends.pytorch.turns import Turns
from vocalizr.settings import VocalizrSettings

# Tokens of text that the first network reads.
TEXT: Final = 256
COARSE: Final = 2
WANTED: Final = ("*.json", "*.txt", "*.bin", "*.safetensors", "speaker_embeddings/**")


class UnlessCancelled(StoppingCriteria):
    """Ends a generation by raising `Cancelled`: half a sentence is of no use to the next network."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled

    def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:
        """Return that nothing is done yet."""
        if self._cancelled.is_set():
            raise Cancelled("The sound is not wanted any more.")
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


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
        turns = Turns(chosen.device, settings.vocalizr_seed)
        loaded = cls(model.to(chosen.device).eval(), tokenizer, steps, presets.listed(folder), turns)
        loaded.device = chosen.told
        return loaded

    @property
    def speakers(self) -> Sequence[str]:
        """The voices that have a prompt."""
        return sorted(self._prompts)

    def speaker(self, name: str | None, seed: int | None = None) -> "Speaker":
        """Begin a text in a voice; None for one that nobody has heard yet."""
        if name is None:
            return Speaker(self, None, seed)
        arrays = presets.prompt(self._prompts[name])
        return Speaker(
            self, {part: torch.from_numpy(codes).to(self.model.device) for part, codes in arrays.items()}, seed
        )


class Speaker:
    """One text in one voice. A voice without a prompt takes its first sentence for one, and so stays the same."""

    def __init__(self, bark: Bark, history: Mapping[str, Any] | None, seed: int | None = None) -> None:
        self._bark = bark
        self._history = history
        self._turn = bark.turns.utterance(seed)

    def say(self, sentence: str, cancelled: threading.Event) -> Samples:
        """Say a sentence. Raises `Cancelled` soon after `cancelled` is set."""
        with self._turn(), torch.inference_mode():
            meaning, codes = self._codes(sentence, cancelled)
            sound = self._bark.model.codec_decode(codes)
        if self._history is None:
            self._history = {"semantic_prompt": meaning[0], "coarse_prompt": codes[0, :COARSE], "fine_prompt": codes[0]}
        return np.asarray(sound.float().cpu().numpy(), dtype=np.float32).reshape(-1)

    def _codes(self, sentence: str, cancelled: threading.Event) -> tuple[Any, Any]:
        """Return the meaning, [1, tokens], and the fine codes, [1, 8, frames]."""
        bark, model, steps, history = self._bark, self._bark.model, self._bark.steps, self._history
        until = StoppingCriteriaList([UnlessCancelled(cancelled)])
        text = bark.tokenizer(
            sentence,
            return_tensors="pt",
            padding="max_length",
            max_length=TEXT,
            truncation=True,
            add_special_tokens=False,
            return_token_type_ids=False,
        ).to(model.device)
        meaning = model.semantic.generate(
            text["input_ids"],
            attention_mask=text["attention_mask"],
            history_prompt=history,
            semantic_generation_config=steps.meaning,
            stopping_criteria=until,
        )
        said = meaning[meaning != steps.meaning.semantic_pad_token][None]
        configs = {"semantic_generation_config": steps.meaning, "coarse_generation_config": steps.coarse}
        size = steps.codebook_size
        coarse = model.coarse_acoustics.generate(
            meaning, history_prompt=history, codebook_size=size, stopping_criteria=until, **configs
        )
        codes = model.fine_acoustics.generate(
            coarse, history_prompt=history, codebook_size=size, fine_generation_config=steps.fine, **configs
        )
        return said, codes


def fetched(name: str) -> Path:
    """Fetch the files of a model at the hub, unless they are there. Raises `Misconfigured`."""
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise Misconfigured(
            f"The weights {name} could not be downloaded. Without a way to the hub, put them into a folder and name it "
            "in VOCALIZR_WEIGHTS."
        ) from error
