"""KServe's protocols at Chattr's door: authenticated, counted as demand, and passed on to the predictor as they are."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.streaming import opened
from chatacter.contracts.whose import TENANT_HEADER
from chattr.dependencies import InferDep, OwnerDep
from chattr.ports.media import Question
from chattr.usecases.infer import Infer

router = APIRouter(tags=["KServe"], dependencies=[Depends(scope("inference"))])

ModelName = Annotated[str, Path(description="A model of Vocalizr or Visualizr; GET /v2/models lists them")]
PASSED_ON: Final = ("content-type", "accept", "inference-header-content-length")
ANY_JSON: Final[dict[str, Any]] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


@router.post("/v1/models/{model_name}:predict", response_class=Response, openapi_extra=ANY_JSON)
async def predict(model_name: ModelName, request: Request, infer: InferDep, owner: OwnerDep) -> Response:
    """Ask a model by KServe's V1 protocol."""
    return await passed_on(infer, request, "/v1/models/{model}:predict", model_name, owner.tenant)


@router.get("/v2")
async def server() -> dict[str, Any]:
    """Describe this door."""
    return {"name": "chatacter", "version": "2", "extensions": ["binary_tensor_data"]}


@router.get("/v2/models")
async def models(infer: InferDep) -> dict[str, Any]:
    """List the models of every predictor that answers, and those `away`, with the reason."""
    found, away = await infer.models()
    return {"models": found, "away": away}


@router.get("/v2/models/{model_name}", response_class=Response)
async def metadata(model_name: ModelName, request: Request, infer: InferDep, owner: OwnerDep) -> Response:
    """Describe a model."""
    return await passed_on(infer, request, "/v2/models/{model}", model_name, owner.tenant)


@router.get("/v2/models/{model_name}/ready", response_class=Response)
async def ready(model_name: ModelName, request: Request, infer: InferDep, owner: OwnerDep) -> Response:
    """Say whether a model is ready."""
    return await passed_on(infer, request, "/v2/models/{model}/ready", model_name, owner.tenant)


@router.post("/v2/models/{model_name}/infer", response_class=Response, openapi_extra=ANY_JSON)
async def infer_v2(model_name: ModelName, request: Request, infer: InferDep, owner: OwnerDep) -> Response:
    """Ask a model by the Open Inference Protocol, in JSON or with binary tensors."""
    return await passed_on(infer, request, "/v2/models/{model}/infer", model_name, owner.tenant)


async def passed_on(infer: Infer, request: Request, path: str, model: str, tenant: str) -> Response:
    """Let the predictor answer; what it sends streams through."""
    headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    headers[TENANT_HEADER] = tenant
    answer = await infer.ask(model, Question(request.method, path, await request.body(), headers))
    return await opened(answer.chunks, answer.media_type, answer.headers)
