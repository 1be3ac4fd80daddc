"""How often the speaker embedder takes two people for one, and one person for two, by threshold.

The people are Kokoro's 54 voices, each reading the same few English sentences: synthetic voices, in a studio without a
room, so that figures of real people will differ. Pairs never read the same sentence. One side is as it is; the other as
it is, or with white noise 20 dB below, or through MP3 at 32 kbit/s, or through Opus at 16 kbit/s and noise.

Needs `chatacter models install kokoro-82m english-g2p ge2e-speaker`. Recordings are kept in a folder and made once.
"""

import argparse
import io
import itertools
import threading
import time
import wave
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import av
import numpy as np
from measuring import results
from measuring.profile import installed_models
from numpy.typing import NDArray

from chatacter.models.store import ModelStore
from vocalizr.backend import Recording
from vocalizr.backends.kokoro.backend import KOKORO, KokoroSpeech, pronounced
from vocalizr.backends.kokoro.model import SAMPLE_RATE, styles_of
from vocalizr.cloning.consent import PHRASES
from vocalizr.cloning.voices import SAME_SPEAKER
from vocalizr.listening.ge2e import Ge2eSpeaker
from vocalizr.listening.sound import decoded

SENTENCES: Final = (
    PHRASES["en"],
    "The storm rolled in from the western sea, and every lantern on the airship began to sway.",
    "Would you care for a cup of black tea while we wait for the harbour lights to appear?",
    "My grandfather kept seven old clocks in the kitchen, and none of them ever told the same time.",
    "Please bring the blue folder, two sharp pencils, and whatever is left of the chocolate cake.",
    "Nobody expected the younger brother to win, yet he crossed the line a full minute before us.",
)
THRESHOLDS: Final = tuple(round(0.70 + 0.01 * step, 2) for step in range(26))
Prints = dict[tuple[str, int, str], NDArray[np.float32]]


