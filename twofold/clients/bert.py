"""BERT as an 8-bit ONNX graph, written with numpy alone.

Linear layers are integer products: weights hold one scale per output column, activations one scale
per token, found on the fly. A token is therefore never rounded by what its batch mates hold, which
the usual dynamic quantisation (one scale per batch) does. What rounding hurts stays in float: the
value projections, attention, normalisation, pooling, and the few columns in which a model holds
its outliers (in MiniLM the first or last token of a text can have nearly all of its length in
column 99, and one scale for it and the rest would leave the rest at zero).
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import onnxruntime as ort  # type: ignore[import-untyped]

from twofold.clients.graph import Array, Graph, tensor

DIMENSION: Final = 384
"""Of MiniLM's and e5's states."""

_GELU_MIN = 0.17
"""GELU never falls below minus this."""
_GELU_ZERO = 24
"""Zero point of quantised GELU output: nearly all of the range goes to its positive side."""

DISTANCES: Final = "distances"
"""What weights name `_Builder.distances` by, if they have them."""

Columns = tuple[int, ...]


class Sizes(NamedTuple):
    """What models of one build differ in."""

    layers: int
    max_tokens: int
    outliers: Columns
    """Columns of the hidden states with the largest peaks, over all layers."""
    gelu_outliers: tuple[Columns, ...]
    """The same of each layer's GELU output."""
    dimension: int = DIMENSION
    heads: int = 12
    wide: int = 1536
    epsilon: float = 1e-12
    """Of normalisation."""


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


def build(
    weights: Mapping[str, Array],
    sizes: Sizes,
    *,
    unsigned: bool = False,
    centre: Array | None = None,
) -> bytes:
    """Returns the bytes of a model: tokens and `mask` int32 (batch, length) -> `vectors` (batch,
    384), unit rows.

    Tokens are `ids` int32 (batch, length) where `weights` hold the words' vectors, else `words`
    float32 (batch, length, 384). `unsigned` stores the same integers shifted by 128, for
    processors whose signed kernel saturates (see `signed_products_saturate`); the vectors are
    the same. `centre` (384,) is taken off every unit vector, and what is left is made a unit
    again.
    """
    return _Builder(weights, sizes, unsigned).model(centre)


def build_of_pairs(weights: Mapping[str, Array], sizes: Sizes, *, unsigned: bool = False) -> bytes:
    """Returns the bytes of a model for two texts in one: `ids` and `mask`, int32 (batch, length),
    -> `logits` float32 (batch, 1).

    The head is `wide` over the first token's state and the mean of all, and `odds` over that.
    """
    return _Builder(weights, sizes, unsigned).model_of_pairs()


def signed_products_saturate() -> bool:
    """Returns whether this processor's uint8 x int8 product overflows: x86 without VNNI adds two
    products in 16 bits. The unsigned product is exact everywhere, and half as fast where both
    are."""
    depth = 64
    graph = Graph()
    graph.node(
        "MatMulInteger", "a", graph.constant("b", np.full((depth, 16), 127, np.int8)), out="y"
    )
    model = graph.model([tensor("a", np.uint8, 4, depth)], [tensor("y", np.int32, 4, 16)])
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": np.full((4, depth), 255, np.uint8)})
    return bool(np.any(np.asarray(product) != 255 * 127 * depth))


def integers(weight: Array, columns: Columns) -> tuple[Array, Array, Array]:
    """Returns a linear layer (out, in) in 8 bits: whole numbers of steps with zeros in
    `columns`, the step of each row, and those columns as they are."""
    exact = weight[:, list(columns)]
    rest = weight.copy()
    rest[:, list(columns)] = 0
    steps = np.abs(rest).max(axis=1) / np.float32(127)
    return np.rint(rest / steps[:, None]), steps, exact


