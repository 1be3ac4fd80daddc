"""One piece of sound at a time from a model that keeps state, each utterance with random numbers of its own.

PyTorch draws from one generator for the whole process. An utterance with a seed therefore brings its generator's state
along: the same request sounds the same, whoever else speaks between its pieces.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

States = tuple[Any, ...]

# PyTorch's generator is one a process, whichever model draws: with a seed, pieces of all models take turns at it.
GENERATOR: Final = threading.Lock()


class Turns:
    """The turns at one model. `device` is PyTorch's, `seed` that of every utterance; None: another sound each time."""

    def __init__(self, device: str, seed: int | None) -> None:
        self._lock = threading.Lock()
        self._device = device
        self._seed = seed

    def utterance(self, seed: int | None = None) -> Callable[[], Any]:
        """Begin an utterance, with a seed of its own or that of all; returns a context, entered for each piece."""
        chosen = self._seed if seed is None else seed
        kept: list[States] = []

        @contextmanager
        def turn() -> Iterator[None]:
            with self._lock:
                if chosen is None:
                    yield
                    return
                with GENERATOR:
                    self._restore(kept, chosen)
                    try:
                        yield
                    finally:
                        kept[:] = [self._states()]

        return turn

    def _restore(self, kept: list[States], seed: int) -> None:
        if not kept:
            torch.manual_seed(seed)
            return
        torch.set_rng_state(kept[0][0])
        if self._device == "cuda":
            torch.cuda.set_rng_state(kept[0][1])
        if self._device == "mps":
            torch.mps.set_rng_state(kept[0][1])

    def _states(self) -> States:
        mine = torch.get_rng_state()
        if self._device == "cuda":
            return (mine, torch.cuda.get_rng_state())
        if self._device == "mps":
            return (mine, torch.mps.get_rng_state())
        return (mine,)
