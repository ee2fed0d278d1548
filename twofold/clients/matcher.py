"""The matcher: MiniLM tuned to what customers ask, for how near a piece of text comes to an answer.

`tools/matcher` makes it. Its file holds what differs from the packaged MiniLM: all but the words'
vectors. Linear layers are in 8 bits with one step per row, but for the columns that `bert` keeps in
float; what is built from them multiplies these very integers.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt

from twofold.clients import minilm, weights
from twofold.clients.bert import Columns, integers
from twofold.clients.embedder import MiniLM
from twofold.clients.graph import Array
from twofold.clients.kept import KeptVectors

PACKAGE, FILE = "twofold", "assets/matcher.safetensors"
SHA256: Final = "a08e1116263f633b157f0575d26945878316230141f5800fe46919b3c4fa8fbb"
REMEDY: Final = "install Twofold again"
LONGEST: Final = 128
"""Tokens of a text that are read, in training as well."""
KEPT: Final = 60_000
"""Texts whose vectors are remembered: a KB each."""
WORDS: Final = "embeddings.word_embeddings.weight"


class Matcher:
    """Turns texts into unit vectors and remembers them: questions find the same pieces again.
    Safe to call from many threads."""

    def __init__(self, cache: Path, threads: int = 0) -> None:
        """Opens the model as an embedder is opened, but at the first text: who only indexes
        needs none. Raises SetupError where its file is missing or damaged."""
        weights.verified(PACKAGE, FILE, SHA256, REMEDY)
        self._open = partial(_Tuned.open, cache, threads)
        self._tuned: _Tuned | None = None
        self._opening = Lock()
        self._kept = KeptVectors(KEPT)

    def vectors(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Returns a vector (384,) for each text."""
        wanted = dict.fromkeys(texts)
        found = self._kept.known(wanted)
        if missing := [text for text in wanted if text not in found]:
            vectors = self._opened().embed(missing).astype(np.float16)
            learnt = dict(zip(missing, vectors, strict=True))
            self._kept.keep(learnt)
            found |= learnt
        return {text: vector.astype(np.float32) for text, vector in found.items()}

    def _opened(self) -> "_Tuned":
        with self._opening:
            if self._tuned is None:
                self._tuned = self._open()
            return self._tuned


class _Tuned(MiniLM):
    max_tokens = LONGEST
    _stem = f"matcher-{SHA256[:12]}-{minilm.BUILDER}"

    @classmethod
    def _weights(cls) -> dict[str, Array]:
        file = weights.verified(PACKAGE, FILE, SHA256, REMEDY)
        return super()._weights() | unpacked(minilm.read_safetensors(file))


def asked_in_turn(message: str, earlier: Sequence[str]) -> str:
    """Returns a question with what its customer said before: the message, then the earlier ones,
    newest first."""
    return "\n".join([message, *reversed(earlier)])


def packed(whole: dict[str, Array]) -> dict[str, Array]:
    """Returns the file's tensors, of the float ones that the graph is built from; `unpacked`
    undoes it."""
    found: dict[str, Array] = {}
    for name, array in whole.items():
        columns = exact_columns(name)
        if columns is None:
            found[name] = array.astype(np.float16 if array.ndim > 1 else np.float32)
            continue
        whole_numbers, steps, exact = integers(array.astype(np.float32), columns)
        found |= {name: whole_numbers.astype(np.int8), name + ".steps": steps}
        if columns:
            found[name + ".exact"] = exact.astype(np.float16)
    found.pop(WORDS, None)
    return found


def unpacked(found: dict[str, Array]) -> dict[str, Array]:
    whole = {}
    for name, array in found.items():
        if name.endswith((".steps", ".exact")):
            continue
        made = array.astype(np.float32)
        if (steps := found.get(name + ".steps")) is not None:
            made = made * steps[:, None]
            if (exact := found.get(name + ".exact")) is not None:
                made[:, list(exact_columns(name) or ())] = exact
        whole[name] = made
    return whole


def exact_columns(name: str) -> Columns | None:
    """Returns the columns that the graph keeps in float of a layer that it multiplies in
    integers; None for any other layer."""
    number, _, part = name.removeprefix("encoder.layer.").partition(".")
    if part == "output.dense.weight":
        return minilm.SIZES.gelu_outliers[int(number)]
    if part in ("attention.self.query.weight", "attention.self.key.weight",
                "intermediate.dense.weight"):  # fmt: skip
        return minilm.SIZES.outliers
    return () if part == "attention.output.dense.weight" else None