class _Builder:
    def __init__(self, weights: Mapping[str, Array], sizes: Sizes, unsigned: bool) -> None:
        self.weights = weights
        self.sizes = sizes
        self.unsigned = unsigned
        self.graph = Graph()
        self._distances = ""

    def model(self, centre: Array | None) -> bytes:
        graph = self.graph
        # The sum points where the mean does, and vectors are made unit length anyway.
        pooled, _ = self.summed(self.states())
        if centre is not None:
            unit = graph.node("LpNormalization", pooled, axis=-1, p=2)
            pooled = graph.node("Sub", unit, graph.constant("centre", centre.astype(np.float32)))
        graph.node("LpNormalization", pooled, axis=-1, p=2, out="vectors")
        return graph.model(
            [self.words, tensor("mask", np.int32, "batch", "length")],
            [tensor("vectors", np.float32, "batch", self.sizes.dimension)],
        )

    def model_of_pairs(self) -> bytes:
        graph = self.graph
        states = self.states()
        pooled, weight = self.summed(states)
        length = graph.node("ReduceSum", weight, self.ints("one", 1), keepdims=0)
        first = graph.node("Gather", states, graph.constant("start", np.array(0, np.int64)), axis=1)
        both = graph.node("Concat", first, graph.node("Div", pooled, length), axis=-1)
        self.dense(graph.node("Tanh", self.dense(both, "wide")), "odds", out="logits")
        return graph.model(
            [self.words, tensor("mask", np.int32, "batch", "length")],
            [tensor("logits", np.float32, "batch", 1)],
        )

    def states(self) -> str:
        """Adds the layers and returns the name of the last one's hidden states."""
        states = self.embeddings()
        for number in range(self.sizes.layers):
            states = self.layer(number, states)
        return states

    def summed(self, states: str) -> tuple[str, str]:
        """Adds the sum (batch, 384) of the states of all tokens; returns its name and that of
        what each token counts."""
        graph = self.graph
        weight = graph.node("Unsqueeze", graph.node("Cast", "mask", to=1), self.ints("last", -1))
        weighed = graph.node("Mul", states, weight)
        return graph.node("ReduceSum", weighed, self.ints("one", 1), keepdims=0), weight

    def dense(self, rows: str, name: str, out: str = "") -> str:
        """Adds a linear layer in float and returns its output's name."""
        weight = self.graph.constant(name, self.weights[name + ".weight"].astype(np.float32).T)
        return self.graph.node("Gemm", rows, weight, self.bias(name), out=out)

    def embeddings(self) -> str:
        graph, prefix = self.graph, "embeddings."
        places = self.weights[prefix + "position_embeddings.weight"][: self.sizes.max_tokens]
        if (kinds := self.weights.get(prefix + "token_type_embeddings.weight")) is not None:
            places = places + kinds[0]
        table = self.weights.get(prefix + "word_embeddings.weight")
        word = "words"
        if table is not None:
            words = graph.constant("words", table.astype(np.float16))
            word = graph.node("Cast", graph.node("Gather", words, "ids"), to=1)
        length = graph.node("Shape", "mask", start=1)
        zero = self.ints("zero", 0)
        place = graph.node("Slice", graph.constant("places", places), zero, length, zero)
        return self.normalised(graph.node("Add", word, place), prefix)

    @property
    def words(self) -> bytes:
        if "embeddings.word_embeddings.weight" in self.weights:
            return tensor("ids", np.int32, "batch", "length")
        return tensor("words", np.float32, "batch", "length", self.sizes.dimension)

    def layer(self, number: int, states: str) -> str:
        graph, prefix = self.graph, f"encoder.layer.{number}."
        self_prefix = prefix + "attention.self."
        tokens = self.quantised(states, self.sizes.outliers)
        bias = np.concatenate(
            [self.weights[f"{self_prefix}{part}.bias"] for part in ("query", "key", "value")]
        )
        value = graph.constant(self_prefix + "value", self.weights[self_prefix + "value.weight"].T)
        context = graph.node(
            "MultiHeadAttention",
            self.folded(self.product(tokens, self_prefix + "query")),
            self.folded(self.product(tokens, self_prefix + "key")),
            graph.node("MatMul", states, value),
            graph.constant(self_prefix + "bias", bias),
            "mask",
            *self.distances(),
            num_heads=self.sizes.heads,
        )
        dense = prefix + "attention.output."
        out = self.product(self.quantised(context), dense + "dense")
        states = self.residual(out, states, dense)

        wide = prefix + "intermediate.dense"
        active = graph.node(
            "BiasGelu",
            self.product(self.quantised(states, self.sizes.outliers), wide),
            self.bias(wide),
        )
        out = self.product(
            self.quantised_gelu(active, self.sizes.gelu_outliers[number]), prefix + "output.dense"
        )
        return self.residual(out, states, prefix + "output.")

    def distances(self) -> list[str]:
        """Returns the name of what attention adds for how far apart two tokens are, where the
        weights have it: DISTANCES (heads, tokens, tokens), the same in all layers."""
        if (held := self.weights.get(DISTANCES)) is None:
            return []
        graph, zero = self.graph, self.ints("zero", 0)
        if not self._distances:
            length = graph.node("Shape", "mask", start=1)
            rows = graph.node("Slice", graph.constant("distances", held[None]), zero, length,
                              self.ints("rows.axis", 2))  # fmt: skip
            self._distances = graph.node("Slice", rows, zero, length, self.ints("columns.axis", 3))
        return [self._distances]

    def residual(self, out: str, states: str, prefix: str) -> str:
        # Add, Add, LayerNormalization: ONNX Runtime's fused SkipLayerNormalization is slower.
        out = self.graph.node("Add", self.folded(out), self.bias(prefix + "dense"))
        return self.normalised(self.graph.node("Add", out, states), prefix)

    def normalised(self, states: str, prefix: str) -> str:
        gain, bias = (
            self.graph.constant(prefix + name, self.weights[f"{prefix}LayerNorm.{name}"])
            for name in ("weight", "bias")
        )
        return self.graph.node(
            "LayerNormalization", states, gain, bias, axis=-1, epsilon=self.sizes.epsilon
        )

    def quantised(self, states: str, columns: Columns = ()) -> _Tokens:
        graph, axis = self.graph, self.ints("one", 1)
        rows = graph.node("Reshape", states, self.ints("rows", -1, self.sizes.dimension))
        rows, outliers = self.split(rows, columns, self.sizes.dimension)
        top = graph.node("ReduceMax", rows, axis, keepdims=0)
        bottom = graph.node("Neg", graph.node("ReduceMin", rows, axis, keepdims=0))
        peak = graph.node("Max", top, bottom, self.float("tiny", 1e-9))
        scale = graph.node("Mul", peak, self.float("step", 1 / 127))
        return _Tokens(*self.rounded(rows, scale, 128), columns, outliers)

    def quantised_gelu(self, rows: str, columns: Columns) -> _Tokens:
        graph = self.graph
        rows, outliers = self.split(rows, columns, self.sizes.wide)
        peak = graph.node("ReduceMax", rows, self.ints("one", 1), keepdims=0)
        scale = graph.node("Mul", peak, self.float("gelu.step", 1 / (255 - _GELU_ZERO)))
        scale = graph.node("Max", scale, self.float("gelu.least", _GELU_MIN / _GELU_ZERO))
        return _Tokens(*self.rounded(rows, scale, _GELU_ZERO), columns, outliers)

    def split(self, rows: str, columns: Columns, width: int) -> tuple[str, str]:
        """Splits `rows` and returns two names: rows with zeros in `columns`, and those columns
        alone."""
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
        """Adds the product, float32 (tokens, width out), without the layer's bias, and returns
        its name."""
        graph = self.graph
        whole, steps, exact = integers(self.weights[name + ".weight"], tokens.columns)
        if self.unsigned:
            stored, zero = (whole.T + 128).astype(np.uint8), np.array(128, np.uint8)
        else:
            stored, zero = whole.T.astype(np.int8), np.array(0, np.int8)
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
        if not tokens.columns:
            return out
        return graph.node("Gemm", tokens.outliers, graph.constant(name + ".exact", exact.T), out)

    def folded(self, rows: str) -> str:
        """Folds states (tokens, width) back to (batch, length, width); returns their name."""
        width = self.ints("width", self.sizes.dimension)
        shape = self.graph.node("Concat", self.graph.node("Shape", "mask"), width, axis=0)
        return self.graph.node("Reshape", rows, shape)

    def bias(self, name: str) -> str:
        return self.graph.constant(name + ".bias", self.weights[name + ".bias"].astype(np.float32))

    def float(self, name: str, value: float) -> str:
        return self.graph.constant(name, np.array(value, np.float32))

    def ints(self, name: str, *values: int) -> str:
        return self.graph.constant(name, np.array(values, np.int64))
