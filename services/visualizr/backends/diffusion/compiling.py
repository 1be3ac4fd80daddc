"""Compiling a UNet's transformer blocks with `torch.compile`: they are alike, and take most of the time."""

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from visualizr.backends.diffusion.plan import Plan

logger = logging.getLogger(__name__)

BLOCKS: Final = frozenset({"BasicTransformerBlock", "TemporalBasicTransformerBlock"})
# All blocks of a kind share one function, and each width, way of attending and layout of memory is a version of it. At
# PyTorch's limit of 8 the rest of a UNet's blocks run as they are; tiny UNets of three widths went beyond it.
MOST_VERSIONS: Final = 64


def compiles(device: str) -> bool:
    """Whether PyTorch can compile for a device: that takes a C compiler and a folder to write to. Takes seconds."""
    import torch  # noqa: PLC0415 - only behind a loaded model

    try:
        torch.compile(lambda numbers: numbers.sin() + 1)(torch.ones(8, device=device))
    except (RuntimeError, OSError) as error:
        logger.warning(
            "nothing is compiled: PyTorch finds no compiler that works", extra={"error.type": type(error).__name__}
        )
        return False
    return True


def compile_blocks(unet: Any) -> None:
    """Compile the blocks of a UNet; the first film waits for it, and so does the first of another size."""
    for module in unet.modules():
        if type(module).__name__ in BLOCKS:
            module.compile()


def all_compiled(plan: Plan) -> AbstractContextManager[None]:
    """Within this block every version of a compiled block is compiled; PyTorch keeps its limit for each thread."""
    if not plan.compiled:
        return nullcontext()
    from torch._dynamo import config  # noqa: PLC0415

    limited: AbstractContextManager[None] = config.patch(recompile_limit=MOST_VERSIONS)
    return limited
