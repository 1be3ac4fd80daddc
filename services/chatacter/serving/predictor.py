"""kserve.Model over any job that takes a validated request and gives back one row of named values."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, ValidationError

from chatacter.chassis.auth import DEFAULT_TENANT
from chatacter.chassis.errors import InvalidInput
from chatacter.contracts.whose import TENANT_HEADER
from chatacter.serving.kserve_import import InferOutput, InferRequest, InferResponse, Model
from chatacter.serving.licences import Licence
from chatacter.serving.loading import Loading

MAX_ROWS: Final = 16

DataType = Literal["BYTES", "FP32", "INT64", "BOOL"]
NUMPY: Final[Mapping[DataType, Any]] = {"BYTES": np.object_, "FP32": np.float32, "INT64": np.int64, "BOOL": np.bool_}

RequestT = TypeVar("RequestT", bound=BaseModel)
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One named value of a row, as a tensor of shape [rows]. A `structured` one is JSON text in a BYTES tensor.

    Raw bytes travel as base64, also in the binary extension: KServe's own client reads every BYTES tensor as text.
    """

    name: str
    datatype: DataType
    structured: bool = False

    @property
    def metadata(self) -> dict[str, Any]:
        """Describe it as KServe's model metadata does."""
        return {"name": self.name, "datatype": self.datatype, "shape": [-1]}


@dataclass(frozen=True, slots=True)
class Job(Generic[RequestT]):
    """What a predictor does: the shape of one request, the work, and the tensors of KServe's second protocol.

    The work is told the tenant that asks.
    """

    request: type[RequestT]
    work: Callable[[RequestT, str], Awaitable[Row]]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


class Predictor(Model, Generic[RequestT]):  # type: ignore[misc]
    """A model at KServe's doors. Rows of one request are done one after the other, each through the model's gate."""

    def __init__(
        self,
        name: str,
        loading: Loading,
        job: Job[RequestT],
        licence: Callable[[], Licence | None] = lambda: None,
        device: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(name)
        self.loading = loading
        self.licence = licence
        self.device = device
        self._job = job

    async def healthy(self) -> bool:
        """Tell KServe's data plane whether the model is ready."""
        return await self.loading.check() is None

    def load(self) -> bool:
        """Report only: the data plane calls this in the event loop, so it must not load anything."""
        return self.loading.ready

    def get_input_types(self) -> list[dict[str, Any]]:
        """Describe the inputs."""
        return [tensor.metadata for tensor in self._job.inputs]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Describe the outputs."""
        return [tensor.metadata for tensor in self._job.outputs]

    async def predict(
        self,
        payload: dict[str, Any] | InferRequest | bytes,
        headers: dict[str, str] | None = None,
        response_headers: dict[str, str] | None = None,
    ) -> dict[str, Any] | InferResponse:
        """Answer either protocol. Raises `InvalidInput` for rows that are not requests, and what the work raises.

        `headers` name the tenant: they come from our own doors, which know the caller.
        """
        tenant = (headers or {}).get(TENANT_HEADER, DEFAULT_TENANT)
        if isinstance(payload, InferRequest):
            return await self._infer(payload, tenant)
        rows = instances(payload)
        done = [await self._done(row, f"instances.{number}", tenant) for number, row in enumerate(rows)]
        return {"predictions": [plain(row) for row in done]}

    async def _done(self, row: Row, where: str, tenant: str) -> Row:
        try:
            request = self._job.request.model_validate(row)
        except ValidationError as error:
            mistake = error.errors(include_input=False, include_url=False)[0]
            field = ".".join(str(part) for part in (where, *mistake["loc"]))
            raise InvalidInput(f"{field}: {mistake['msg']}", param=field) from error
        return await self._job.work(request, tenant)

    async def _infer(self, request: InferRequest, tenant: str) -> InferResponse:
        wanted = self._wanted(request)
        rows = rows_of(request, self._job.inputs)
        done = [await self._done(row, f"inputs.{number}", tenant) for number, row in enumerate(rows)]
        return InferResponse(
            response_id=request.id,
            model_name=self.name,
            infer_outputs=[output(tensor, done, binary=binary) for tensor, binary in wanted],
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )

    def _wanted(self, request: InferRequest) -> list[tuple[Tensor, bool]]:
        """Return the outputs asked for, each with whether it is to be binary."""
        known = {tensor.name: tensor for tensor in self._job.outputs}
        if not request.request_outputs:
            return [(tensor, bool(request.use_binary_outputs)) for tensor in known.values()]
        if any(asked.name not in known for asked in request.request_outputs):
            raise InvalidInput(f"outputs: this model has {', '.join(known)}.", param="outputs")
        return [(known[asked.name], bool(asked.binary_data)) for asked in request.request_outputs]


def instances(payload: object) -> list[Row]:
    """Return the rows of KServe's first protocol. Raises `InvalidInput`."""
    rows = payload.get("instances") if isinstance(payload, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput('Send JSON: {"instances": [{…}, …]}, each an object.', param="instances")
    return bounded(rows, "instances")


def rows_of(request: InferRequest, inputs: Sequence[Tensor]) -> list[Row]:
    """Turn tensors of equal length into rows. Raises `InvalidInput`."""
    known = {tensor.name: tensor for tensor in inputs}
    columns: dict[str, list[Any]] = {}
    for given in request.inputs:
        if given.name not in known:
            raise InvalidInput(f"inputs: this model takes {', '.join(known)}.", param="inputs")
        columns[given.name] = column(given.as_numpy(), known[given.name])
    if not columns or len({len(values) for values in columns.values()}) != 1:
        raise InvalidInput("inputs: send tensors of the same length, a value for each row.", param="inputs")
    rows: list[Row] = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return bounded(rows, "inputs")


def bounded(rows: list[Row], param: str) -> list[Row]:
    """Refuse more rows than one request may bring."""
    if len(rows) > MAX_ROWS:
        raise InvalidInput(f"{param}: at most {MAX_ROWS} at a time.", param=param)
    return rows


def column(values: np.ndarray, tensor: Tensor) -> list[Any]:
    """Read a tensor's values; text may come as bytes."""
    texts = [value.decode() if isinstance(value, bytes) else value for value in np.ravel(values).tolist()]
    return [orjson.loads(text) for text in texts] if tensor.structured else texts


def output(tensor: Tensor, rows: Sequence[Row], *, binary: bool) -> InferOutput:
    """Write one output's values as a tensor of shape [rows]."""
    values = np.array([written(row[tensor.name]) for row in rows], dtype=NUMPY[tensor.datatype])
    result = InferOutput(name=tensor.name, shape=[len(rows)], datatype=tensor.datatype)
    result.set_data_from_numpy(values, binary_data=binary)
    return result


def written(value: Any) -> Any:
    """Write one value of an output; structures become JSON text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def plain(row: Row) -> dict[str, Any]:
    """Write a row as JSON can hold it."""
    return {
        name: base64.b64encode(value).decode() if isinstance(value, bytes) else value for name, value in row.items()
    }