def speak(folder: Path, sentences: Sequence[str]) -> None:
    """Make the recordings that are not there yet."""
    store = ModelStore(installed_models())
    backend = KokoroSpeech(store, threads=2)
    backend.load()
    loaded = backend._ready()
    for number, sentence in enumerate(sentences):
        for path in sorted((store.directory(KOKORO) / "voices").glob("*.bin")):
            target = folder / f"{path.stem}-{number}.wav"
            if target.exists():
                continue
            accent = loaded.accents["en-GB" if path.stem[0] == "b" else "en-US"]
            styles = styles_of(path)
            parts = [
                loaded.model.speak(symbols, styles, 1.0, threading.Event()).samples
                for symbols in pronounced(accent, sentence)
            ]
            with wave.open(str(target), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(SAMPLE_RATE)
                file.writeframes((np.clip(np.concatenate(parts), -1, 1) * 32767).astype("<i2").tobytes())


def noisy(recording: Recording) -> Recording:
    """Add white noise 20 dB below the sound."""
    power = float(np.mean(np.square(recording.samples)))
    noise = np.random.default_rng(7).standard_normal(recording.samples.size) * np.sqrt(power / 100)
    return Recording((recording.samples + noise).astype(np.float32), recording.rate)


def through(codec: str, container: str, rate: int, bits: int) -> Callable[[Recording], Recording]:
    """Return what encodes and decodes a recording."""

    def passed(recording: Recording) -> Recording:
        sink = io.BytesIO()
        with av.open(sink, "w", format=container) as output:
            stream = output.add_stream(codec, rate=rate, layout="mono")
            stream.bit_rate = bits
            samples = (np.clip(recording.samples, -1, 1) * 32767).astype("<i2").reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate = recording.rate
            resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
        return decoded(sink.getvalue(), longest=60, param="recording")

    return passed


def opus_and_noise(recording: Recording) -> Recording:
    """A bad line."""
    return through("libopus", "ogg", 24000, 16_000)(noisy(recording))


WAYS: Final[Mapping[str, Callable[[Recording], Recording]]] = {
    "as it is": lambda recording: recording,
    "noise, 20 dB": noisy,
    "MP3, 32 kbit/s": through("libmp3lame", "mp3", 24000, 32_000),
    "Opus, 16 kbit/s, and noise": opus_and_noise,
}


def embedded(folder: Path, sentences: int) -> tuple[Prints, float]:
    """Embed every recording in every way; returns the vectors, and seconds of work for a second of sound."""
    embedder = Ge2eSpeaker(ModelStore(installed_models()))
    embedder.load()
    prints: Prints = {}
    spent = sound = 0.0
    for path in sorted(folder.glob("*.wav")):
        voice, _, number = path.stem.rpartition("-")
        if int(number) >= sentences:
            continue
        recording = decoded(path.read_bytes(), longest=60, param="recording")
        for way, passed in WAYS.items():
            heard = passed(recording)
            began = time.process_time()
            prints[voice, int(number), way] = embedder.embed(heard)
            spent += time.process_time() - began
            sound += heard.samples.size / heard.rate
    return prints, spent / sound


def pairs(prints: Prints, way: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how alike pairs of one voice are, and pairs of two; the second of each is heard in this way."""
    voices = sorted({voice for voice, _, _ in prints})
    numbers = sorted({number for _, number, _ in prints})
    same, different = [], []
    for one, other in itertools.product(voices, voices):
        for first, second in itertools.permutations(numbers, 2):
            left, right = prints.get((one, first, "as it is")), prints.get((other, second, way))
            if left is not None and right is not None:
                (same if one == other else different).append(float(left @ right))
    return np.array(same), np.array(different)


def rates(same: NDArray[np.float64], different: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Return the share of pairs of two voices that are accepted, and of pairs of one that are refused."""
    return float(np.mean(different >= threshold)), float(np.mean(same < threshold))


def equal_error(same: NDArray[np.float64], different: NDArray[np.float64]) -> tuple[float, float]:
    """Return the rate at which both errors are alike, and its threshold."""
    steps = np.arange(0.5, 1.0, 0.001)
    found = [rates(same, different, step) for step in steps]
    best = min(range(len(steps)), key=lambda at: abs(found[at][0] - found[at][1]))
    return sum(found[best]) / 2, float(steps[best])


def percent(share: float) -> str:
    """Write a share."""
    return f"{share * 100:.2f} %"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=Path, required=True, help="the folder of recordings; made where missing")
    parser.add_argument("--sentences", type=int, default=len(SENTENCES), help="how many sentences a voice reads")
    given = parser.parse_args()
    load = results.busy()
    given.recordings.mkdir(parents=True, exist_ok=True)
    speak(given.recordings, SENTENCES[: given.sentences])
    prints, cost = embedded(given.recordings, given.sentences)
    judged = {way: pairs(prints, way) for way in WAYS}
    voices = len({voice for voice, _, _ in prints})
    heads = [f"{way}: {what}" for way in WAYS for what in ("two taken for one", "one taken for two")]
    curve = results.table(
        ("threshold", *heads),
        [
            (
                f"{threshold:.2f}" + (" (in use)" if threshold == SAME_SPEAKER else ""),
                *(percent(rate) for way in WAYS for rate in rates(*judged[way], threshold)),
            )
            for threshold in THRESHOLDS
        ],
    )
    summary = results.table(
        ("second recording", "pairs of one voice", "least", "median", "pairs of two", "median", "most", "equal error"),
        [
            (
                way,
                f"{len(same):,}",
                f"{same.min():.3f}",
                f"{np.median(same):.3f}",
                f"{len(different):,}",
                f"{np.median(different):.3f}",
                f"{different.max():.3f}",
                f"{percent(equal_error(same, different)[0])} at {equal_error(same, different)[1]:.3f}",
            )
            for way, (same, different) in judged.items()
        ],
    )
    said = (
        f"{voices} voices of Kokoro, {given.sentences} sentences each of five to eight seconds. They are synthetic: "
        f"real people, microphones and rooms will differ. Embedding takes {cost:.3f} CPU seconds a second of sound."
    )
    results.write("The speaker embedder: who is taken for whom", load, summary, curve, said)


if __name__ == "__main__":
    main()
