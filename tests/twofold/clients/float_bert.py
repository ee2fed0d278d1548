"""BERT in numpy and float, to hold the 8-bit graphs against."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import erf

Vectors = npt.NDArray[np.float32]


class Reference:
    """The fp32 forward pass, as the model cards have it, one text at a time."""

    def __init__(self, weights: Mapping[str, Vectors], layers: int) -> None:
        self.weights = weights
        self.layers = layers

    def __call__(self, words: Vectors) -> Vectors:
        mean = self.states(words, [0] * len(words)).mean(0)
        unit: Vectors = mean / np.linalg.norm(mean)
        return unit

    def states(self, words: Vectors, kinds: Sequence[int]) -> Vectors:
        """Of the last layer (tokens, 384)."""
        place, kind = (
            self.weights[f"embeddings.{name}_embeddings.weight"]
            for name in ("position", "token_type")
        )
        states = self.norm(words + place[: len(words)] + kind[list(kinds)], "embeddings")
        for number in range(self.layers):
            states = self.layer(states, f"encoder.layer.{number}")
        return states

    def layer(self, states: Vectors, name: str) -> Vectors:
        query, key, value = (
            self.dense(states, f"{name}.attention.self.{part}").reshape(-1, 12, 32).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(query @ key.swapaxes(1, 2) / math.sqrt(32))
        context = (scores / scores.sum(-1, keepdims=True)) @ value
        context = context.swapaxes(0, 1).reshape(-1, 384)
        out = self.dense(context, f"{name}.attention.output.dense")
        states = self.norm(states + out, f"{name}.attention.output")
        wide = self.dense(states, f"{name}.intermediate.dense")
        wide = wide * (1 + erf(wide / math.sqrt(2))).astype(np.float32) / 2
        return self.norm(states + self.dense(wide, f"{name}.output.dense"), f"{name}.output")

    def dense(self, states: Vectors, name: str) -> Vectors:
        return states @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def norm(self, states: Vectors, name: str) -> Vectors:
        gain, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        centred = states - states.mean(-1, keepdims=True)
        spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        scaled: Vectors = centred / spread * gain + bias
        return scaled
