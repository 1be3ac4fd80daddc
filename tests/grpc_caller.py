"""Asking by gRPC from a test, with KServe's messages and gRPC's synchronous client.

A server or client of `grpc.aio` would tie itself to the event loop of one test, in the process of all of them.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from chatacter.serving.kserve_import import InferResponse, v2_messages, v2_service

SECONDS = 30.0
ROW = {"input": "Hello there.", "voice": "high", "response_format": "wav"}
OPTIONS = [("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1)]


@contextmanager
def calling(port: int) -> Iterator[Any]:
    """KServe's stub; what fails is not tried again."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
        yield v2_service.GRPCInferenceServiceStub(channel)


def request(row: Mapping[str, str], *, model: str, raw: bool = True) -> Any:
    """Ask for one row, with its values as raw bytes or written out."""
    inputs = [v2_messages.ModelInferRequest.InferInputTensor(name=name, datatype="BYTES", shape=[1]) for name in row]
    asked = v2_messages.ModelInferRequest(model_name=model, id="7", inputs=inputs)
    for tensor, value in zip(asked.inputs, row.values(), strict=True):
        if raw:
            asked.raw_input_contents.append(len(value.encode()).to_bytes(4, "little") + value.encode())
        else:
            tensor.contents.bytes_contents.append(value.encode())
    return asked


def speech(*, raw: bool = True, model: str = "puppet", **row: str) -> Any:
    """Ask for a text to be spoken."""
    return request({**ROW, **row}, model=model, raw=raw)


def infer(stub: Any, asked: Any, **metadata: str) -> Any:
    """Call it; names of metadata are written with underscores."""
    return stub.ModelInfer(asked, timeout=SECONDS, metadata=pairs(metadata))


def pairs(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((name.replace("_", "-"), value) for name, value in metadata.items())


@contextmanager
def begun(stub: Any, asked: Any) -> Iterator[Any]:
    """Have a call run beside the block; yields what its answer is had from."""
    future = stub.ModelInfer.future(asked, timeout=SECONDS)
    try:
        yield future
    finally:
        future.cancel()


def output(answer: Any, name: str) -> Any:
    """The only value of an output."""
    return InferResponse.from_grpc(answer).get_output_by_name(name).as_numpy()[0]


def media(answer: Any, name: str = "audio") -> bytes:
    """The sound or film of an answer."""
    return base64.b64decode(output(answer, name))


def refused(call: Callable[[], Any]) -> Any:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as told:
        call()
    return told.value


def beside(error: Any) -> dict[str, str]:
    """What was told beside the sentence."""
    return dict(error.trailing_metadata())
