"""Speech at KServe's doors: one row is one text, and the whole sound is the answer."""

from contextlib import aclosing
from typing import Annotated, Any, Final

from pydantic import Field, StringConstraints

from chatacter.contracts.base import Strict
from chatacter.contracts.speech import MAX_WHOLE_CHARACTERS, MEDIA_TYPES, AudioFormat, SpeechRequest
from chatacter.serving.predictor import Job, Tensor
from vocalizr.synthesize import Synthesizer

INPUTS: Final = (
    Tensor("input", "BYTES"),
    Tensor("voice", "BYTES"),
    Tensor("response_format", "BYTES"),
    Tensor("speed", "FP32"),
    Tensor("language", "BYTES"),
    Tensor("instructions", "BYTES"),
    Tensor("timings", "BOOL"),
    Tensor("seed", "INT64"),
)
OUTPUTS: Final = (
    Tensor("audio", "BYTES"),
    Tensor("media_type", "BYTES"),
    Tensor("seconds", "FP32"),
    Tensor("phonemes", "BYTES", structured=True),
)


class SpeechRow(Strict):
    """One text; the fields are those of `POST /v1/audio/speech`."""

    input: Annotated[str, StringConstraints(min_length=1, max_length=MAX_WHOLE_CHARACTERS)]
    voice: str
    response_format: AudioFormat = "wav"
    speed: Annotated[float, Field(ge=0.25, le=4.0)] = 1.0
    language: str | None = None
    instructions: str | None = None
    timings: bool = False
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None


def speech_job(synthesizer: Synthesizer) -> Job[SpeechRow]:
    """Make the job that a predictor does for each row."""

    async def work(row: SpeechRow, tenant: str) -> dict[str, Any]:
        request = SpeechRequest(model=synthesizer.model, **row.model_dump())
        utterance = await synthesizer.checked(request, tenant)
        async with aclosing(synthesizer.sounds(utterance, row.response_format, tenant)) as sounds:
            heard = [sound async for sound in sounds]
        return {
            "audio": b"".join(sound.data for sound in heard),
            "media_type": MEDIA_TYPES[row.response_format],
            "seconds": sum(sound.seconds for sound in heard),
            "phonemes": [p.model_dump() for sound in heard for p in sound.phonemes] if row.timings else [],
        }

    return Job(request=SpeechRow, work=work, inputs=INPUTS, outputs=OUTPUTS)
