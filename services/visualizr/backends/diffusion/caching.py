"""Interval caching: most steps leave the deep part of the UNet out and take what it said at the last full step.

From one step to the next the deep features hardly change, and the shallow ones do. So on every `interval`-th step the
whole UNet runs and what its deep part hands up is kept; on the others only the first layers down and the last ones up
run. Source of the idea: Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free" (arXiv:2312.00858).

The UNet's own `forward` stays as it is. Each deep block is given a `forward` that answers, on a skipping step, at once
with something of the right shape: nobody looks at it, except at the last one before the shallow part, which answers
with what was kept. It works for any UNet of diffusers made of `down_blocks`, `mid_block` and `up_blocks`.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

SHALLOW_LAYERS: Final = 1
"""Layers of the last block up that run on every step."""

FEWEST_ROUNDS: Final = 4
"""With fewer full steps than this, neighbouring steps differ too much, and nothing is left out."""

Forward = Callable[..., Any]


class IntervalCache:
    """Caches one UNet. `interval` 1 leaves nothing out. Not for two films at once."""

    def __init__(self, unet: Any, interval: int, shallow: int = SHALLOW_LAYERS) -> None:
        self._unet = unet
        self._interval = interval
        self._shallow = shallow
        self._kept: dict[int, Any] = {}
        self._call = 0
        self._skipping = False
        self.now = 1
        """The interval of the film that is being made."""
        self.blocks_run = 0
        self.blocks_skipped = 0

    def attach(self) -> None:
        """Put the cache into the UNet."""
        deep = list(deep_blocks(self._unet, self._shallow))
        for number, block in enumerate(deep):
            block.forward = self._replaying(number, block.forward, last=number == len(deep) - 1)
        self._unet.register_forward_pre_hook(self._begin_call)

    def begin(self, steps: int) -> None:
        """Forget what was kept: a new film of so many steps begins."""
        self.forget()
        self.now = self._interval if steps >= FEWEST_ROUNDS * self._interval else 1
        self._call = self.blocks_run = self.blocks_skipped = 0

    def forget(self) -> None:
        """Let go of what was kept: the film is made, or came to nothing."""
        self._kept.clear()

    def _begin_call(self, *_: Any) -> None:
        self._skipping = self._call % self.now != 0
        self._call += 1

    def _replaying(self, number: int, forward: Forward, *, last: bool) -> Forward:
        def replay(*given: Any, **named: Any) -> Any:
            if self._skipping:
                self.blocks_skipped += 1
                return self._kept[number]
            self.blocks_run += 1
            answer = forward(*given, **named)
            self._kept[number] = answer if last else hollow(answer)
            return answer

        return replay


def deep_blocks(unet: Any, shallow: int) -> Iterator[Any]:
    """Yield what a skipping step leaves out, in the order of execution.

    The last `shallow` layers up take the outputs of the first convolution and of the first `shallow - 1` layers down.
    """
    first, *deeper = unet.down_blocks
    *earlier, last = unet.up_blocks
    for layer in range(shallow - 1, len(first.resnets)):
        yield from parts(first, layer)
    yield from first.downsamplers or ()
    yield from deeper
    if unet.mid_block is not None:
        yield unet.mid_block
    yield from earlier
    for layer in range(len(last.resnets) - shallow):
        yield from parts(last, layer)


def parts(block: Any, layer: int) -> Iterator[Any]:
    """Yield what one layer of a block consists of, in the order of execution."""
    yield block.resnets[layer]
    for kind in ("attentions", "motion_modules"):
        found = getattr(block, kind, None)
        if found is not None:
            yield found[layer]


def hollow(answer: Any) -> Any:
    """Return something of the same shapes that takes no memory."""
    if isinstance(answer, tuple | list):
        return type(answer)(hollow(part) for part in answer)
    return answer.new_zeros(()).expand(answer.shape) if hasattr(answer, "new_zeros") else answer
