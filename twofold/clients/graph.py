"""An ONNX model, written with numpy alone.

ONNX is protobuf, and a model needs five message types of it; the `onnx` package would add 20 MB to
every installation for these lines. Field numbers: onnx.proto.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}
_CONTRIB = frozenset({"BiasGelu", "MatMulIntegerToFloat", "MatMulNBits", "MultiHeadAttention"})
_MICROSOFT = "com.microsoft"
_OPSET = {"": 20, _MICROSOFT: 1}
_IR_VERSION = 9


class Graph:
    """Nodes and constants, added in order; a name that stands already is not added again."""

    def __init__(self) -> None:
        self.nodes: list[bytes] = []
        self.constants: dict[str, bytes] = {}

    def constant(self, name: str, array: Array) -> str:
        if name not in self.constants:
            self.constants[name] = b"".join(
                [
                    *(_field(1, size) for size in array.shape),
                    _field(2, _TYPES[array.dtype.name]),
                    _field(8, name),
                    _field(9, array.tobytes()),
                ]
            )
        return name

    def node(self, op: str, *inputs: str, out: str = "", **attributes: float) -> str:
        out = out or f"{op}.{len(self.nodes)}"
        self.nodes.append(
            b"".join(
                [
                    *(_field(1, name) for name in inputs),
                    _field(2, out),
                    _field(3, out),
                    _field(4, op),
                    *(_field(5, _attribute(*item)) for item in attributes.items()),
                    _field(7, _MICROSOFT if op in _CONTRIB else ""),
                ]
            )
        )
        return out

    def model(self, inputs: Sequence[bytes], outputs: Sequence[bytes]) -> bytes:
        graph = [
            *_each(1, self.nodes),
            _field(2, "twofold"),
            *_each(5, self.constants.values()),
            *_each(11, inputs),
            *_each(12, outputs),
        ]
        opsets = (_field(1, domain) + _field(2, version) for domain, version in _OPSET.items())
        return b"".join([_field(1, _IR_VERSION), _field(7, b"".join(graph)), *_each(8, opsets)])


def _attribute(name: str, value: float) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, 2)
    return _field(1, name) + _key(2, 5) + np.float32(value).tobytes() + _field(20, 1)


def tensor(name: str, dtype: type[np.generic], *shape: int | str) -> bytes:
    """Returns an input or output; a dimension that is a name may have any size."""
    dims = (_field(1, _field(1 if isinstance(size, int) else 2, size)) for size in shape)
    tensor = _field(1, _TYPES[np.dtype(dtype).name]) + _field(2, b"".join(dims))
    return _field(1, name) + _field(2, _field(1, tensor))


def _each(number: int, messages: Iterable[bytes]) -> Iterable[bytes]:
    return (_field(number, message) for message in messages)


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _key(number, 0) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _key(number, 2) + _varint(len(data)) + data


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # a negative int64 is ten bytes of two's complement
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
