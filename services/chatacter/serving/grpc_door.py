"""KServe's second protocol over gRPC, at a port of its own: the same models, keys, limits, errors and drain as by REST.

Whether the server lives, and whether it or a model is ready, is told to anyone; the rest needs a key with the scope
`inference`. Models cannot be loaded or unloaded. Source: Open Inference Protocol, "gRPC".
"""

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from grpc import StatusCode, aio, stream_unary_rpc_method_handler
from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, Tracer

from chatacter.chassis import errors
from chatacter.chassis.auth import Keyring, allowed, bearer_token
from chatacter.chassis.drain import Drain
from chatacter.chassis.problems import INTERNAL, trace_id, whole_seconds
from chatacter.chassis.provenance import HEADERS
from chatacter.chassis.whose import Whose, whose_of
from chatacter.contracts.whose import TENANT_HEADER
from chatacter.serving.grpc_calls import Calls
from chatacter.serving.kserve_import import InferRequest, KServeInvalidInput, v2_messages, v2_service
from chatacter.serving.protocol import NOT_V2, Models
from chatacter.serving.settings import PredictorSettings

logger = logging.getLogger(__name__)

SERVICE: Final = "inference.GRPCInferenceService"
# A client is asked to connect anew so often: it finds new replicas, and has left one that ends within the time between
# the end of its address and SIGTERM, which is 5 s in the chart. Calls that run come to their end.
CONNECTION_SECONDS: Final = 4
NO_VERSIONS: Final = "Models have no versions here: leave the version out."
NO_LOADING: Final = "Models are not loaded or unloaded from outside."
# The methods that need a key.
KEYED: Final = frozenset({"ServerMetadata", "ModelMetadata", "ModelInfer"})
# Those that are open to anyone, and whose answer is the same whatever is asked.
UNREAD: Final = frozenset({"ServerLive", "ServerReady", "RepositoryModelLoad", "RepositoryModelUnload"})

# Looked up along an error's class hierarchy, like the table for HTTP in `chassis.problems`.
CODES: Final[Mapping[type[errors.ChatacterError], StatusCode]] = {
    errors.InvalidInput: StatusCode.INVALID_ARGUMENT,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.Conflict: StatusCode.FAILED_PRECONDITION,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.Forbidden: StatusCode.PERMISSION_DENIED,
    errors.NotBuilt: StatusCode.UNIMPLEMENTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.Busy: StatusCode.RESOURCE_EXHAUSTED,
    errors.OutOfMemory: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.UpstreamFailed: StatusCode.UNAVAILABLE,
    errors.Cancelled: StatusCode.CANCELLED,
    errors.Misconfigured: StatusCode.FAILED_PRECONDITION,
    errors.ChatacterError: StatusCode.INTERNAL,
}

# With which of them a server's span is an error. Source: OpenTelemetry, "Semantic conventions for gRPC".
FAULTS: Final = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)


@dataclass(frozen=True, slots=True)
class House:
    """What the calls of a service share with its other doors."""

    models: Models
    keyring: Keyring
    tracer: Tracer
    settings: PredictorSettings


def code_of(error: errors.ChatacterError) -> StatusCode:
    """Find the status of an error's nearest class."""
    return next(CODES[kind] for kind in type(error).__mro__ if kind in CODES)


def bound(settings: PredictorSettings, door: "Door") -> aio.Server:
    """Make a server and bind its port, before anything is loaded. Raises `Misconfigured` when the port is taken."""
    server = aio.server(
        interceptors=[Porter(door)],
        options=[
            ("grpc.max_receive_message_length", settings.max_request_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),  # else a second process would take half of the calls
            ("grpc.max_connection_age_ms", 1000 * CONNECTION_SECONDS),
        ],
    )
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise errors.Misconfigured(
            f"GRPC_PORT: {host}:{settings.grpc_port} cannot be listened on. Stop what uses the port, or choose another."
        ) from error
    return server


def opened(house: House, drain: Drain) -> AbstractAsyncContextManager[None]:
    """Bind the port, and return what answers calls at it. Raises `Misconfigured` when the port is taken."""
    door = Door(house, Calls(drain, house.settings.request_timeout))
    return serving(bound(house.settings, door), door, drain)


@asynccontextmanager
async def serving(server: aio.Server, door: "Door", drain: Drain) -> AsyncIterator[None]:
    """Answer calls for the length of the block; once the drain begins no new ones, and the others have its time."""
    v2_service.add_GRPCInferenceServiceServicer_to_server(door, server)
    await server.start()
    ending = asyncio.create_task(door.calls.ended(server), name="drain gRPC")
    try:
        yield
    finally:
        drain.begin()
        await ending


