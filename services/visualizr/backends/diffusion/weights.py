"""Where weights come from: a folder (a mounted `storageUri`), or a repository of the Hugging Face hub by its name."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from chatacter.chassis.errors import Misconfigured
from visualizr.settings import VisualizrSettings

T = TypeVar("T")

INDEX: Final = "model_index.json"


def loaded(what: str, setting: str, read: Callable[..., T], source: str, **options: Any) -> T:
    """Load one model. `read` is a `from_pretrained` of diffusers. Raises `Misconfigured` when there is none.

    A folder is read without asking the network for anything.
    """
    local = Path(source).is_dir()
    if not local and source.startswith((".", "/", "~")):
        raise Misconfigured(f"{setting}: there is no folder at this path. It is to hold {what}.")
    try:
        return read(source, local_files_only=local, **options)
    except (OSError, ValueError) as error:
        place = "the folder that it names" if local else "the repository that it names, or it cannot be reached"
        raise Misconfigured(
            f"{setting}: {what} could not be read from {place}. Mount the weights and name their folder."
        ) from error


def weights_of(settings: VisualizrSettings, what: str) -> str:
    """Return where the model's weights are. Raises `Misconfigured` when nobody says so and none are where they may be.

    The last folder looked into is the models' folder itself: KServe mounts what `storageUri` names there.
    """
    if settings.visualizr_weights:
        return settings.visualizr_weights
    home = settings.models_dir
    for folder in (home / settings.served_name, home / settings.visualizr_model, home):
        if (folder / INDEX).is_file():
            return str(folder)
    raise Misconfigured(
        f"VISUALIZR_WEIGHTS is not set, and {home} holds no {INDEX}: name the folder, or the hub's repository, of "
        f"{what}."
    )


def quiet() -> None:
    """Keep the libraries' progress bars and remarks out of the log."""
    for library in ("diffusers", "transformers"):
        told: Any = import_module(f"{library}.utils.logging")
        told.set_verbosity_error()
        told.disable_progress_bar()
