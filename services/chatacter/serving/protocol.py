"""KServe's inference protocols, first and second, as routes of our own application over KServe's data plane.

Lifespan, errors, authentication and drain stay ours. Differences from KServe's server, on purpose: readiness tells the
truth (theirs answers 200 while a model loads), models cannot be loaded or unloaded from outside, a failed prediction
does not show the exception, and a hang-up stops the work. Source: KServe "V1 protocol", Open Inference Protocol "REST".
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from chatacter.chassis.auth import scope
from chatacter.chassis.errors import InvalidInput, NotFound, NotReady
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.streaming import unless_left
from chatacter.chassis.whose import WhoseDep
from chatacter.contracts.whose import TENANT_HEADER
from chatacter.serving.kserve_import import (
    INFERENCE_CONTENT_LENGTH_HEADER,
    DataPlane,
    InferenceRequest,
    InferRequest,
    KServeInvalidInput,
    ModelMetadataResponse,
    ModelRepository,
)
from chatacter.serving.licences import Licence
from chatacter.serving.predictor import Predictor

ModelName = Annotated[str, Path(description="A model that this service serves; GET /v1/models lists them")]

NOT_V1: Final = "The body is not JSON that KServe's V1 protocol knows."
NOT_V2: Final = "The body is not an inference request of the Open Inference Protocol."
V2: Final = "v2"
CLOUD_EVENT: Final = "application/cloudevents+json"
RETRY_AFTER: Final = 5.0

V1_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["instances"],
                    "properties": {"instances": {"type": "array", "minItems": 1, "items": {"type": "object"}}},
                }
            }
        },
    }
}
V2_BODY: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": InferenceRequest.model_json_schema()},
            "application/octet-stream": {},
        },
    }
}


class ModelEntry(BaseModel):
    """A model as OpenAI lists it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "chatacter"
    license: str | None = Field(default=None, description="Licence of the weights: its SPDX identifier or own name")
    license_restriction: str | None = Field(default=None, description="What this licence forbids or limits")
    license_url: str | None = None
    device: str | None = Field(default=None, description="Where a loaded model computes, and in which numbers")


def told_of(licence: Licence | None) -> dict[str, str | None]:
    """Write a licence as an entry's fields."""
    if licence is None:
        return {}
    return {"license": licence.id, "license_restriction": licence.restriction, "license_url": licence.url}


class ModelNames(BaseModel):
    """The answer of `GET /v1/models`: OpenAI's list, and beside it the names as KServe's V1 protocol lists them."""

    object: str = "list"
    data: list[ModelEntry]
    models: list[str]


class ModelState(ModelEntry):
    """One ready model, for clients of OpenAI (`id`) and of KServe (`name`, `ready`)."""

    name: str
    ready: bool


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class Models:
    """The predictors of one service behind KServe's data plane."""

    def __init__(self, server: str, version: str, predictors: Sequence[Predictor[Any]]) -> None:
        self.metadata = ServerMetadata(name=server, version=version, extensions=["binary_tensor_data"])
        self._predictors = {predictor.name: predictor for predictor in predictors}
        repository = ModelRepository()
        for predictor in predictors:
            repository.update(predictor)
        self.plane = DataPlane(repository)

    @property
    def names(self) -> list[str]:
        """The models served."""
        return list(self._predictors)

    @property
    def required(self) -> list[str]:
        """The models without which the service is not ready: the only one, of several those loaded at the start."""
        several = len(self._predictors) > 1
        return [name for name, each in self._predictors.items() if each.loading.required or not several]

    def named(self, name: str) -> Predictor[Any]:
        """Return a model. Raises `NotFound` with the names of those that are served."""
        if name not in self._predictors:
            raise NotFound(f"No such model here. This service serves: {', '.join(self.names)}.", param="model")
        return self._predictors[name]

    def entry(self, name: str) -> ModelEntry:
        """Describe a model as OpenAI lists it. Raises `NotFound`."""
        model = self.named(name)
        device = model.device() if model.loading.present and model.loading.ready else None
        return ModelEntry.model_validate({"id": name, "device": device, **told_of(model.licence())})

    async def ready(self, name: str) -> None:
        """Return if the model is ready; never begins loading it. Raises `NotFound`, `NotReady`."""
        told = await self.named(name).loading.check()
        if told is not None:
            raise NotReady(f"The model {name} is not ready ({told}).", retry_after=RETRY_AFTER)

    async def predict(self, name: str, body: bytes, headers: Mapping[str, str], tenant: str) -> Response:
        """Answer the V1 protocol."""
        await self.named(name).loading.obtain()
        known = {**json_headers(headers), TENANT_HEADER: tenant}
        try:
            payload, attributes = self.plane.decode(body, known)
        except (KServeInvalidInput, ValueError, KeyError, TypeError) as error:
            raise InvalidInput(NOT_V1) from error
        answer, _ = await self.plane.infer(name, payload, known)
        encoded, extra = self.plane.encode(name, answer, known, attributes)
        return response(encoded, {**HEADERS, **extra})

    async def infer(self, name: str, body: bytes, headers: Mapping[str, str], tenant: str) -> Response:
        """Answer the V2 protocol, JSON or with binary tensors."""
        await self.named(name).loading.obtain()
        known = {**headers, TENANT_HEADER: tenant}
        answer, _ = await self.plane.infer(name, decoded(self.plane, name, body, known), known)
        encoded, extra = self.plane.encode(name, answer, {}, {})
        return response(encoded, {**HEADERS, **extra})


