"""The one table from errors to HTTP, and the one place that writes an error body."""

import logging
import math
from collections.abc import Mapping
from typing import NamedTuple

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from chatacter.chassis import errors
from chatacter.contracts.problem import PROBLEM_JSON, OpenAIError, OpenAIErrorBody, Problem

logger = logging.getLogger(__name__)


class Mapped(NamedTuple):
    """How one kind of error looks from outside."""

    status: int
    title: str
    openai_type: str


# Looked up along an error's class hierarchy, so that a subclass needs a row only where it differs.
TABLE: Mapping[type[errors.ChatacterError], Mapped] = {
    errors.NotFound: Mapped(404, "Not found", "invalid_request_error"),
    errors.Unsupported: Mapped(422, "Not supported", "invalid_request_error"),
    errors.TooLarge: Mapped(413, "Too large", "invalid_request_error"),
    errors.Conflict: Mapped(409, "Conflict", "invalid_request_error"),
    errors.Stale: Mapped(412, "Changed since", "invalid_request_error"),
    errors.InvalidInput: Mapped(422, "Invalid input", "invalid_request_error"),
    errors.Unauthenticated: Mapped(401, "API key required", "authentication_error"),
    errors.Forbidden: Mapped(403, "Not allowed", "permission_error"),
    errors.NotBuilt: Mapped(501, "Not built yet", "not_implemented_error"),
    errors.Busy: Mapped(429, "Busy", "rate_limit_error"),
    errors.Unavailable: Mapped(503, "Temporarily unavailable", "server_error"),
    errors.DeadlineExceeded: Mapped(504, "Took too long", "server_error"),
    errors.OutOfMemory: Mapped(507, "Out of memory", "server_error"),
    errors.UpstreamFailed: Mapped(502, "A provider failed", "server_error"),
    errors.Cancelled: Mapped(499, "Cancelled", "cancelled_error"),
    errors.Misconfigured: Mapped(503, "The server is not set up for this", "server_error"),
    errors.ChatacterError: Mapped(500, "Internal error", "server_error"),
}

INTERNAL = "Something went wrong on our side. Quote the trace id when you report it."
UNKNOWN_ROUTE = "There is nothing at this address. GET /openapi.json lists what there is."
NO_JSON = "The body is not JSON: {why}{where}."
NO_OBJECT = "Send a JSON object as the body, with the header `Content-Type: application/json`."
# What pydantic calls a body that is missing, or of another kind, where an object is wanted.
NO_OBJECTS = frozenset({"missing", "model_attributes_type", "dict_type"})
WRONG_METHOD = "This address does not take this method; the Allow header lists those it takes."


def mapped(error: errors.ChatacterError) -> Mapped:
    """Find the row of an error's nearest class."""
    return next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)


def trace_id() -> str | None:
    """Return the current trace's id in hex, or None outside a trace."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def problem_of(error: errors.ChatacterError) -> Problem:
    """Describe an error as a problem."""
    row = mapped(error)
    return Problem(
        type=f"urn:chatacter:problem:{error.code.replace('_', '-')}",
        title=row.title,
        status=row.status,
        detail=error.message,
        instance=trace_id(),
        param=error.param,
        retry_after=error.retry_after,
    )


def openai_body(error: errors.ChatacterError) -> OpenAIErrorBody:
    """Describe an error as OpenAI clients expect it."""
    row = mapped(error)
    return OpenAIErrorBody(
        error=OpenAIError(message=error.message, type=row.openai_type, param=error.param, code=error.code)
    )


def whole_seconds(retry_after: float) -> str:
    """Write when to come back as `Retry-After` takes it: in whole seconds, at least one."""
    return str(max(1, math.ceil(retry_after)))


def response_of(error: errors.ChatacterError, path: str) -> Response:
    """Write an error for the door that it was asked at: OpenAI's shape under `/v1/`, a problem elsewhere."""
    row = mapped(error)
    headers = {"cache-control": "no-store"}
    if error.retry_after is not None:
        headers["retry-after"] = whole_seconds(error.retry_after)
    if row.status == 401:  # RFC 9110, section 11.6.1
        headers["www-authenticate"] = "Bearer"
    if path.startswith("/v1/"):
        body, media_type = openai_body(error).model_dump(), "application/json"
    else:
        body, media_type = problem_of(error).model_dump(exclude_none=True), PROBLEM_JSON
    return Response(orjson.dumps(body), status_code=row.status, headers=headers, media_type=media_type)


def install(app: FastAPI) -> None:
    """Make `app` answer every error by the table. Put `Unexpected` around it for what is not in the table."""

    async def known(connection: HTTPConnection, error: Exception) -> Response | None:
        assert isinstance(error, errors.ChatacterError)
        if isinstance(connection, WebSocket):  # not accepted yet: the handshake is answered with 403
            await connection.close(code=1008, reason=error.message)
            return None
        return response_of(error, connection.url.path)

    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return response_of(first_mistake(error), request.url.path)

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return plain_http(error, request.url.path)

    app.add_exception_handler(errors.ChatacterError, known)  # type: ignore[arg-type]  # serves HTTP and WebSocket
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)


class Unexpected:
    """The innermost middleware: an error that nobody meant is logged within its trace, and its answer tells nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; where its answer has begun already, break it off."""
        started = False

        async def noting(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except errors.ChatacterError:  # a limit's own
            raise
        except Exception as error:
            if scope["type"] != "http":
                raise
            logger.error("unhandled error", exc_info=error, extra={"error.type": type(error).__name__})
            trace.get_current_span().set_attribute("error.type", type(error).__name__)
            if started:
                raise
            await response_of(errors.ChatacterError(INTERNAL), scope["path"])(scope, receive, send)


def first_mistake(error: RequestValidationError) -> errors.InvalidInput:
    """Tell the first thing that is wrong, where it is, and how many more there are. Never repeats the input."""
    mistakes = error.errors()
    first = mistakes[0]
    if first["type"] == "json_invalid":
        where = f", at character {first['loc'][-1]}" if first["loc"] else ""  # pydantic says it in its reason
        return errors.InvalidInput(NO_JSON.format(why=first["ctx"]["error"], where=where))
    if first["loc"] == ("body",) and first["type"] in NO_OBJECTS:
        return errors.InvalidInput(NO_OBJECT)
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    more = f" ({len(mistakes) - 1} more)" if len(mistakes) > 1 else ""
    return errors.InvalidInput(f"{where or 'body'}: {first['msg']}{more}", param=where or None)


def plain_http(error: HTTPException, path: str) -> Response:
    """Give the framework's own refusals (unknown route, wrong method, unreadable body) the house's form."""
    if error.status_code == 404:
        response = response_of(errors.NotFound(UNKNOWN_ROUTE), path)
    elif error.status_code == 405:
        response = response_of(errors.InvalidInput(WRONG_METHOD), path)
    else:
        response = response_of(errors.InvalidInput("The request could not be read."), path)
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response
