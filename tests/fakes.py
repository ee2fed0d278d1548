"""Real implementations of the kernel's interfaces, small and without weights or files."""

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twofold.index.contract import Chunk, Embedded, Fingerprint, Hit, Scope, SparseVector
from twofold.index.sparse import Bm25Encoder
from twofold.ledger import Ledger
from twofold.settings import Settings
from twofold.stack import Stack


class HashingEmbedder:
    """Bags of hashed words as unit vectors: equal words give near vectors. A word is a token."""

    name = "hashing"
    dimension = 64
    max_tokens = 256

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        self.embedded += texts
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        for row, text in enumerate(texts):
            for word, times in Counter(text.lower().split()).items():
                place = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest())
                vectors[row, place % self.dimension] += math.sqrt(times)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors / np.where(norms == 0, 1, norms)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class DictIndex:
    """The index interface over a dict; what `Scope.admits` says is what a search finds."""

    def __init__(self) -> None:
        self.points: dict[str, Embedded] = {}
        self.writes = 0

    def upsert(self, points: Sequence[Embedded]) -> None:
        self.writes += 1
        self.points.update((point.chunk.id, point) for point in points)

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        self.writes += 1
        for chunk in chunks:
            self.points[chunk.id] = self.points[chunk.id]._replace(chunk=chunk)

    def delete(self, ids: Sequence[str]) -> None:
        self.writes += 1
        for id in ids:
            self.points.pop(id, None)

    def search(
        self, dense: npt.NDArray[np.float32], sparse: SparseVector, scope: Scope, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        admitted = [point for point in self.points.values() if scope.admits(point.chunk)]
        near = (Hit(point.chunk, float(dense @ point.dense)) for point in admitted)
        terms = dict(zip(sparse.indices, sparse.values, strict=True))
        shared = (Hit(point.chunk, _dot(terms, point.sparse)) for point in admitted)
        return _best(near, limit), _best((hit for hit in shared if hit.score > 0), limit)

    def score(
        self,
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        scope: Scope,
        by_meaning: Sequence[str],
        by_words: Sequence[str],
    ) -> tuple[dict[str, float], dict[str, float]]:
        near, shared = self.search(dense, sparse, scope, len(self.points))
        return (
            {hit.chunk.id: hit.score for hit in near if hit.chunk.id in by_meaning},
            {hit.chunk.id: hit.score for hit in shared if hit.chunk.id in by_words},
        )

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        return [self.points[id].chunk for id in ids if id in self.points]

    def ids(self, workspace: str, source: str | None = None) -> Iterator[str]:
        for id, point in self.points.items():
            if point.chunk.workspace == workspace and source in (None, point.chunk.source):
                yield id

    def count(self) -> int:
        return len(self.points)

    def close(self) -> None:
        pass


def make_stack(
    home: Path,
    *,
    index: DictIndex | None = None,
    embedder: HashingEmbedder | None = None,
    settings: Settings | None = None,
) -> Stack:
    """A stack whose ledger lies under `home`; a second one on the same folder shares it."""
    settings = settings or Settings(home=home)
    return Stack(
        settings=settings,
        ledger=open_ledger(settings.ledger),
        index=index if index is not None else DictIndex(),
        embedder=embedder or HashingEmbedder(),
        sparse=Bm25Encoder(),
        fingerprint=Fingerprint("1", f"1/{settings.chunk_tokens}", "hashing", "bm25"),
    )


def open_ledger(url: str) -> Ledger:
    """A ledger of SQLite begins as a copy of an empty one: migrations take a tenth of a second."""
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path.write_bytes(_empty())
    return Ledger(url)


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger(f"sqlite:///{path}").close()
        return path.read_bytes()


def _dot(terms: dict[int, float], sparse: SparseVector) -> float:
    pairs = zip(sparse.indices, sparse.values, strict=True)
    return sum(terms.get(index, 0.0) * value for index, value in pairs)


def _best(hits: Iterator[Hit], limit: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: -hit.score)[:limit]
