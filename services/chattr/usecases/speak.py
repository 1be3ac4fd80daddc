"""Speech: a request's voice may be a character; what runs is counted as demand."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from chatacter.chassis.deadline import Deadline
from chatacter.chassis.errors import NotFound, Unsupported
from chatacter.contracts.speech import SpeechDelta, SpeechDone, SpeechRequest, VoiceList
from chattr.domain.identity import Owner
from chattr.ports.casting import Casting
from chattr.ports.demand import Demand
from chattr.ports.media import Speaker
from chattr.usecases.serving import LISTING_SECONDS, require_served, served, told

SWITCHED_OFF: Final = "Voice generation is switched off here (ENABLE_VOICE_GENERATION=false)."


class Speak:
    """Says what it is given. Without a speaker voice generation is switched off."""

    def __init__(
        self, speaker: Speaker | None, casting: Casting, demand: Demand, *, model: str, seconds: float
    ) -> None:
        self._speaker = speaker
        self._casting = casting
        self._demand = demand
        self._model = model
        self._seconds = seconds

    @property
    def model(self) -> str:
        """The speech model that characters speak with where nobody names one."""
        return self._model

    @property
    def enabled(self) -> bool:
        """Whether there is a voice at all."""
        return self._speaker is not None

    async def speak(self, owner: Owner, request: SpeechRequest) -> AsyncGenerator[bytes]:
        """Yield encoded sound as it is made. Raises `NotFound` for an unknown model or voice before the first."""
        speaker = self._on()
        asked = await self._resolved(owner, speaker, request)
        async with (
            self._demand.holding("speech", asked.model),
            aclosing(speaker.speak(asked, Deadline.after(self._seconds), owner.tenant)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def events(self, owner: Owner, request: SpeechRequest) -> AsyncGenerator[SpeechDelta | SpeechDone]:
        """Yield sound with the timings of its phonemes."""
        speaker = self._on()
        asked = await self._resolved(owner, speaker, request)
        async with (
            self._demand.holding("speech", asked.model),
            aclosing(speaker.speech_events(asked, Deadline.after(self._seconds), owner.tenant)) as events,
        ):
            async for event in events:
                yield event

    async def voices(self, tenant: str) -> VoiceList:
        """Return the voices of every model that answers, the tenant's own too, and why the others do not."""
        listing = await self._on().voices(Deadline.after(LISTING_SECONDS), tenant)
        return VoiceList(data=list(listing.found), model=self._model, away=told(listing.away))

    async def resolved(self, owner: Owner, request: SpeechRequest) -> SpeechRequest:
        """Return a request as its predictor understands it. Raises `NotFound` for an unknown model or voice."""
        return await self._resolved(owner, self._on(), request)

    async def _resolved(self, owner: Owner, speaker: Speaker, request: SpeechRequest) -> SpeechRequest:
        """Put a character's voice in its place, and the model that this voice belongs to where the character says."""
        if not request.model:
            listing = await speaker.models(Deadline.after(LISTING_SECONDS))
            raise NotFound(f"`model` is empty. {served([listing])}", param="model")
        actor = await self._casting.actor(owner, request.voice_id, filmed=False)
        voice = actor.voice if actor else request.voice_id
        model = (actor.speech_model if actor else None) or request.model
        await require_served(speaker, "speech", model)
        return request.model_copy(update={"voice": voice, "model": model})

    def _on(self) -> Speaker:
        if self._speaker is None:
            raise Unsupported(SWITCHED_OFF)
        return self._speaker
