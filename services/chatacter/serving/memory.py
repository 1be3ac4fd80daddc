"""When a device has no room for a request: told as such, what was taken is given back, and the server lives on."""

import gc
import logging
import os
import resource
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from chatacter.chassis.errors import OutOfMemory

logger = logging.getLogger(__name__)

T = TypeVar("T")

FULL: Final = "There was not enough memory for this request. A shorter or smaller one may fit; others are not affected."
# Allocators that have no exception of their own raise a plain RuntimeError; their words are then the only sign.
SIGNS: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
    "Failed to allocate memory for requested buffer",
    "std::bad_alloc",
    "Insufficient memory",
)


def within_memory(work: Callable[[], Iterator[T]], told: str = FULL) -> Generator[T]:
    """Yield what the work yields. Raises `OutOfMemory` in place of whatever an allocator raised, caches freed."""
    try:
        yield from work()
    except Exception as error:
        if not is_exhausted(error):
            raise
        logger.warning("out of memory", extra={"error.type": type(error).__name__})
    else:
        return
    # Only here, where the error and with it the frames that held the memory are gone.
    free()
    raise OutOfMemory(told)


def done_within_memory(work: Callable[[], None], told: str) -> None:
    """Do work that yields nothing, by the rules of `within_memory`."""

    def pieces() -> Iterator[None]:
        work()
        yield

    for _ in within_memory(pieces, told):
        pass


def tried(work: Callable[[], T]) -> T | Exception:
    """Return what work returns, or what it raised: `OutOfMemory`, with what it held given back, where that was it."""
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - whoever tries judges it
        if not is_exhausted(error):
            return error
        logger.warning("out of memory", extra={"error.type": type(error).__name__})
    # Only here, as above: before anything is tried again.
    free()
    return OutOfMemory(FULL)


def is_exhausted(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, says that memory could not be had."""
    while error is not None:
        if isinstance(error, MemoryError | OutOfMemory | torchs_own()):
            return True
        if isinstance(error, RuntimeError) or type(error).__module__.startswith(("onnxruntime", "cv2")):
            words = str(error)
            if any(sign in words for sign in SIGNS):
                return True
        error = error.__cause__
    return False


def torchs_own() -> type[BaseException]:
    """Return PyTorch's exception for it, without importing PyTorch where nobody did."""
    torch = sys.modules.get("torch")
    kind: type[BaseException] = getattr(torch, "OutOfMemoryError", MemoryError)
    return kind


def free() -> None:
    """Give back what is held for nobody: cycles of objects, and the caches of PyTorch's allocators."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


STATM: Final = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Footprint:
    """The bytes that this process holds: of the machine's memory, and of a device's that PyTorch computes on."""

    host: int
    device: int

    def since(self, before: "Footprint") -> int:
        """Return what came to it: of the device's memory where any did, else of the machine's."""
        return self.device - before.device if self.device > before.device else max(0, self.host - before.host)


def footprint() -> Footprint:
    """Measure. Where the system does not tell what is held now (all but Linux) it is the most that ever was."""
    if STATM.is_file():
        host = int(STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    else:
        host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Footprint(host, on_device())


def on_device() -> int:
    """Return what PyTorch has allocated on a GPU, without importing it where nobody did."""
    torch = sys.modules.get("torch")
    if torch is None:
        return 0
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return sum(torch.cuda.memory_allocated(number) for number in range(torch.cuda.device_count()))
    return int(torch.mps.current_allocated_memory()) if torch.backends.mps.is_available() else 0
