"""The reader: MiniLM tuned to read a question and a piece of a page together, for whether the piece
answers it.

`tools/reader` makes it, from the matcher on; its file is packed as the matcher's. It sees what
vectors of two texts apart cannot: that the piece is about another plan, another version, another
property of the same thing.
"""

from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from twofold.clients import bert, minilm, weights
from twofold.clients.kept import KeptVectors
from twofold.clients.matcher import REMEDY, unpacked
from twofold.clients.runtime import BatchThreads, batches, cores, kept_session, padded

PACKAGE, FILE = "twofold", "assets/reader.safetensors"
SHA256: Final = "e935017ed347721b9e9c8029b151281531d65e8f324b7ad1978c9c6cdaa3ed96"
LONGEST: Final = 160
"""Tokens of question and piece together, in training as well."""
QUESTION: Final = 72
"""Tokens of a question; of a longer one its beginning and its end are read."""
KEPT: Final = 20_000
"""Pairs whose odds are remembered: replays and evals put a question again and again."""


class Reader:
    """Turns a question and pieces into log odds. Safe to call from many threads."""

    def __init__(self, cache: Path, threads: int = 0) -> None:
        """Opens the model as an embedder is opened, but at the first question. Raises SetupError
        where its file is missing or damaged."""
        weights.verified(PACKAGE, FILE, SHA256, REMEDY)
        self._cache = cache
        self._threads = BatchThreads(threads or cores(), "read")
        self._opening = Lock()
        self._kept = KeptVectors(KEPT)
        self._model: tuple[ort.InferenceSession, Pairs] | None = None

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        """Returns the log odds (len(pieces),) that each piece answers, against that none does."""
        names = {piece: f"{question}\0{piece}" for piece in pieces}
        found = self._kept.known(names.values())
        if missing := [piece for piece, name in names.items() if name not in found]:
            odds = self._read(question, missing).astype(np.float16)
            read = {names[piece]: odds[i : i + 1] for i, piece in enumerate(missing)}
            self._kept.keep(read)
            found |= read
        every = [found[names[piece]] for piece in pieces]
        return np.concatenate(every).astype(np.float32) if every else np.empty(0, np.float32)

    def _read(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        session, pairs = self._opened()
        rows = [pairs.joined(question, piece) for piece in pieces]
        found = np.empty(len(rows), np.float32)

        def run(batch: list[int]) -> None:
            ids, mask = padded([rows[i][0] for i in batch], minilm.PAD)
            second = mask.copy()
            for at, i in enumerate(batch):
                second[at, : rows[i][1]] = 0
            inputs = {"ids": ids, "mask": mask, "second": second}
            found[batch] = session.run(None, inputs)[0][:, 0]

        self._threads.each(run, batches([len(ids) for ids, _ in rows], self._threads.count))
        return found

    def _opened(self) -> "tuple[ort.InferenceSession, Pairs]":
        with self._opening:
            if self._model is None:
                stem = f"reader-{SHA256[:12]}-{minilm.BUILDER}"
                self._model = kept_session(self._cache, stem, _build), Pairs(minilm.tokenizer())
            return self._model


class Pairs:
    """Tokens of a question and a piece in one text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """`tokenizer` neither pads nor truncates."""
        self._tokenizer = tokenizer

    def joined(self, question: str, piece: str) -> tuple[list[int], int]:
        """Returns the tokens of the pair, and how many of them are the question's."""
        asked, text = self._tokenizer.encode_batch_fast([question, piece], add_special_tokens=False)
        own = asked.ids
        if len(own) > QUESTION:
            own = own[: QUESTION // 2] + own[-QUESTION // 2 :]
        first = [minilm.CLS, *own, minilm.SEP]
        return [*first, *text.ids[: LONGEST - len(first) - 1], minilm.SEP], len(first)


def _build(unsigned: bool) -> bytes:
    packaged = minilm.read_safetensors(minilm.verified("model.safetensors", minilm.WEIGHTS_SHA256))
    own = unpacked(minilm.read_safetensors(weights.verified(PACKAGE, FILE, SHA256, REMEDY)))
    return bert.build_of_pairs(packaged | own, minilm.SIZES, unsigned=unsigned)
