"""The models of one process: a request names the one that speaks."""

from collections.abc import Sequence

from chatacter.chassis.errors import NotFound
from chatacter.contracts.speech import SpeechRequest, Voice, VoiceList
from vocalizr.synthesize import Synthesizer


class Speakers:
    """One speech model or several."""

    def __init__(self, synthesizers: Sequence[Synthesizer]) -> None:
        self._by_name = {synthesizer.model: synthesizer for synthesizer in synthesizers}

    def named(self, request: SpeechRequest) -> Synthesizer:
        """Return who is to speak. Raises `NotFound` with the models that are served."""
        if request.model not in self._by_name:
            served = ", ".join(self._by_name)
            raise NotFound(f"model: there is no such model here. Served: {served}.", param="model")
        return self._by_name[request.model]

    async def voices(self, tenant: str) -> VoiceList:
        """List all voices that a tenant can ask for.

        Among several, those of a model that is not in memory are not worth loading it.
        """
        if len(self._by_name) == 1:
            return VoiceList(data=list(await next(iter(self._by_name.values())).listed(tenant)))
        found: list[Voice] = []
        away: dict[str, str] = {}
        for name, synthesizer in self._by_name.items():
            told = synthesizer.loading.told() or (None if synthesizer.loading.present else "not in memory")
            if told is None:
                found += await synthesizer.listed(tenant)
            else:
                away[name] = told
        return VoiceList(data=found, away=away)