class Door(v2_service.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """The calls of the protocol."""

    def __init__(self, house: House, calls: Calls) -> None:
        self._house = house
        self._models = house.models
        self.calls = calls

    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802, D102 - names of the protocol
        async with self._answering("ServerLive", context):
            return v2_messages.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("ServerReady", context):
            told = [await self._models.named(name).loading.check() for name in self._models.required]
            return v2_messages.ServerReadyResponse(ready=not any(told))

    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("ModelReady", context):
            told = await named(self._models, request.name, request.version).loading.check()
            return v2_messages.ModelReadyResponse(ready=told is None)

    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("ServerMetadata", context):
            self._asked_by(context)
            return v2_messages.ServerMetadataResponse(**self._models.metadata.model_dump())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("ModelMetadata", context):
            self._asked_by(context)
            named(self._models, request.name, request.version)
            told = await self._models.plane.model_metadata(request.name)
            kept = {name: told[name] for name in ("name", "platform", "inputs", "outputs")}
            return v2_messages.ModelMetadataResponse(**kept)

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("ModelInfer", context):
            asked = self._asked_by(context)
            headers = {**headers_of(context.invocation_metadata()), TENANT_HEADER: asked.tenant}
            async with self.calls.bounded():
                answer = await self._inferred(request, headers)
            await context.send_initial_metadata(tuple(HEADERS.items()))
            return answer

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("RepositoryModelLoad", context):
            raise errors.NotBuilt(NO_LOADING)

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        async with self._answering("RepositoryModelUnload", context):
            raise errors.NotBuilt(NO_LOADING)

    async def _inferred(self, request: Any, headers: dict[str, str]) -> Any:
        name = request.model_name
        await named(self._models, name, request.model_version).loading.obtain()
        answer, _ = await self._models.plane.infer(name, decoded(request), headers)
        return answer.to_grpc()

    async def turn_away(self, method: str, found: errors.ChatacterError, _: Any, context: Any) -> None:
        """End a call that may not come in with what was found; its message is not read."""
        async with self._answering(method, context):
            raise found

    def _asked_by(self, context: Any) -> Whose:
        return self.asked_by(headers_of(context.invocation_metadata()))

    def asked_by(self, headers: Mapping[str, str]) -> Whose:
        """Say whose data a call may touch. Raises `Unauthenticated`, `Forbidden`, `InvalidInput`."""
        caller = self._house.keyring.identify(bearer_token(headers))
        return whose_of(allowed(caller, "inference"), headers)

    @asynccontextmanager
    async def _answering(self, method: str, context: Any) -> AsyncIterator[None]:
        """Take a call. One whose block raises ends with the status of the error; what nobody meant tells nothing."""
        with self._traced(method, context) as span:
            try:
                self.calls.enter()
                yield
            except errors.ChatacterError as error:
                ended(span, code_of(error))
                await context.abort(code_of(error), error.message, refusal_of(error))
            except Exception as error:
                logger.error("unhandled error", exc_info=error, extra={"error.type": type(error).__name__})
                span.set_attribute("error.type", type(error).__name__)
                ended(span, StatusCode.INTERNAL)
                await context.abort(StatusCode.INTERNAL, INTERNAL, refusal_of(errors.ChatacterError(INTERNAL)))
            except asyncio.CancelledError:
                ended(span, StatusCode.CANCELLED)
                raise
            else:
                ended(span, StatusCode.OK)

    @contextmanager
    def _traced(self, method: str, context: Any) -> Iterator[Span]:
        """Go on with the caller's trace. Source: OpenTelemetry, "Semantic conventions for gRPC"."""
        span = self._house.tracer.start_as_current_span(
            f"{SERVICE}/{method}",
            context=propagate.extract(headers_of(context.invocation_metadata())),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": method},
            record_exception=False,  # its text may be the user's, and `abort` raises for what is only refused
            set_status_on_exception=False,
        )
        with span as begun:
            yield begun


class Porter(aio.ServerInterceptor):  # type: ignore[misc]
    """Asks for the key before a call's message is read, as by REST: else anyone could fill the memory with messages.

    Nor is a message read of which nothing is asked. `ModelReady` is open to all and has the model's name read, in a
    message of MAX_REQUEST_BYTES at most: gRPC knows no bound for one method.
    """

    def __init__(self, door: Door) -> None:
        self._door = door

    async def intercept_service(self, continuation: Any, call: Any) -> Any:
        """Say who answers a call: the door, with or without the message, or who turns away and reads nothing."""
        method = call.method.rpartition("/")[2]
        if method in KEYED:
            try:
                self._door.asked_by(headers_of(call.invocation_metadata))
            except errors.ChatacterError as error:
                return stream_unary_rpc_method_handler(partial(self._door.turn_away, method, error))
        known = await continuation(call)
        if known is None or method not in UNREAD:
            return known
        return stream_unary_rpc_method_handler(known.unary_unary, response_serializer=known.response_serializer)


def ended(span: Span, code: StatusCode) -> None:
    """Write down how a call ended; what is the caller's own doing is no error of the server's."""
    span.set_attribute("rpc.grpc.status_code", code.value[0])
    if code in FAULTS:
        span.set_status(trace.StatusCode.ERROR)


def headers_of(metadata: Iterable[tuple[str, Any]]) -> dict[str, str]:
    """Read a call's metadata as headers are read; what is binary is none."""
    return {name: value for name, value in metadata if isinstance(value, str)}


def named(models: Models, name: str, version: str) -> Any:
    """Return a model. Raises `NotFound`, for a version too: there are none."""
    if version:
        raise errors.NotFound(NO_VERSIONS, param="version")
    return models.named(name)


def refusal_of(error: errors.ChatacterError) -> Sequence[tuple[str, str]]:
    """Write what goes beside the sentence of an error, as metadata: when to come back, and the trace to quote."""
    told = [("error-code", error.code)]
    if error.retry_after is not None:
        told.append(("retry-after", whole_seconds(error.retry_after)))
    trace_of = trace_id()
    if trace_of is not None:
        told.append(("trace-id", trace_of))
    return tuple(told)


def decoded(request: Any) -> InferRequest:
    """Read a request; its outputs are raw where its inputs are. Raises `InvalidInput`, whatever is wrong with it."""
    raw = request.raw_input_contents
    if raw and (len(raw) != len(request.inputs) or any(given.HasField("contents") for given in request.inputs)):
        raise errors.InvalidInput(NOT_V2, param="raw_input_contents")
    try:
        found = InferRequest.from_grpc(request)
        for given in found.inputs:
            given.as_numpy()
    except (KServeInvalidInput, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise errors.InvalidInput(NOT_V2) from error
    for output in found.request_outputs or ():
        output.parameters = None  # `binary_data` belongs to REST
    return found
