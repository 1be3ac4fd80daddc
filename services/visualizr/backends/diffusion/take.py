"""One film in the making: the pipeline runs in a thread, tells each step, and stops before the next one when asked."""

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from chatacter.chassis.errors import Cancelled
from visualizr.backend import Film, Progress

CANCELLED: Final = "The film was cancelled."


class Take:
    """Between the thread that works and the one that listens. `check` is called between two steps of any kind."""

    def __init__(self, cancelled: threading.Event) -> None:
        self._cancelled = cancelled
        self._left = threading.Event()
        self._told: queue.SimpleQueue[Progress | Film | None] = queue.SimpleQueue()

    def check(self) -> None:
        """Raise `Cancelled` once nobody wants the film any more."""
        if self._cancelled.is_set() or self._left.is_set():
            raise Cancelled(CANCELLED)

    def tell(self, progress: Progress) -> None:
        """Tell how far it is, and stop here when nobody listens."""
        self._told.put(progress)
        self.check()

    def run(self, work: Callable[["Take"], Film]) -> Iterator[Progress | Film]:
        """Do the work in a thread; yield what it tells and the film. Raises what the work raises.

        Ends quietly, and without a film, when it was cancelled. Closing the iterator waits for the step that runs.
        """
        failed: list[BaseException] = []

        def worked() -> None:
            try:
                self._told.put(work(self))
            except BaseException as error:  # noqa: BLE001 - raised again where it is listened to
                failed.append(error)
            finally:
                self._told.put(None)

        thread = threading.Thread(target=worked, name="film")
        thread.start()
        try:
            while (piece := self._told.get()) is not None:
                yield piece
        finally:
            self._left.set()
            thread.join()
        if failed and not isinstance(failed[0], Cancelled):
            raise failed[0]


def on_step(
    take: Take, steps: int, share: tuple[float, float], look: Callable[[Any], Any] | None
) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
    """Make the callback that diffusers calls after each step; `share` is which part of the film denoising is."""

    def stepped(_: Any, index: int, __: Any, given: dict[str, Any]) -> dict[str, Any]:
        done = share[0] + (share[1] - share[0]) * min(1.0, (index + 1) / steps)
        take.tell(Progress(done, index + 1, steps, look(given["latents"]) if look else None))
        return given

    return stepped
