"""Speech between processes: OpenAI's `POST /v1/audio/speech`, plus phoneme timings for lip-sync.

Source of the OpenAI fields: API reference, "Create speech". `language`, `timings` and `seed` are ours.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chatacter.contracts.base import Open, Strict

AudioFormat = Literal["mp3", "opus", "aac", "flac", "wav", "pcm"]

MEDIA_TYPES: dict[AudioFormat, str] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}

# What a speech server is set to take of a text is less; this bounds what is looked at before that is known.
MAX_INPUT_CHARACTERS = 1_000_000
# Where the whole sound is the answer, as at KServe's doors: some minutes of it.
MAX_WHOLE_CHARACTERS = 4096
MAX_CHAPTER_CHARACTERS = 60_000


class VoiceRef(Open):
    """A voice named by an object, as newer OpenAI clients send it."""

    id: str


class SpeechRequest(Open):
    """What is to be said, by whom and how it is encoded."""

    model: str = Field(description="A speech model that Vocalizr serves, e.g. kokoro")
    input: Annotated[str, StringConstraints(min_length=1, max_length=MAX_INPUT_CHARACTERS)]
    voice: str | VoiceRef
    instructions: str | None = None
    response_format: AudioFormat = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    language: str | None = Field(default=None, description="BCP 47 tag; the voice's own language when absent")
    timings: bool = Field(default=False, description="With stream_format=sse: phoneme timings beside each delta")
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = Field(
        default=None,
        description="The same text with the same seed sounds the same, where the model draws lots; among others who "
        "speak meanwhile, in float32 on a processor",
    )

    @property
    def voice_id(self) -> str:
        """The voice's id, however it was written."""
        return self.voice if isinstance(self.voice, str) else self.voice.id


class LongSpeech(SpeechRequest):
    """A text that takes minutes to say, a chapter for instance: it is said in the background, as a job."""

    input: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CHAPTER_CHARACTERS)]
    response_format: Literal["mp3", "wav", "pcm"] = "mp3"
    priority: Literal["high", "normal", "low"] = "normal"
    expires_after: Annotated[int, Field(ge=1, le=2_592_000)] | None = Field(
        default=None, description="Seconds within which it must have begun, else it fails"
    )


class Phoneme(Strict):
    """One phoneme as it is heard. Times are seconds from the start of the whole sound."""

    symbol: str = Field(description="IPA, in Kokoro's alphabet; a space or punctuation is a pause")
    start: float
    end: float


class SpeechDelta(Open):
    """`speech.audio.delta` of the SSE form: base64 of encoded bytes."""

    type: Literal["speech.audio.delta"] = "speech.audio.delta"
    audio: str
    phonemes: list[Phoneme] | None = None


class SpeechUsage(Open):
    """Counted in characters read and milliseconds spoken: these models have no tokens to bill."""

    input_characters: int
    audio_milliseconds: int


class SpeechDone(Open):
    """`speech.audio.done`: the last event of the SSE form."""

    type: Literal["speech.audio.done"] = "speech.audio.done"
    usage: SpeechUsage


class Voice(Strict):
    """A voice that can be asked for."""

    id: str
    object: Literal["audio.voice"] = "audio.voice"
    name: str
    model: str = Field(description="The speech model that speaks it")
    language: str = Field(description="BCP 47 tag")
    kind: Literal["built_in", "designed", "cloned"] = "built_in"
    type: Literal["built_in", "blend", "audio_sample"] = Field(default="built_in", description="How it was made")
    created_at: int = Field(default=0, description="Unix seconds; 0 for what came with the model")
    consent: str | None = Field(default=None, description="The consent that a cloned voice hangs on")
    blend: dict[str, float] | None = Field(default=None, description="The voices that a designed one is made of")


class VoiceList(Strict):
    """The answer of `GET /v1/audio/voices`."""

    object: Literal["list"] = "list"
    data: list[Voice]
    model: str | None = Field(default=None, description="What characters speak with that name no model themselves")
    away: dict[str, str] = Field(default={}, description="Models whose voices are not listed, and why")
