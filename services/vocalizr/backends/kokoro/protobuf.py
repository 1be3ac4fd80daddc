"""Adding an output to an ONNX model without parsing it.

An ONNX file is one protobuf message, and protobuf defines the concatenation of two encoded messages as their merge
(Protocol Buffers, "Encoding": last one wins for scalars, repeated fields are joined). So `graph { output { name } }`
appended to the file makes one more tensor an output. Field numbers: onnx.proto, ModelProto.graph = 7,
GraphProto.output = 12, ValueInfoProto.name = 1.
"""

from typing import Final

LENGTH_DELIMITED: Final = 2
GRAPH: Final = 7
OUTPUT: Final = 12
NAME: Final = 1


def with_output(model: bytes, tensor: str) -> bytes:
    """Return the model with `tensor` among its graph's outputs."""
    return model + field(GRAPH, field(OUTPUT, field(NAME, tensor.encode())))


def field(number: int, content: bytes) -> bytes:
    """Encode one length-delimited field."""
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Encode a non-negative integer, seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
