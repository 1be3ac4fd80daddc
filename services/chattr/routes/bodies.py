"""Bodies of JSON that a route reads by itself: large ones in a thread, so that nobody else waits meanwhile."""

from typing import Any, TypeVar

import anyio.to_thread
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

Shape = TypeVar("Shape", bound=BaseModel)


async def large(request: Request, shape: type[Shape]) -> Shape:
    """Return what a request carries. Raises `RequestValidationError`."""
    body = await request.body()
    return await anyio.to_thread.run_sync(read, shape, body)


def read(shape: type[Shape], body: bytes) -> Shape:
    """Read a body. Raises `RequestValidationError`. Blocks for a second where there are 32 MiB of it."""
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise mistaken(error) from error


def mistaken(error: ValidationError) -> RequestValidationError:
    """Say what is wrong as for every other body."""
    return RequestValidationError(error.errors(include_url=False, include_input=False))


def described(shape: type[BaseModel]) -> dict[str, Any]:
    """Describe a body, for OpenAPI; the shapes within it are those that other doors have too."""
    schema = shape.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
