"""The speaker embedder: Resemblyzer's GE2E encoder (Apache-2.0), three LSTMs of 256 units, in numpy.

Source: Wan et al., "Generalized End-to-End Loss for Speaker Verification"; Resemblyzer 0.1.4, whose preparation of the
sound is followed: 16 kHz, loudness raised to -30 dBFS, pauses left out, 40 mel bands of 25 ms every 10 ms, and the mean
over windows of 1.6 s that overlap by half.
"""

import pickle
import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput
from chatacter.models.store import ModelStore
from vocalizr.backend import Recording
from vocalizr.listening.checkpoint import Weights, tensors
from vocalizr.listening.sound import at_rate
from vocalizr.listening.speaker import VoicePrint

Array = NDArray[np.float32]

SPEAKER: Final = "ge2e-speaker"
RATE: Final = 16000
WINDOW: Final = 400
HOP: Final = 160
BANDS: Final = 40
PARTIAL: Final = 160
STEP: Final = 77
LAYERS: Final = 3
LOUDNESS: Final = 10 ** (-30 / 20)
PIECE: Final = 480
# A piece of 30 ms whose loudness is below this share of the loudest one is a pause.
PAUSE: Final = 0.03

NOBODY: Final = "There is nobody to be heard in this recording."


class Ge2eSpeaker:
    """A `SpeakerEmbedder`. May be used from several threads at once."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._loading = threading.Lock()
        self._weights: Weights | None = None
        self._bands = mel_bands()

    def load(self) -> None:
        """Read the weights, once. Raises `Misconfigured` for those that are missing or broken."""
        with self._loading:
            if self._weights is not None:
                return
            try:
                self._weights = tensors(self._store.file(SPEAKER, "pretrained.pt"), "model_state")
            except (OSError, EOFError, AttributeError, LookupError, TypeError, ValueError, pickle.PickleError) as error:
                raise self._store.broken(SPEAKER) from error

    def embed(self, recording: Recording) -> VoicePrint:
        """Return 256 numbers of length one."""
        if self._weights is None:
            raise RuntimeError("load() comes first")
        voiced = without_pauses(levelled(at_rate(recording, RATE)))
        partials = windows(mel(voiced, self._bands))
        hidden = encoded(partials, self._weights)
        raw = np.maximum(0, hidden @ self._weights["linear.weight"].T + self._weights["linear.bias"])
        raw /= np.linalg.norm(raw, axis=1, keepdims=True) + 1e-9
        mean = raw.mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)

    def close(self) -> None:
        """Let go of the weights."""
        self._weights = None


def levelled(samples: Array) -> Array:
    """Raise what is quieter than the encoder is used to. Raises `InvalidInput` for silence."""
    loudness = float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0
    if loudness < 1e-6:
        raise InvalidInput(NOBODY)
    return np.asarray(samples * max(1.0, LOUDNESS / loudness), dtype=np.float32)


def without_pauses(samples: Array) -> Array:
    """Leave out pieces of 30 ms in which nobody speaks."""
    pieces = samples[: samples.size // PIECE * PIECE].reshape(-1, PIECE)
    if not len(pieces):
        raise InvalidInput(NOBODY)
    loudness = np.sqrt(np.square(pieces).mean(axis=1))
    voiced: Array = pieces[loudness > loudness.max() * PAUSE].ravel()
    return voiced


def mel_bands() -> Array:
    """Return the triangles that sum a power spectrum of 201 bins into 40 bands, as librosa draws them (Slaney)."""

    def to_mel(hertz: Array) -> Array:
        above = 15 + np.log(np.maximum(hertz, 1) / 1000) / (np.log(6.4) / 27)
        return np.where(hertz < 1000, hertz * 3 / 200, above)

    def to_hertz(mels: Array) -> Array:
        return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((np.log(6.4) / 27) * (mels - 15)))

    ends = to_mel(np.array([0.0, RATE / 2], dtype=np.float32))
    points = to_hertz(np.linspace(ends[0], ends[1], BANDS + 2))
    bins = np.linspace(0, RATE / 2, WINDOW // 2 + 1)
    rising = (bins - points[:-2, None]) / (points[1:-1] - points[:-2])[:, None]
    falling = (points[2:, None] - bins) / (points[2:] - points[1:-1])[:, None]
    height = 2 / (points[2:] - points[:-2])
    return np.asarray(np.maximum(0, np.minimum(rising, falling)) * height[:, None], dtype=np.float32)


def mel(samples: Array, bands: Array) -> Array:
    """Return the power in each band, [frames, 40]."""
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * np.hanning(WINDOW + 1)[:WINDOW]
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))
    return (power @ bands.T).astype(np.float32)


def windows(frames: Array) -> Array:
    """Cut into windows of 1.6 s that overlap by half, [windows, 160, 40]; what is shorter is filled with silence."""
    padded = np.pad(frames, ((0, max(0, PARTIAL - len(frames))), (0, 0)))
    return np.stack([padded[start : start + PARTIAL] for start in range(0, len(padded) - PARTIAL + 1, STEP)])


def encoded(sequences: Array, weights: Weights) -> Array:
    """Run the LSTMs; returns the last layer's state at the end of each sequence, [sequences, 256]."""
    for layer in range(LAYERS):
        into, onto = weights[f"lstm.weight_ih_l{layer}"], weights[f"lstm.weight_hh_l{layer}"].T
        given = sequences @ into.T + (weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"])
        size = onto.shape[0]
        state = cell = np.zeros((len(sequences), size), np.float32)
        states = []
        for time in range(sequences.shape[1]):
            gates = given[:, time] + state @ onto
            admit, forget, put = (sigmoid(gates[:, part * size : (part + 1) * size]) for part in (0, 1, 3))
            cell = forget * cell + admit * np.tanh(gates[:, 2 * size : 3 * size])
            state = put * np.tanh(cell)
            states.append(state)
        sequences = np.stack(states, axis=1)
    return sequences[:, -1]


def sigmoid(values: Array) -> Array:
    """Squeeze into (0, 1)."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), dtype=np.float32)
