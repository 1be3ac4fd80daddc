"""OpenAI's doors to characters: `GET /v1/models` and `POST /v1/chat/completions`. A model is a character."""

from typing import Any, Final

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from chatacter.chassis.auth import Caller, scope
from chatacter.chassis.streaming import SSE, opened, unless_left
from chatacter.contracts.chat import ChatCompletionRequest
from chattr.dependencies import CastDep, OwnerDep, ReplyDep, owner_of
from chattr.domain.character import Brief
from chattr.routes.cache_headers import CacheUseDep, cache_headers
from chattr.routes.completion import Completion
from chattr.routes.completion_request import ask_of
from chattr.routes.idempotency import HEADER, IdempotentRoute

router = APIRouter(prefix="/v1", tags=["OpenAI"], dependencies=[Depends(scope("chat"))], route_class=IdempotentRoute)

REPLY_HEADER: Final = "x-chatacter-reply-id"


@router.get("/models")
async def list_models(owner: OwnerDep, cast: CastDep) -> JSONResponse:
    """List the characters as models."""
    return JSONResponse({"object": "list", "data": [model_object(each) for each in await cast.list(owner)]})


@router.get("/models/{model}")
async def get_model(model: str, owner: OwnerDep, cast: CastDep) -> JSONResponse:
    """Describe one character as a model."""
    return JSONResponse(model_object(Brief.of(await cast.get(owner, model))))


@router.post("/chat/completions")
async def create_chat_completion(
    body: ChatCompletionRequest, request: Request, caller: Caller, reply: ReplyDep, cache: CacheUseDep
) -> Response:
    """Let a character answer; streamed or whole, stateless or within a conversation."""
    owner = owner_of(caller, request, body.user)
    running = await reply.start(owner, ask_of(body, cache), detached=False)
    completion = Completion(running, body)

    def headers() -> dict[str, str]:
        return {REPLY_HEADER: running.reply_id, **cache_headers(running.cache)}

    if body.stream:
        return await opened(completion.chunks(), SSE, headers)
    whole = completion.whole()
    kept = HEADER in request.headers  # a repetition is to find the answer, whether the first client stayed or not
    answer = await (whole if kept else unless_left(request, whole))
    return JSONResponse(answer, headers=headers())


def model_object(character: Brief) -> dict[str, Any]:
    """Describe a character as a model. Source: OpenAI API reference, "The model object"."""
    return {
        "id": character.id,
        "object": "model",
        "created": 0,
        "owned_by": "chatacter",
        "name": character.name,
        "description": character.description,
    }
