"""Listening as a person would: the packaged Whisper writes down what it hears, and the errors are counted."""

import io
import re
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chatacter.models.store import ModelStore

Samples = NDArray[np.float32]
WHISPER_RATE = 16000


class Listener:
    """The packaged Whisper."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def heard(self, samples: Samples, rate: int) -> str:
        """What is said, in English."""
        from scipy.signal import resample_poly

        divisor = gcd(rate, WHISPER_RATE)
        resampled = resample_poly(samples, WHISPER_RATE // divisor, rate // divisor).astype(np.float32)
        segments, _ = self._model.transcribe(resampled, language="en", beam_size=1, vad_filter=False)
        return " ".join(segment.text.strip() for segment in segments)

    def word_error_rate(self, said: str, samples: Samples, rate: int) -> float:
        """The share of words that are wrong, missing or too many."""
        import jiwer

        return float(jiwer.wer(plain(said), plain(self.heard(samples, rate))))


def plain(text: str) -> str:
    """Words only, as both sides may write them."""
    return " ".join(re.sub(r"[^a-z' ]", " ", text.lower().replace("-", " ")).split())


def decoded(data: bytes) -> tuple[Samples, int]:
    """The samples of an encoded sound in [-1, 1], mono, and their rate."""
    import av

    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        rate = container.streams.audio[0].rate
    samples = np.concatenate([frame.reshape(1, -1) for frame in frames], axis=1)[0]
    return (samples.astype(np.float32) / 32768 if samples.dtype == np.int16 else samples.astype(np.float32)), rate


@pytest.fixture(scope="session")
def listener(models_home: Path) -> Listener:
    """Whisper base, int8, two threads."""
    whisper: Callable[..., Any] = pytest.importorskip("faster_whisper").WhisperModel
    folder = ModelStore(models_home).directory("whisper-base")
    return Listener(whisper(str(folder), device="cpu", compute_type="int8", cpu_threads=2, local_files_only=True))
