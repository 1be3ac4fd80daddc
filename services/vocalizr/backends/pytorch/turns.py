"""One piece of sound at a time from a model that keeps state, each utterance with random numbers of its own.

PyTorch draws from one generator for the whole process. An utterance with a seed therefore brings its generator's state
along, and leaves the generator as it found it: the same request sounds the same, whoever else speaks between its
pieces, and one without a seed sounds different each time, whatever was spoken before.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

States = tuple[Any, ...]

# PyTorch's generator is one a process, whichever model draws: pieces of all models take turns at it, also those without
# a seed, which would draw numbers of one with a seed.
GENERATOR: Final = threading.Lock()


class Turns:
    """The turns of one model at PyTorch's generator; `device` is where it computes.

    `seed` is that of every utterance; None: another sound each time.
    """

    def __init__(self, device: str, seed: int | None) -> None:
        self._device = device
        self._seed = seed

    def utterance(self, seed: int | None = None) -> Callable[[], Any]:
        """Begin an utterance, with a seed of its own or that of all; returns a context, entered for each piece."""
        chosen = self._seed if seed is None else seed
        kept: list[States] = []

        @contextmanager
        def turn() -> Iterator[None]:
            with GENERATOR:
                if chosen is None:
                    yield
                    return
                found = self._states()
                if kept:
                    self._restore(kept[0])
                else:
                    torch.manual_seed(chosen)
                try:
                    yield
                finally:
                    kept[:] = [self._states()]
                    self._restore(found)

        return turn

    def _restore(self, states: States) -> None:
        torch.set_rng_state(states[0])
        if self._device == "cuda":
            torch.cuda.set_rng_state(states[1])
        if self._device == "mps":
            torch.mps.set_rng_state(states[1])

    def _states(self) -> States:
        mine = torch.get_rng_state()
        if self._device == "cuda":
            return (mine, torch.cuda.get_rng_state())
        if self._device == "mps":
            return (mine, torch.mps.get_rng_state())
        return (mine,)
