"""The mark, put into speech as it comes: what is given back in pieces is what marking the whole would give."""

from functools import partial
from typing import Final

import numpy as np

from chatacter.contracts.speech import AudioFormat
from chatacter.models.store import ModelStore
from vocalizr.audio import Encoder, Encoding, encoder
from vocalizr.backend import Samples
from vocalizr.settings import VocalizrSettings
from vocalizr.watermark.network import REACH, Perth
from vocalizr.watermark.spectrum import BANDS, Bands, Frames

STRENGTH: Final = 0.5
"""The share of Perth's change that is made: ADR 0026 has what can be heard and found at which."""


class Marker:
    """Marks one sound. Each piece comes back 0.21 s later, with those before it; `finish` gives the rest."""

    def __init__(self, perth: Perth, rate: int, strength: float = STRENGTH) -> None:
        self._perth = perth
        self._strength = strength
        self._frames = Frames.at(rate)
        # The sound from the sample on that is next to come back; before its first one, half a frame of silence.
        self._sound: Samples = np.zeros(self._frames.size // 2, dtype=np.float32)
        self._skipped = self._frames.size // 2
        self._bands: Bands = np.zeros((0, BANDS), dtype=np.complex64)
        self._context = 0  # frames in `_bands` that are changed already, and needed by those after them
        self._change: Samples = np.zeros(0, dtype=np.float32)
        self._weight: Samples = np.zeros(0, dtype=np.float32)

    def mark(self, samples: Samples) -> Samples:
        """Take samples in [-1, 1]; return what is marked by now, which may be none."""
        self._sound = np.concatenate([self._sound, samples])
        self._analyse()
        return self._settled(len(self._bands) - REACH)

    def finish(self) -> Samples:
        """Return the rest."""
        hop, size = self._frames.hop, self._frames.size
        waiting = self._sound.size
        left = waiting - self._skipped
        missing = max(0, (-(-waiting // hop) - 1) * hop + size - waiting)
        self._sound = np.concatenate([self._sound, np.zeros(missing, dtype=np.float32)])
        self._analyse()
        return self._settled(len(self._bands))[:left]

    def _analyse(self) -> None:
        """Add the frames that have become full. Frame `_context` begins where `_sound` does."""
        known = len(self._bands) - self._context
        new = self._frames.analysed(self._sound[known * self._frames.hop :])
        self._bands = np.concatenate([self._bands, new])

    def _settled(self, until: int) -> Samples:
        """Change the frames before `until`; return the samples that no later frame reaches."""
        if until <= self._context:
            return np.zeros(0, dtype=np.float32)
        levels = self._frames.levels(self._bands)
        raised = self._perth.change(levels)[self._context : until] * self._strength
        self._add(self._bands[self._context : until] * (np.power(np.float32(10), raised / 20) - 1))
        done = (until - self._context) * self._frames.hop
        change, self._change = self._change[:done], self._change[done:]
        weight, self._weight = self._weight[:done], self._weight[done:]
        sound, self._sound = self._sound[:done], self._sound[done:]
        kept = max(0, until - REACH)
        self._bands, self._context = self._bands[kept:], until - kept
        marked = sound + (change / np.maximum(weight, 1e-6))[: sound.size]
        skipped, self._skipped = self._skipped, max(0, self._skipped - marked.size)
        return np.asarray(marked[skipped:], dtype=np.float32)

    def _add(self, bands: Bands) -> None:
        """Lay changed frames over each other."""
        hop, size = self._frames.hop, self._frames.size
        longer = (len(bands) - 1) * hop + size - self._change.size
        self._change = np.concatenate([self._change, np.zeros(longer, dtype=np.float32)])
        self._weight = np.concatenate([self._weight, np.zeros(longer, dtype=np.float32)])
        window = np.square(self._frames.window)
        for number, frame in enumerate(self._frames.sounds(bands)):
            self._change[number * hop : number * hop + size] += frame
            self._weight[number * hop : number * hop + size] += window


class MarkedEncoder:
    """An `Encoder` that marks what it is given before another one encodes it."""

    def __init__(self, marker: Marker, encoder: Encoder) -> None:
        self._marker = marker
        self._encoder = encoder

    def encode(self, samples: Samples) -> bytes:
        """Return what can be sent now; it may be nothing."""
        return self._encoder.encode(self._marker.mark(samples))

    def finish(self) -> bytes:
        """Return the rest."""
        return self._encoder.encode(self._marker.finish()) + self._encoder.finish()


def encoding_of(settings: VocalizrSettings) -> Encoding:
    """Return how speech is encoded, marked or not, as the settings say. Raises `Misconfigured` without the weights."""
    if settings.vocalizr_watermark == "none":
        return encoder
    perth = Perth(ModelStore(settings.models_dir))
    perth.require()
    return partial(marked, perth)


def marked(perth: Perth, audio_format: AudioFormat, rate: int) -> Encoder:
    """Make an encoder whose sound is marked."""
    return MarkedEncoder(Marker(perth, rate), encoder(audio_format, rate))
