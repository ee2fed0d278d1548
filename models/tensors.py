"""Weights in safetensors files, with numpy alone: nothing here needs torch."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twofold.errors import InvalidInput

_NUMBERS: Final = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}

Floats = NDArray[np.float32]


class Tensor(NamedTuple):
    """Holds a tensor of a safetensors file, its bytes as they lie there."""

    dtype: str
    shape: tuple[int, ...]
    data: memoryview

    def floats(self) -> Floats:
        """Raises InvalidInput on a type that no weight to be merged has."""
        if self.dtype not in _NUMBERS:
            raise InvalidInput(f"Weights of type {self.dtype} cannot be merged: quantise later.")
        values = np.frombuffer(self.data, _NUMBERS[self.dtype]).reshape(self.shape)
        if self.dtype == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32)

    def holding(self, values: Floats) -> "Tensor":
        """Returns a tensor of the same dtype with other values."""
        if self.dtype == "BF16":
            return self._replace(data=memoryview(bfloat16(values).tobytes()))
        return self._replace(data=memoryview(values.astype(_NUMBERS[self.dtype]).tobytes()))


def bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Returns the upper half of each float, rounded to the nearest, to the even one on a tie."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def read_tensors(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Raises InvalidInput where the file is no whole safetensors."""
    data = memoryview(path.read_bytes())
    try:
        size = int.from_bytes(data[:8], "little")
        head: dict[str, Any] = json.loads(bytes(data[8 : 8 + size]))
        body = data[8 + size :]
        for name, each in head.items():
            if name == "__metadata__":
                continue
            start, end = each["data_offsets"]
            if end > len(body):
                raise ValueError("it is cut short")
            yield name, Tensor(each["dtype"], tuple(each["shape"]), body[start:end])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{path} is no whole safetensors file: {error}") from error


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    head: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        end = at + len(tensor.data)
        shape = list(tensor.shape)
        head[name] = {"dtype": tensor.dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for tensor in tensors.values():
            file.write(tensor.data)
