"""Where a model computes and in which numbers: chosen once at load, and told."""

import gc
import logging
from dataclasses import dataclass
from typing import Any, Final, Literal

import torch

from chatacter.chassis.errors import Misconfigured
from vocalizr.settings import VocalizrSettings

logger = logging.getLogger(__name__)

Numbers = Literal["auto", "float32", "float16", "bfloat16"]

ORDER: Final = ("cuda", "mps", "cpu")
MISSING: Final = {
    "cuda": "this PyTorch sees no CUDA device. In a container, give it a GPU (`--gpus all`, `nvidia.com/gpu`) and use "
    "the image whose tag ends in -cuda",
    "mps": "this PyTorch sees no Apple GPU",
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """A device of PyTorch, its name as people know it, and the numbers that matrices are multiplied in."""

    device: str
    name: str
    numbers: str

    @property
    def told(self) -> str:
        """Say it to people."""
        return (
            f"{self.device}, {self.numbers}" if self.device == "cpu" else f"{self.device} ({self.name}), {self.numbers}"
        )

    @property
    def dtype(self) -> Any:
        """The numbers as PyTorch's dtype."""
        return getattr(torch, self.numbers)


def freed() -> None:
    """Give the memory of what nobody holds any more back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def hardware(settings: VocalizrSettings, half: Numbers = "float32") -> Hardware:
    """Choose as the settings say, and log it; `half` are the numbers that `auto` means on CUDA.

    Raises `Misconfigured` for a device that is not there, and for numbers that it cannot compute in.
    """
    device, numbers = settings.vocalizr_device, settings.vocalizr_dtype
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    chosen = next(kind for kind in ORDER if there[kind]) if device == "auto" else device
    if not there[chosen]:
        raise Misconfigured(f"VOCALIZR_DEVICE={device}, but {MISSING[chosen]}. `auto` takes what is there.")
    told = (half if chosen == "cuda" else "float32") if numbers == "auto" else numbers
    if chosen == "cpu" and told == "float16":
        raise Misconfigured("VOCALIZR_DTYPE=float16 is for GPUs: processors take float32, and newer ones bfloat16.")
    torch.set_num_threads(settings.vocalizr_threads)
    name = "CPU"
    if chosen == "cuda":
        name = torch.cuda.get_device_name()
        torch.set_float32_matmul_precision("high")
    facts = {"model": settings.served_name, "device": chosen, "device_name": name, "dtype": told}
    logger.info("device chosen", extra=facts)
    return Hardware(chosen, name, told)
