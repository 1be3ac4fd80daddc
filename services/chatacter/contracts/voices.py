"""Voices of the users' own, and the consents to them, in OpenAI's shapes.

Source of the OpenAI fields: API reference, "Create voice", "Create voice consent". What is ours: several samples of a
voice, voices that are blended of others, the phrase that a consent has to say, and voices as files.
"""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from chatacter.contracts.base import Strict

MAX_RECORDING_BYTES: Final = 10 * 1024 * 1024
MAX_SAMPLES: Final = 5
MAX_PARTS: Final = 8

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Language = Annotated[str, Field(min_length=2, max_length=35)]
Share = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Blend = Annotated[dict[str, Share], Field(min_length=1, max_length=MAX_PARTS)]
Recorded = Annotated[bytes, Field(min_length=1, max_length=MAX_RECORDING_BYTES)]
Seconds = Annotated[int, Field(ge=0, le=100_000_000_000)]


class VoiceConsent(Strict):
    """Somebody's recorded word that their voice may be cloned."""

    id: str
    object: Literal["audio.voice_consent"] = "audio.voice_consent"
    name: str
    language: str = Field(description="BCP 47 tag of the phrase that was said")
    created_at: int = Field(description="Unix seconds")


class VoiceConsentList(Strict):
    """The answer of `GET /v1/audio/voice_consents`; the next page comes `after` the last id."""

    object: Literal["list"] = "list"
    data: list[VoiceConsent]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class VoiceConsentUpdate(Strict):
    """What can be changed of a consent: its label."""

    name: Label


class VoiceConsentDeleted(Strict):
    """A consent is revoked, and every voice that was cloned with it is gone."""

    id: str
    object: Literal["audio.voice_consent"] = "audio.voice_consent"
    deleted: Literal[True] = True


class ConsentPhrase(Strict):
    """What has to be said to consent."""

    language: str
    text: str


class ConsentPhraseList(Strict):
    """The answer of `GET /v1/audio/voice_consents/phrases`."""

    object: Literal["list"] = "list"
    data: list[ConsentPhrase]


class VoiceDesign(Strict):
    """A new voice made of voices that the model has, each with its share; shares need not add up to one."""

    name: Label
    type: Literal["blend"] = "blend"
    blend: Blend


class VoiceDeleted(Strict):
    """A voice is gone."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: Literal[True] = True


class Carried(Strict):
    """What holds sound in JSON: as base64, with the alphabet for addresses."""

    model_config = ConfigDict(**Strict.model_config, ser_json_bytes="base64", val_json_bytes="base64")


class ConsentArchive(Carried):
    """A consent as it is taken along: what was said, from which it is judged anew."""

    name: Label
    language: Language
    given_at: Seconds
    recording: Recorded


class VoiceArchive(Carried):
    """A voice of somebody's own as it is taken along.

    It holds what the voice was made of, and nothing that a model learnt: numbers would not say whose voice they are.
    """

    object: Literal["audio.voice.archive"] = "audio.voice.archive"
    version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^voice_[0-9a-f]{32}$")]
    """What it was called where it comes from."""
    kind: Literal["designed", "cloned"]
    name: Label
    created_at: Seconds
    blend: Blend | None = None
    consent: ConsentArchive | None = None
    samples: Annotated[tuple[Recorded, ...], Field(max_length=MAX_SAMPLES)] = ()
