"""What is stored of a voice and of a consent, as JSON beside the sound. Each record says which form it has.

What is None is not written, so that an older replica reads every record that holds nothing newer than itself.
"""

from typing import Final, Literal

from chatacter.contracts.base import Strict
from chatacter.contracts.voices import VoiceConsent

SCHEMA: Final = 1


class Given(Strict):
    """By whom and when: the API key's id, which stands for its owner, and Unix seconds."""

    key: str
    at: int


class ConsentRecord(Strict):
    """Somebody agreed: what they were to say, what was heard, and the recording's hash."""

    schema_version: Literal[1] = SCHEMA
    id: str
    name: str
    language: str
    given: Given
    phrase: str
    heard: str
    word_error_rate: float
    recording_sha256: str
    imported_at: int | None = None
    """When it came from another installation; `given.at` is then what that said."""

    def shown(self) -> VoiceConsent:
        """Return it as clients see it."""
        return VoiceConsent(id=self.id, name=self.name, language=self.language, created_at=self.given.at)


class SampleRecord(Strict):
    """A sample that a voice was cloned from, and how alike its speaker is to the consent's."""

    sha256: str
    seconds: float
    likeness: float


class VoiceRecord(Strict):
    """A voice: `consent` and `samples` of a cloned one, `blend` of a designed one."""

    schema_version: Literal[1] = SCHEMA
    id: str
    kind: Literal["designed", "cloned"]
    name: str
    language: str
    made: Given
    consent: str | None = None
    samples: tuple[SampleRecord, ...] = ()
    blend: dict[str, float] | None = None
    imported_at: int | None = None
