"""The fakes of Vocalizr and Visualizr as servers, so that one suite runs over a fake and over HTTP to it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import FastAPI, Request, Response

from chatacter.chassis import problems
from chatacter.chassis.deadline import Deadline
from chatacter.chassis.streaming import SSE, opened, sse
from chatacter.contracts.speech import SpeechRequest, VoiceList
from chatacter.contracts.video import VideoGenerationRequest
from chatacter.contracts.whose import TENANT_HEADER
from chattr.adapters.fakes.media import FakeFilmer, FakeSpeaker

LONG = 60.0


class Seen:
    """What arrived: each request's path, the peer of its connection, and its headers."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.peers: list[tuple[str, int]] = []
        self.headers: list[dict[str, str]] = []
        self.broken: Response | None = None

    def note(self, request: Request) -> None:
        assert request.client is not None
        self.paths.append(request.url.path)
        self.peers.append((request.client.host, request.client.port))
        self.headers.append(dict(request.headers))


async def speech_events(speaker: FakeSpeaker, body: SpeechRequest, tenant: str) -> AsyncGenerator[bytes]:
    async with aclosing(speaker.speech_events(body, Deadline.after(LONG), tenant)) as found:
        async for event in found:
            yield sse(event.model_dump_json().encode())


async def video_events(filmer: FakeFilmer, body: VideoGenerationRequest) -> AsyncGenerator[bytes]:
    async with aclosing(filmer.film(body, Deadline.after(LONG))) as found:
        async for event in found:
            yield sse(event.model_dump_json().encode())


def tenant_of(request: Request) -> str:
    return request.headers[TENANT_HEADER]


def predictor_app(speaker: FakeSpeaker, filmer: FakeFilmer, seen: Seen) -> FastAPI:
    """Both predictors' doors on one application."""
    app = FastAPI(openapi_url=None)
    problems.install(app)

    @app.get("/v1/models")
    async def models(request: Request) -> dict[str, object]:
        seen.note(request)
        return {"object": "list", "data": [], "models": [*speaker.served, *filmer.served]}

    @app.get("/v1/audio/voices")
    async def voices(request: Request) -> VoiceList:
        return VoiceList(data=list((await speaker.voices(Deadline.after(LONG), tenant_of(request))).found))

    @app.post("/v1/audio/speech", response_model=None)
    async def speech(request: Request, body: SpeechRequest) -> Response:
        seen.note(request)
        if body.stream_format == "sse":
            return seen.broken or await opened(speech_events(speaker, body, tenant_of(request)), SSE)
        return seen.broken or await opened(speaker.speak(body, Deadline.after(LONG), tenant_of(request)), "audio/wav")

    @app.post("/v1/video/generations", response_model=None)
    async def generations(request: Request, body: VideoGenerationRequest) -> Response:
        seen.note(request)
        return seen.broken or await opened(video_events(filmer, body), SSE)

    return app
