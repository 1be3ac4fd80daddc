"""Where a model's weights lie: a folder that was named, a name at a hub, or a folder where they are looked for."""

from pathlib import Path
from typing import Final

from chatacter.chassis.errors import Misconfigured
from vocalizr.settings import VocalizrSettings

CONFIG: Final = "config.json"


def folders(settings: VocalizrSettings) -> list[Path]:
    """Return the folders where weights are looked for, in order.

    The last one is the models' folder itself: KServe mounts what `storageUri` names at /mnt/models.
    """
    home = settings.models_dir
    return [home / settings.served_name, home / settings.vocalizr_model, home]


def place(settings: VocalizrSettings) -> Path | str | None:
    """Return the weights' folder, or their name at a hub; None where there are none."""
    named = settings.weights
    if named is None:
        return next((folder for folder in folders(settings) if (folder / CONFIG).is_file()), None)
    folder = Path(named).expanduser()
    return folder if folder.is_dir() or folder.is_absolute() else named


def no_weights(settings: VocalizrSettings, hub_name: str) -> Misconfigured:
    """Return the error for weights that are nowhere."""
    looked = ", ".join(str(folder) for folder in folders(settings))
    return Misconfigured(
        f"There are no weights for {settings.served_name}: none of the folders {looked} has a {CONFIG}. Set "
        f"VOCALIZR_WEIGHTS to the folder that has them, or to a name that may be downloaded, e.g. {hub_name}."
    )


def whole(folder: Path) -> Path:
    """Return a folder that has a model's configuration. Raises `Misconfigured`."""
    if not (folder / CONFIG).is_file():
        raise Misconfigured(f"VOCALIZR_WEIGHTS: the folder {folder} has no {CONFIG}, so it holds no model.")
    return folder
