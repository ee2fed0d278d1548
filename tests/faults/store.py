"""The index interface over one SQLite file: several processes share it, and a kill loses nothing
that a call has returned from. What a Qdrant server is to the full size, small enough for a test."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import local

import numpy as np
import orjson

from twofold.index.contract import Chunk, Embedded, SparseVector


class FileIndex:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._threads = local()
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS points"
            " (id TEXT PRIMARY KEY, workspace TEXT, source TEXT, payload BLOB, vectors BLOB)"
        )

    @property
    def _db(self) -> sqlite3.Connection:
        found: sqlite3.Connection | None = getattr(self._threads, "db", None)
        if found is None:
            found = sqlite3.connect(
                self._path, timeout=30, isolation_level=None, check_same_thread=False
            )
            found.execute("PRAGMA journal_mode=WAL")
            found.execute("PRAGMA synchronous=OFF")
            self._threads.db = found
        return found

    def upsert(self, points: Sequence[Embedded]) -> None:
        for point in points:
            chunk = point.chunk
            vectors = orjson.dumps([point.dense.tolist(), *point.sparse])
            self._db.execute(
                "INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?, ?)",
                (chunk.id, chunk.workspace, chunk.source, orjson.dumps(chunk.payload()), vectors),
            )

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            self._db.execute(
                "UPDATE points SET payload = ? WHERE id = ?",
                (orjson.dumps(chunk.payload()), chunk.id),
            )

    def delete(self, ids: Sequence[str]) -> None:
        self._db.executemany("DELETE FROM points WHERE id = ?", [(id,) for id in ids])

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        points = self.points()
        return [points[id].chunk for id in ids if id in points]

    def ids(self, workspace: str, source: str | None = None) -> Iterator[str]:
        for id, point in self.points().items():
            if point.chunk.workspace == workspace and source in (None, point.chunk.source):
                yield id

    def count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM points").fetchone()[0])

    def points(self) -> dict[str, Embedded]:
        """Everything at one moment."""
        rows = self._db.execute("SELECT id, payload, vectors FROM points").fetchall()
        return {id: _embedded(id, payload, vectors) for id, payload, vectors in rows}

    def close(self) -> None:
        self._db.close()
        del self._threads.db


def _embedded(id: str, payload: bytes, vectors: bytes) -> Embedded:
    dense, indices, values = orjson.loads(vectors)
    chunk = Chunk.from_payload(id, orjson.loads(payload))
    return Embedded(chunk, np.array(dense, np.float32), SparseVector(indices, values))
