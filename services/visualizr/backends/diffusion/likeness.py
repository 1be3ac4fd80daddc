"""IP-Adapter: what is seen resembles an image. It rides in the UNet's attention beside the text.

Source: Ye et al., "IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models"
(arXiv:2308.06721).
"""

from pathlib import Path, PurePosixPath
from typing import Any, Final

from chatacter.chassis.errors import Misconfigured

IP_ADAPTER: Final = "VISUALIZR_IP_ADAPTER"
ENCODER: Final = "image_encoder"
# owner/name, and at least the file.
LEAST_PARTS: Final = 3
HOW: Final = (
    f"{IP_ADAPTER}: name the file of an IP-Adapter for Stable Diffusion 1.5, e.g. /srv/ip/ip-adapter_sd15.safetensors "
    "or h94/IP-Adapter/models/ip-adapter_sd15.safetensors, with =0.8 behind it for a weight other than 1."
)
NO_ENCODER: Final = (
    f"{IP_ADAPTER}: there is no folder `{ENCODER}` beside this file. It is to hold the CLIP vision model that looks at "
    "images for it; that of h94/IP-Adapter lies in models/image_encoder."
)
NO_ADAPTER: Final = f"{IP_ADAPTER}: this file holds no IP-Adapter that fits the pipeline of VISUALIZR_WEIGHTS."


class Likeness:
    """An IP-Adapter that is loaded into a pipeline, and with it into all that share its UNet."""

    def __init__(self, written: str) -> None:
        source, equals, weight = written.rpartition("=")
        self._source = source if equals else written
        try:
            self._weight = float(weight) if equals else 1.0
        except ValueError as error:
            raise Misconfigured(HOW) from error

    def load(self, pipeline: Any) -> None:
        """Read the weights, and the network that looks at images. Raises `Misconfigured`."""
        place = PurePosixPath(self._source)
        file = Path(self._source)
        local = file.is_absolute() or self._source.startswith((".", "~")) or file.is_file()
        if local and not file.is_file():
            raise Misconfigured(f"{IP_ADAPTER}: there is no file at this path. {HOW.partition(': ')[2]}")
        if local and not (file.parent / ENCODER).is_dir():
            raise Misconfigured(NO_ENCODER)
        if not local and len(place.parts) < LEAST_PARTS:
            raise Misconfigured(HOW)
        root = str(file.parent) if local else "/".join(place.parts[:2])
        folder = "" if local else "/".join(place.parts[2:-1])
        try:
            pipeline.load_ip_adapter(
                root, subfolder=folder, weight_name=place.name, image_encoder_folder=ENCODER, local_files_only=local
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise Misconfigured(NO_ADAPTER) from error

    def of(self, pipeline: Any, image: Any | None) -> dict[str, Any]:
        """Return what a pipeline is given for an image of Pillow's; for None, what leaves the film to its text."""
        from PIL import Image  # noqa: PLC0415 - comes with diffusers

        pipeline.set_ip_adapter_scale(0.0 if image is None else self._weight)
        return {"ip_adapter_image": Image.new("RGB", (224, 224)) if image is None else image}
