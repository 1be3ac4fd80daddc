"""Visualizr over HTTP."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from pydantic import SecretStr, TypeAdapter, ValidationError

from chatacter.chassis.deadline import Deadline
from chatacter.contracts.video import VideoEvent, VideoGenerationRequest, VideoProgress
from chattr.adapters.predictor_http import JSON, Place, PredictorHttp

GENERATIONS: Final = "/v1/video/generations"
EVENT: Final[TypeAdapter[VideoEvent]] = TypeAdapter(VideoEvent)


class VisualizrHttp(PredictorHttp):
    """A `Filmer`, and an `Inference`. Visualizr sends something each second, so that silence means that it is lost."""

    def __init__(self, url: str, *models: str, token: SecretStr | None = None, silence: float = 30.0) -> None:
        super().__init__(Place.of("Visualizr", url, *models), token=token, silence=silence)

    async def film(self, request: VideoGenerationRequest, deadline: Deadline) -> AsyncGenerator[VideoEvent]:
        """Yield progress, then the film or why there is none."""
        body = request.model_dump_json(exclude_none=True).encode()
        response = await self.opened("POST", GENERATIONS, deadline, body=body, headers=JSON)
        async with aclosing(self.events(response)) as events:
            async for data in events:
                if data == b"[DONE]":
                    continue
                event = self._event(data)
                yield event
                if not isinstance(event, VideoProgress):
                    return
        raise self.broke_off()

    def _event(self, data: bytes) -> VideoEvent:
        try:
            return EVENT.validate_json(data)
        except ValidationError:
            self.parsed(data)  # it may be an error that says what is wrong
            raise self.unreadable() from None
