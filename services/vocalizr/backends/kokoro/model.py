"""The network: phoneme symbols in, sound and the duration of each symbol out."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail

from chatacter.chassis.errors import Cancelled
from vocalizr.backend import Samples
from vocalizr.backends.kokoro.protobuf import with_output

SAMPLE_RATE: Final = 24000
# The encoder's rounded durations, in frames of 25 ms; their sum times 600 is exactly the number of samples.
DURATIONS: Final = "/encoder/Clip_output_0"
SAMPLES_PER_FRAME: Final = 600
MAX_SYMBOLS: Final = 510
STYLE_SIZE: Final = 256
EDGE: Final = 0
GLANCE: Final = 0.05

Styles = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Sound in [-1, 1] at 24 kHz, and the samples of each symbol, with the edges before and after: len(symbols) + 2."""

    samples: Samples
    durations: NDArray[np.int64]


def styles_of(path: Path) -> Styles:
    """Read a voice: a style vector for each number of symbols, [510, 256]."""
    return np.fromfile(path, dtype=np.float32).reshape(MAX_SYMBOLS, STYLE_SIZE)


class KokoroModel:
    """An ONNX Runtime session; `speak` may be called from several threads at once."""

    def __init__(self, session: ort.InferenceSession, vocabulary: Mapping[str, int]) -> None:
        self._session = session
        self._vocabulary = vocabulary

    @classmethod
    def load(cls, model: Path, vocabulary: Path, threads: int) -> "KokoroModel":
        """Load from files. Blocks for about a second."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Threads that spin while they wait would take the language model's cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        content = with_output(model.read_bytes(), DURATIONS)
        session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        return cls(session, json.loads(vocabulary.read_bytes())["vocab"])

    @property
    def symbols(self) -> frozenset[str]:
        """The symbols that it can speak."""
        return frozenset(self._vocabulary)

    def speak(self, symbols: str, styles: Styles, speed: float, cancelled: threading.Event) -> Spoken:
        """Speak at most 510 symbols, all of them in `symbols`. Raises `Cancelled` soon after `cancelled` is set."""
        tokens = np.array([[EDGE, *(self._vocabulary[symbol] for symbol in symbols), EDGE]], dtype=np.int64)
        inputs = {
            "tokens": tokens,
            "style": styles[len(symbols) - 1][np.newaxis],
            "speed": np.array([speed], dtype=np.float32),
        }
        samples, frames = self._run(inputs, cancelled)
        durations = np.rint(frames.reshape(-1)).astype(np.int64) * SAMPLES_PER_FRAME
        return Spoken(np.asarray(samples, dtype=np.float32).reshape(-1), durations)

    def _run(
        self, inputs: Mapping[str, NDArray[np.generic]], cancelled: threading.Event
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        options = ort.RunOptions()
        finished = threading.Event()

        def watch() -> None:
            while not finished.wait(GLANCE):
                if cancelled.is_set():
                    options.terminate = True

        watcher = threading.Thread(target=watch, name="kokoro cancel", daemon=True)
        watcher.start()
        try:
            samples, frames = self._session.run(["audio", DURATIONS], inputs, options)
        except Fail as error:
            if cancelled.is_set():
                raise Cancelled("The sound is not wanted any more.") from error
            raise
        finally:
            finished.set()
            watcher.join()
        return samples, frames
