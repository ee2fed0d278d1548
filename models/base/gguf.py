"""Reading GGUF, the file format of llama.cpp: its keys, and its tensors as float32.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, version 3, little-endian.
"""

import struct
from collections.abc import Iterator
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twofold.errors import InvalidInput

_MAGIC: Final = b"GGUF"
_VERSION: Final = 3
_ALIGNMENT: Final = 32
_SCALARS: Final = dict(enumerate(("B", "b", "H", "h", "I", "i", "f", "?", "", "", "Q", "q", "d")))
_STRING, _ARRAY = 8, 9
_BLOCK: Final = 32
"""Weights that share a scale."""
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BYTES: Final = {_F32: 4 * _BLOCK, _Q4_1: 4 + _BLOCK // 2, _Q8_0: 2 + _BLOCK}
"""Kind of tensor -> bytes of a block."""


class Gguf(NamedTuple):
    """Reads a GGUF file's tensors as numbers. `keys` are the metadata; `tensors` the name, kind,
    shape (as numpy has it) and offset of each tensor in `data`."""

    keys: dict[str, Any]
    tensors: list[tuple[str, int, tuple[int, ...], int]]
    data: memoryview

    def read(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yields every tensor by name. Raises InvalidInput on a kind of quantisation not known
        here."""
        for name, kind, shape, offset in self.tensors:
            if kind not in _BYTES:
                raise InvalidInput(f"{name} is quantised in a way (type {kind}) not read here.")
            size = prod(shape) // _BLOCK * _BYTES[kind]
            yield name, _floats(kind, self.data[offset : offset + size]).reshape(shape)


def read_gguf(data: bytes) -> Gguf:
    """Raises InvalidInput where it is no GGUF file of version 3, or is cut short."""
    reader = _Reader(memoryview(data))
    try:
        if bytes(reader.take(4)) != _MAGIC or reader.number("I") != _VERSION:
            raise InvalidInput("This is no GGUF file of version 3.")
        tensors, keys = reader.number("Q"), reader.number("Q")
        found = {reader.string(): reader.value(reader.number("I")) for _ in range(keys)}
        listed = [reader.tensor() for _ in range(tensors)]
    except (struct.error, KeyError, UnicodeDecodeError) as error:
        raise InvalidInput("This GGUF file is cut short or damaged.") from error
    alignment = found.get("general.alignment", _ALIGNMENT)
    start = -(-reader.at // alignment) * alignment
    return Gguf(found, listed, reader.data[start:])


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def take(self, size: int) -> memoryview:
        piece = self.data[self.at : self.at + size]
        if len(piece) < size:
            raise struct.error("the file ends")
        self.at += size
        return piece

    def number(self, code: str) -> Any:
        return struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))[0]

    def string(self) -> str:
        return bytes(self.take(self.number("Q"))).decode()

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            inner = self.number("I")
            return [self.value(inner) for _ in range(self.number("Q"))]
        return self.number(_SCALARS[kind])

    def tensor(self) -> tuple[str, int, tuple[int, ...], int]:
        name = self.string()
        shape = tuple(self.number("Q") for _ in range(self.number("I")))[::-1]
        return name, self.number("I"), shape, self.number("Q")


def _floats(kind: int, data: memoryview) -> NDArray[np.float32]:
    """Returns the weights of whole blocks: a scale (and in Q4_1 a least value) and small
    integers."""
    if kind == _F32:
        return np.frombuffer(data, np.float32)
    blocks = np.frombuffer(data, np.uint8).reshape(-1, _BYTES[kind])
    scale = blocks[:, :2].view(np.float16).astype(np.float32)
    if kind == _Q8_0:
        return scale * blocks[:, 2:].view(np.int8)
    least = blocks[:, 2:4].view(np.float16).astype(np.float32)
    packed = blocks[:, 4:]
    return scale * np.hstack((packed & 15, packed >> 4)) + least
