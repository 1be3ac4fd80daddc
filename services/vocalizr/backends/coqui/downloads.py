"""Fetching a published model by coqui-tts's own manager. Imports coqui-tts: only after the torchaudio mend."""

from pathlib import Path
from typing import Any

import requests
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from TTS.utils.manage import ModelManager

from chatacter.chassis.errors import Misconfigured
from vocalizr.backends.coqui import published


class Downloads(ModelManager):  # type: ignore[misc]
    """Asks for no acceptance at a terminal: ACCEPT_MODEL_LICENSES has been read before."""

    @staticmethod
    def tos_agreed(model_item: Any, model_full_path: Path) -> bool:
        """Return that the terms are accepted."""
        return True


def fetched(name: str) -> tuple[Path, Path | None]:
    """Fetch a model and its vocoder, unless they are there, and return their folders. Its licence has been accepted.

    Raises `Misconfigured` for an unknown name, and where the network or the hub does not give it.
    """
    if published.entry(name) is None:
        raise Misconfigured(
            f"VOCALIZR_WEIGHTS: {name} is neither a folder nor a model that coqui-tts knows; `tts --list_models` lists "
            f"those, e.g. {published.EXAMPLE}."
        )
    manager = Downloads(progress_bar=False)
    try:
        model, _, item = manager.download_model(name)
        vocoder = item.get("default_vocoder")
        other = manager.download_model(vocoder)[0] if vocoder else None
    except (requests.RequestException, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise Misconfigured(
            f"The weights {name} could not be downloaded. Without a way to the hub, put them into a folder and name it "
            "in VOCALIZR_WEIGHTS."
        ) from error
    return folder_of(Path(model)), folder_of(Path(other)) if other else None


def folder_of(path: Path) -> Path:
    """Return the folder of a file, or the folder itself."""
    return path if path.is_dir() else path.parent
