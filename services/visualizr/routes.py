"""The streaming verb of video: server-sent events from the queue to the finished film."""

import base64
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Depends
from opentelemetry import trace
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import ChatacterError
from chatacter.chassis.problems import INTERNAL
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.streaming import SSE, ClosingStream, opened, sse, unless_left
from chatacter.contracts.video import Rendition, VideoCompleted, VideoFailed, VideoGenerationRequest, VideoProgress
from visualizr.backend import Film, Progress
from visualizr.references import data_url
from visualizr.render import Piece, Renderer

logger = logging.getLogger(__name__)

FILM_RESPONSE = {
    200: {"description": "Server-sent events: progress at least each second, then the film", "content": {SSE: {}}}
}


def video_router(renderer: Renderer) -> APIRouter:
    """Make the routes of one video model."""
    router = APIRouter(tags=["video"])

    @router.post(
        "/v1/video/generations",
        dependencies=[Depends(scope("videos"))],
        response_class=Response,
        responses=FILM_RESPONSE,  # type: ignore[arg-type]
    )
    async def generations(request: VideoGenerationRequest, raw: Request) -> Response:
        """Film. Progress comes at least each second, the film last."""
        return await unless_left(raw, answered(renderer, request))

    return router


async def answered(renderer: Renderer, request: VideoGenerationRequest) -> ClosingStream:
    """Check the request, wait for the first progress, then open the stream."""
    shot = await renderer.checked(request)
    return await opened(events(renderer.film(shot)), SSE, HEADERS)


async def events(pieces: AsyncGenerator[Piece]) -> AsyncGenerator[bytes]:
    """Yield `VideoEvent`s. What fails after the first one is told in an event of its own; what nobody meant, without
    its text.
    """
    begun = False
    async with aclosing(pieces):
        try:
            async for piece in pieces:
                begun = True
                yield event(completed(piece) if isinstance(piece, Film) else progressed(piece))
        except ChatacterError as error:
            if not begun:
                raise
            yield failed(error)
        except Exception as error:
            if not begun:
                raise
            logger.error("unhandled error", exc_info=error, extra={"error.type": type(error).__name__})
            trace.get_current_span().set_attribute("error.type", type(error).__name__)
            yield failed(ChatacterError(INTERNAL))


def failed(error: ChatacterError) -> bytes:
    """Write an error as the last event."""
    return event(VideoFailed(code=error.code, message=error.message, retryable=error.retryable))


def progressed(progress: Progress) -> VideoProgress:
    """Write progress as an event."""
    return VideoProgress(
        progress=progress.done,
        step=progress.step,
        steps=progress.steps,
        preview=data_url(progress.preview) if progress.preview else None,
    )


def completed(film: Film) -> VideoCompleted:
    """Write a film as the last event."""
    return VideoCompleted(
        video=base64.b64encode(film.data).decode(),
        media_type=film.media_type,
        seconds=film.seconds,
        width=film.width,
        height=film.height,
        fps=film.fps,
        metadata=film.metadata,
        renditions=[
            Rendition(variant=small.variant, media_type=small.media_type, data=base64.b64encode(small.data).decode())
            for small in film.renditions
        ],
    )


def event(content: VideoProgress | VideoCompleted | VideoFailed) -> bytes:
    """Write one server-sent event."""
    return sse(content.model_dump_json(exclude_none=True).encode())
