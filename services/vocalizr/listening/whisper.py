"""The transcriber: Whisper on CTranslate2, by faster-whisper. Its model is one of `models.lock`, never fetched here."""

import threading
from typing import Any, Final

from chatacter.chassis import plugins
from chatacter.chassis.errors import Unsupported
from chatacter.models.store import ModelStore
from vocalizr.backend import Recording
from vocalizr.listening.sound import at_rate
from vocalizr.listening.transcriber import RATE, HeardWord, Hint, Passage, Transcript

# Whisper's own ladder: a passage that came out repetitive or unlikely is heard again, less surely.
TEMPERATURES: Final = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
NO_LANGUAGE: Final = "language: this model does not know it. It knows: {}."


class WhisperTranscriber:
    """A `Transcriber`. May be used from several threads at once."""

    def __init__(self, store: ModelStore, *, name: str, threads: int, side_by_side: int = 1) -> None:
        self.name = name
        self._store = store
        self._threads = threads
        self._side_by_side = side_by_side
        self._loading = threading.Lock()
        self._model: Any = None

    def load(self) -> None:
        """Load the model, once: about a second, 200 MB; on a GPU where CTranslate2 finds one.

        Raises `Misconfigured` for one that is missing or broken.
        """
        with self._loading:
            if self._model is not None:
                return
            folder = self._store.directory(self.name)
            with plugins.needing("Listening to speech"):
                from faster_whisper import WhisperModel  # noqa: PLC0415  # needs the extra `listening`

            try:
                self._model = WhisperModel(
                    str(folder),
                    device="auto",
                    compute_type="auto",
                    cpu_threads=self._threads,
                    num_workers=self._side_by_side,
                    local_files_only=True,
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise self._store.broken(self.name) from error

    def transcribe(self, recording: Recording, hint: Hint, cancelled: threading.Event) -> Transcript:
        """Write down what is said."""
        if self._model is None:
            raise RuntimeError("load() comes first")
        language = self._language(hint.language)
        found, about = self._model.transcribe(
            at_rate(recording, RATE),
            language=language,
            initial_prompt=hint.prompt,
            temperature=hint.temperature or TEMPERATURES,
            word_timestamps=hint.words,
            vad_filter=False,
        )
        passages = []
        for each in found:
            passages.append(passage(each))
            if cancelled.is_set():
                break
        return Transcript(about.language, recording.samples.size / recording.rate, passages)

    def close(self) -> None:
        """Let go of the model."""
        self._model = None

    def _language(self, asked: str | None) -> str | None:
        """Return Whisper's code of a BCP 47 tag: its language without script and region."""
        if asked is None:
            return None
        code = asked.partition("-")[0].lower()
        known = self._model.supported_languages
        if code not in known:
            raise Unsupported(NO_LANGUAGE.format(", ".join(sorted(known))), param="language")
        return code


def passage(told: Any) -> Passage:
    """Read one segment of faster-whisper's."""
    words = tuple(HeardWord(word.word.strip(), float(word.start), float(word.end)) for word in told.words or ())
    return Passage(
        text=told.text,
        start=float(told.start),
        end=float(told.end),
        seek=int(told.seek),
        tokens=tuple(told.tokens),
        temperature=float(told.temperature or 0.0),
        avg_logprob=float(told.avg_logprob),
        compression_ratio=float(told.compression_ratio),
        no_speech_prob=float(told.no_speech_prob),
        words=words,
    )
