"""How a model is made fast, and what is given up when memory is short. What is on is told in a film's metadata."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from chatacter.chassis.errors import Misconfigured
from chatacter.contracts.video import Metadata
from visualizr.settings import Attention, VisualizrSettings

Precision = Literal["float32", "float16", "bfloat16"]
Offload = Literal["off", "model"]

CHUNK: Final = 8
GIB: Final = 1 << 30
# Below this, a model of full size is held in main memory and its parts visit the GPU one after the other.
ROOMY: Final = 14 * GIB
NO_HALF: Final = (
    "VISUALIZR_PRECISION=float16 needs a GPU. Leave it at auto, or take bfloat16, which processors compute with too."
)
# Dimensions of the weights of a convolution over width and height.
IN_SPACE: Final = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """One way of running a model. `decode_chunk`: frames decoded at once, 0 for all."""

    device: str
    precision: Precision = "float32"
    attention: Attention = "auto"
    decode_chunk: int = 0
    vae_slicing: bool = False
    vae_tiling: bool = False
    offload: Offload = "off"
    cache_interval: int = 1
    compiled: bool = False
    channels_last: bool = False

    def told(self) -> Metadata:
        """Write it as metadata."""
        return {
            "device": self.device,
            "precision": self.precision,
            "attention": self.attention,
            "decode_chunk": self.decode_chunk,
            "vae_slicing": self.vae_slicing,
            "vae_tiling": self.vae_tiling,
            "offload": self.offload,
            "cache_interval": self.cache_interval,
            "compiled": self.compiled,
            "channels_last": self.channels_last,
        }

    def cheaper(self) -> "Plan":
        """Return a plan that needs less memory for the same film."""
        offload: Offload = "off" if self.device == "cpu" else "model"
        return replace(self, decode_chunk=1, vae_slicing=True, vae_tiling=True, offload=offload)


def planned(settings: VisualizrSettings, device: str, *, free_bytes: int | None) -> Plan:
    """Choose a plan. `none` runs diffusers as it comes. `safe` changes nothing that an eye sees. `max` adds what does
    change frames a little, the interval cache, and on a GPU what takes minutes to begin, compiling.

    A precision or an attention that is set holds whatever the acceleration. Raises `Misconfigured`.
    """
    on_gpu = device.startswith("cuda")
    acceleration, precision = settings.visualizr_acceleration, settings.visualizr_precision
    if precision == "auto":
        precision = "float16" if on_gpu and acceleration != "none" else "float32"
    elif precision == "float16" and not on_gpu:
        raise Misconfigured(NO_HALF)
    plain = Plan(device=device, precision=precision, attention=settings.visualizr_attention)
    if acceleration == "none":
        return plain
    short = on_gpu and free_bytes is not None and free_bytes < ROOMY
    plan = replace(
        plain, decode_chunk=CHUNK, vae_slicing=True, offload="model" if short else "off", channels_last=on_gpu
    )
    if acceleration == "safe":
        return plan
    return replace(plan, cache_interval=settings.visualizr_cache_interval, compiled=on_gpu and not short)


def attending(plan: Plan) -> AbstractContextManager[None]:
    """Within this block, attention is computed by the plan's kernel where it can be, elsewhere by plain mathematics."""
    if plan.attention == "auto":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: PLC0415 - only behind a loaded model

    wanted = {
        "math": SDPBackend.MATH,
        "flash": SDPBackend.FLASH_ATTENTION,
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
    }[plan.attention]
    kernels: AbstractContextManager[None] = sdpa_kernel([wanted, SDPBackend.MATH], set_priority=True)
    return kernels


def available(wanted: str) -> tuple[str, int | None]:
    """Return the device to use and, for a GPU, its free memory. `wanted`: `auto`, or a device of PyTorch's."""
    import torch  # noqa: PLC0415 - only where a model is loaded

    device = wanted if wanted != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return device, torch.cuda.mem_get_info(device)[0] if device.startswith("cuda") else None


def dtype_of(plan: Plan) -> Any:
    """Return PyTorch's name of a plan's precision."""
    import torch  # noqa: PLC0415

    return getattr(torch, plan.precision)


def settle(pipeline: Any, plan: Plan) -> None:
    """Put a loaded pipeline where the plan wants it. May be called again with another plan."""
    import torch  # noqa: PLC0415

    pipeline.remove_all_hooks()
    if plan.offload == "model":
        pipeline.to("cpu", silence_dtype_warnings=True)
        pipeline.enable_model_cpu_offload(device=plan.device)
    else:
        pipeline.to(plan.device)
    vae = pipeline.vae
    for on, off, wanted in (
        ("enable_slicing", "disable_slicing", plan.vae_slicing),
        ("enable_tiling", "disable_tiling", plan.vae_tiling),
    ):
        if supports(vae, on):
            getattr(vae, on if wanted else off)()
    if plan.channels_last:
        # Weights of layers over time have five dimensions, which this order does not know.
        for weight in vae.parameters():
            if weight.dim() == IN_SPACE:
                weight.data = weight.data.contiguous(memory_format=torch.channels_last)


def supports(vae: Any, method: str) -> bool:
    """Whether an autoencoder can be told so; the one with temporal layers cannot."""
    try:
        return callable(getattr(vae, method)) and hasattr(vae, "use_" + method.removeprefix("enable_"))
    except AttributeError:
        return False
