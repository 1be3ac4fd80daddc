"""Voices of the users' own, and the consents to them, in OpenAI's shapes.

Source of the OpenAI fields: API reference, "Create voice", "Create voice consent". What is ours: several samples of a
voice, voices that are blended of others, and the phrase that a consent has to say.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from chatacter.contracts.base import Strict

MAX_RECORDING_BYTES: Final = 10 * 1024 * 1024
MAX_SAMPLES: Final = 5
MAX_PARTS: Final = 8

Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]
Share = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]


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
    blend: Annotated[dict[str, Share], Field(min_length=1, max_length=MAX_PARTS)]


class VoiceDeleted(Strict):
    """A voice is gone."""

    id: str
    object: Literal["audio.voice.deleted"] = "audio.voice.deleted"
    deleted: Literal[True] = True