def json_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Name the content type as KServe compares it, as a whole: a cloud event, or JSON whatever a client calls it."""
    given = headers.get("content-type", "").partition(";")[0].strip().lower()
    return {**headers, "content-type": given if given == CLOUD_EVENT else "application/json"}


def decoded(plane: DataPlane, name: str, body: bytes, headers: dict[str, str]) -> InferRequest:
    """Read a V2 request. Raises `InvalidInput`, whatever is wrong with it."""
    try:
        content: Any = (
            body if INFERENCE_CONTENT_LENGTH_HEADER in headers else InferenceRequest.model_validate_json(body)
        )
        request, _ = plane.decode(content, headers, protocol_version=V2, model_name=name)
        for tensor in request.inputs:
            tensor.as_numpy()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{NOT_V2} {where or 'body'}: {first['msg']}", param=where or None) from error
    except (KServeInvalidInput, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise InvalidInput(NOT_V2) from error
    return request


def response(encoded: Any, headers: Mapping[str, str]) -> Response:
    """Write what the data plane encoded: bytes when tensors are binary, else JSON."""
    if isinstance(encoded, bytes):
        return Response(encoded, headers=dict(headers), media_type="application/octet-stream")
    return Response(orjson.dumps(encoded), headers=dict(headers), media_type="application/json")


def kserve_router(models: Models) -> APIRouter:
    """Make the routes of both protocols that need a key with the scope `inference`."""
    router = APIRouter(tags=["kserve"], dependencies=[Depends(scope("inference"))])

    @router.get("/v1/models")
    async def names() -> ModelNames:
        """List the models, for clients of OpenAI and of KServe."""
        return ModelNames(data=[models.entry(name) for name in models.names], models=models.names)

    @router.get("/v1/models/{model_name}")
    async def state(model_name: ModelName) -> ModelState:
        """Show a model that is ready; one that is not is a 503."""
        await models.ready(model_name)
        return ModelState(name=model_name, ready=True, **models.entry(model_name).model_dump())

    @router.post("/v1/models/{model_name}:predict", response_model=None, openapi_extra=V1_BODY)
    async def predict(model_name: ModelName, request: Request, asked: WhoseDep) -> Response:
        """Ask a model by KServe's V1 protocol."""
        body = await request.body()
        return await unless_left(request, models.predict(model_name, body, request.headers, asked.tenant))

    @router.get("/v2")
    async def server() -> ServerMetadata:
        """Describe the server. Source: Open Inference Protocol."""
        return models.metadata

    @router.get("/v2/models")
    async def listed() -> dict[str, list[str]]:
        """List the models by name."""
        return {"models": models.names}

    @router.get("/v2/models/{model_name}")
    async def metadata(model_name: ModelName) -> ModelMetadataResponse:
        """Describe what a model takes and gives."""
        models.named(model_name)
        return ModelMetadataResponse.model_validate(await models.plane.model_metadata(model_name))

    @router.post("/v2/models/{model_name}/infer", response_model=None, openapi_extra=V2_BODY)
    async def infer(model_name: ModelName, request: Request, asked: WhoseDep) -> Response:
        """Ask a model by the Open Inference Protocol, in JSON or with binary tensors."""
        body = await request.body()
        return await unless_left(request, models.infer(model_name, body, request.headers, asked.tenant))

    return router


def kserve_probes(models: Models) -> APIRouter:
    """Make the routes that the kubelet asks; like `/readyz` they stay open, because a probe has no key."""
    router = APIRouter(include_in_schema=False)

    @router.get("/v2/health/live")
    async def live() -> dict[str, bool]:
        return {"live": True}

    @router.get("/v2/health/ready")
    async def ready() -> dict[str, bool]:
        for name in models.required:
            await models.ready(name)
        return {"ready": True}

    @router.get("/v2/models/{model_name}/ready")
    async def model_ready(model_name: ModelName) -> dict[str, str | bool]:
        await models.ready(model_name)
        return {"name": model_name, "ready": True}

    return router
