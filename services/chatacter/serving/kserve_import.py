"""The one place where kserve is imported, because importing it has a side effect.

`kserve/__init__.py` imports `kserve.model_server`, which parses the command line; a process that was started with
arguments of its own could be ended by that. While it is imported, the command line is empty.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_arguments() -> Iterator[None]:
    """Hide the command line, and the warnings that concern kserve's own application, for the length of the block."""
    arguments, sys.argv = sys.argv, sys.argv[:1]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.argv = arguments


with no_arguments():
    from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository
    from kserve.constants.constants import INFERENCE_CONTENT_LENGTH_HEADER
    from kserve.errors import InvalidInput as KServeInvalidInput
    from kserve.protocol.dataplane import DataPlane
    from kserve.protocol.grpc import grpc_predict_v2_pb2 as v2_messages
    from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as v2_service
    from kserve.protocol.rest.v2_datamodels import InferenceRequest, InferenceResponse, ModelMetadataResponse

__all__ = [
    "INFERENCE_CONTENT_LENGTH_HEADER",
    "DataPlane",
    "InferOutput",
    "InferRequest",
    "InferResponse",
    "InferenceRequest",
    "InferenceResponse",
    "KServeInvalidInput",
    "Model",
    "ModelMetadataResponse",
    "ModelRepository",
    "v2_messages",
    "v2_service",
]
