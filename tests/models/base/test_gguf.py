"""GGUF as llama.cpp writes it: what is put in comes out, and what is no GGUF is refused."""

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base.gguf import read_gguf
from twofold.errors import InvalidInput


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def key(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return text(name) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        inner = b"".join(map(text, value))
        return text(name) + struct.pack("<IIQ", 9, 8, len(value)) + inner
    return text(name) + struct.pack("<II", 4, value)


def file(keys: dict[str, Any], tensors: dict[str, tuple[int, tuple[int, ...], bytes]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(keys))
    head += b"".join(key(name, value) for name, value in keys.items())
    body = b""
    for name, (kind, shape, data) in tensors.items():
        head += text(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", size) for size in reversed(shape))
        head += struct.pack("<IQ", kind, len(body))
        body += data + b"\0" * (-len(data) % 32)
    return head + b"\0" * (-len(head) % 32) + body


def test_keys_and_shapes_come_out_as_they_went_in() -> None:
    flat = np.arange(64, dtype=np.float32)
    made = file({"a": "ü", "n": 7, "list": ["x", "yz"]}, {"w": (0, (2, 32), flat.tobytes())})
    found = read_gguf(made)
    assert found.keys == {"a": "ü", "n": 7, "list": ["x", "yz"]}
    assert dict(found.read())["w"].tolist() == flat.reshape(2, 32).tolist()


def test_four_bits_are_a_scale_times_a_nibble_plus_the_least() -> None:
    nibbles = np.arange(32) % 16
    packed = (nibbles[:16] | (nibbles[16:] << 4)).astype(np.uint8)
    block = np.array([0.5, -2.0], np.float16).tobytes() + packed.tobytes()
    found = dict(read_gguf(file({}, {"w": (3, (1, 32), block)})).read())["w"]
    assert found.tolist() == [[0.5 * n - 2.0 for n in nibbles]]


def test_eight_bits_are_a_scale_times_a_signed_byte() -> None:
    block = np.array([0.25], np.float16).tobytes() + np.arange(-16, 16, dtype=np.int8).tobytes()
    found = dict(read_gguf(file({}, {"w": (8, (1, 32), block)})).read())["w"]
    assert found.tolist() == [[0.25 * n for n in range(-16, 16)]]


def test_another_quantisation_is_named() -> None:
    with pytest.raises(InvalidInput, match="w is quantised"):
        list(read_gguf(file({}, {"w": (14, (1, 32), b"\0" * 64)})).read())


@given(st.binary(max_size=200))
def test_what_is_no_gguf_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        read_gguf(data)


@given(st.integers(min_value=4, max_value=90))
def test_a_head_that_is_cut_short_is_refused(length: int) -> None:
    whole = file({"name": "value", "more": ["a", "b"]}, {"w": (0, (1, 32), b"\0" * 128)})
    with pytest.raises(InvalidInput):
        read_gguf(whole[:length])
