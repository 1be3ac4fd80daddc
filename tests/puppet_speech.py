"""A speech model that a test holds from outside its process: files in a folder say when it may go on."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from chatacter.chassis.errors import Misconfigured
from vocalizr.backend import SpeechChunk, Utterance
from vocalizr.backends.fake import FakeSpeech
from vocalizr.settings import VocalizrSettings

HELD: Final = "held"
LOAD_HELD: Final = "load held"
LOAD_FAILS: Final = "load fails"
DIARY: Final = "diary"
STUMBLES: Final = "stumble"
SECRET: Final = "a secret"
HUNGERS: Final = "devour"
NOT_THERE: Final = "The weights are not there. Put them where CHATACTER_HOME says."


class PuppetSpeech(FakeSpeech):
    """Beeps. While a file `held` is there it waits before each chunk, cancelled or not.

    It fails at a text with the word `stumble`, and finds no memory for one with `devour`.
    """

    def __init__(self, model: str, folder: Path) -> None:
        super().__init__(model, self._held)
        self._folder = folder
        self._cancelled = threading.Event()

    def load(self) -> None:
        """Wait while a file `load held` is there; fail where one `load fails` is."""
        self._note("loading")
        self._wait(LOAD_HELD)
        if (self._folder / LOAD_FAILS).exists():
            raise Misconfigured(NOT_THERE)

    def speak(self, utterance: Utterance, cancelled: threading.Event) -> Iterator[SpeechChunk]:
        """Beep clause by clause."""
        self._cancelled = cancelled
        self._note("begun")
        try:
            if STUMBLES in utterance.text:
                raise ValueError(SECRET)
            if HUNGERS in utterance.text:
                raise MemoryError
            yield from super().speak(utterance, cancelled)
        finally:
            self._note("ended")

    def close(self) -> None:
        """Tell that nothing more is done with the model."""
        self._note("closed")

    def _held(self, _: int) -> None:
        self._wait(HELD)

    def _wait(self, name: str) -> None:
        told = False
        while (self._folder / name).exists():
            if self._cancelled.is_set() and not told:
                self._note("cancelled")
                told = True
            time.sleep(0.005)

    def _note(self, word: str) -> None:
        with (self._folder / DIARY).open("a") as diary:
            diary.write(f"{word}\n")


def create(settings: VocalizrSettings) -> PuppetSpeech:
    """Make the backend that `VOCALIZR_MODEL=puppet` asks for."""
    return PuppetSpeech(settings.served_name, settings.chatacter_home)
