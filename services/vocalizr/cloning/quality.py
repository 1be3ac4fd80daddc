"""Whether a recording is good enough to learn a voice from, and if not, what to change."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chatacter.chassis.errors import InvalidInput
from vocalizr.backend import Recording

FRAME_SECONDS: Final = 0.02
# A sample counts as clipped where it and its neighbours stand at the very same loudest value: a peak does so once.
CLIPPED_SHARE: Final = 0.0005
CLIPPED_LEVEL: Final = 0.5
# Of the frames, the share that is taken for the room alone, and the one above which a voice is heard at its loudest.
FLOOR_PERCENTILE: Final = 5
SPEECH_PERCENTILE: Final = 90
# Quieter than speech by more than this, and nobody speaks.
PAUSE_DECIBELS: Final = 35.0
LEAST_SPEECH_LEVEL: Final = -45.0
LEAST_SIGNAL_TO_NOISE: Final = 18.0
LOWEST_RATE: Final = 16_000
LEAST_SPEECH_SHARE: Final = 0.35
QUIETEST: Final = -120.0

LOW_RATE: Final = "{param}: it has {rate} samples a second. Record with at least 16,000."
SILENT: Final = "{param}: nobody is heard in it. Check the microphone and record again."
QUIET: Final = "{param}: it is too quiet ({level:.0f} dBFS). Go closer to the microphone or raise its level."
CLIPPED: Final = "{param}: it is clipped ({share:.1f} % of it at full scale). Lower the microphone's level."
NOISY: Final = (
    "{param}: it is too noisy (speech {ratio:.0f} dB above the noise, {least:.0f} are needed). Find a quieter place."
)
SHORT: Final = "{param}: {seconds:.1f} s of speech are heard in it; {least:g} s are needed. Speak longer."
PAUSES: Final = "{param}: only {share:.0f} % of it is speech. Cut the silence away."
LONG: Final = "{param}: it lasts {seconds:.0f} s; at most {most:g} s can be used. Cut it."


@dataclass(frozen=True, slots=True)
class Demands:
    """How much speech there must be, and how long a recording may last, in seconds."""

    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured: seconds, the share at full scale, levels in dBFS, decibels between speech and the room."""

    seconds: float
    speech_seconds: float
    clipped: float
    level: float
    signal_to_noise: float


def measured(recording: Recording) -> Quality:
    """Measure a recording."""
    samples = recording.samples
    levels = frame_levels(samples, max(1, round(recording.rate * FRAME_SECONDS)))
    level = float(np.percentile(levels, SPEECH_PERCENTILE))
    floor = float(np.percentile(levels, FLOOR_PERCENTILE))
    speaking = levels > max(level - PAUSE_DECIBELS, LEAST_SPEECH_LEVEL - PAUSE_DECIBELS)
    return Quality(
        seconds=samples.size / recording.rate,
        speech_seconds=float(np.count_nonzero(speaking)) * FRAME_SECONDS,
        clipped=clipped_share(samples),
        level=level,
        signal_to_noise=level - floor,
    )


def frame_levels(samples: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Return the level of each frame in dBFS."""
    frames = samples[: samples.size // size * size].reshape(-1, size).astype(np.float64)
    if not len(frames):
        return np.array([QUIETEST])
    power = np.square(frames).mean(axis=1)
    levels: NDArray[np.float64] = 10 * np.log10(np.maximum(power, 10 ** (QUIETEST / 10)))
    return levels


def clipped_share(samples: NDArray[np.float32]) -> float:
    """Return the share of samples in runs of three or more at the loudest value of their sign."""
    share = 0.0
    for signed in (samples, -samples):
        top = float(signed.max(initial=0.0))
        if top >= CLIPPED_LEVEL:
            flat = signed >= top - 1e-4
            share += float(np.count_nonzero(flat[2:] & flat[1:-1] & flat[:-2]))
    return share / max(1, samples.size)


def require_good(recording: Recording, demands: Demands, param: str) -> Quality:
    """Return what was measured of a recording. Raises `InvalidInput`, with what to change, when it will not do."""
    found = measured(recording)
    wrong = (
        (recording.rate < LOWEST_RATE, LOW_RATE.format(param=param, rate=recording.rate)),
        (found.level <= QUIETEST + 1, SILENT.format(param=param)),
        (found.level < LEAST_SPEECH_LEVEL, QUIET.format(param=param, level=found.level)),
        (found.seconds > demands.most, LONG.format(param=param, seconds=found.seconds, most=demands.most)),
        (found.clipped > CLIPPED_SHARE, CLIPPED.format(param=param, share=found.clipped * 100)),
        (
            found.signal_to_noise < LEAST_SIGNAL_TO_NOISE,
            NOISY.format(param=param, ratio=found.signal_to_noise, least=LEAST_SIGNAL_TO_NOISE),
        ),
        (
            found.speech_seconds < demands.least,
            SHORT.format(param=param, seconds=found.speech_seconds, least=demands.least),
        ),
        (
            found.speech_seconds < found.seconds * LEAST_SPEECH_SHARE,
            PAUSES.format(param=param, share=100 * found.speech_seconds / max(found.seconds, FRAME_SECONDS)),
        ),
    )
    for fails, sentence in wrong:
        if fails:
            raise InvalidInput(sentence, param=param)
    return found
