"""What a source remembers between syncs, in one file: pages with their validators, and records.

It only saves work. Where it is lost, the next sync reads everything again and ends in the same
state.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

_TABLES = """
create table if not exists pages (
    url text primary key, etag text, modified text, headers blob, body blob
);
create table if not exists records (kind text, key text, value blob, primary key (kind, key));
"""


class CachedResponse(NamedTuple):
    """A response as it was last read in full."""

    etag: str
    modified: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask whether it is still current."""
        asked = {"If-None-Match": self.etag, "If-Modified-Since": self.modified}
        return {name: value for name, value in asked.items() if value}


class Cache:
    """Safe to share among threads. A file that is broken is begun again."""

    def __init__(self, path: Path | None = None) -> None:
        """Opens the file at the path; in memory where there is none."""
        self._lock = threading.Lock()
        self._path = path
        try:
            self._db = _open(path)
        except sqlite3.DatabaseError:
            if path is None:
                raise
            path.unlink(missing_ok=True)
            self._db = _open(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def page(self, url: str) -> CachedResponse | None:
        row = self._one("select etag, modified, headers, body from pages where url = ?", url)
        if row is None:
            return None
        return CachedResponse(row[0], row[1], orjson.loads(row[2]), zlib.decompress(row[3]))

    def keep_page(self, url: str, page: CachedResponse) -> None:
        self._run(
            "insert or replace into pages values (?, ?, ?, ?, ?)",
            url,
            page.etag,
            page.modified,
            orjson.dumps(dict(page.headers)),
            zlib.compress(page.body, 1),
        )

    def record(self, kind: str, key: str) -> Any:
        """Returns the record, None where there is none."""
        row = self._one("select value from records where kind = ? and key = ?", kind, key)
        return None if row is None else orjson.loads(zlib.decompress(row[0]))

    def keys(self, kind: str) -> Iterator[str]:
        with self._lock:
            rows = self._db.execute(
                "select key from records where kind = ? order by key", (kind,)
            ).fetchall()
        return (row[0] for row in rows)

    def keep(self, kind: str, key: str, value: Any) -> None:
        packed = zlib.compress(orjson.dumps(value), 1)
        self._run("insert or replace into records values (?, ?, ?)", kind, key, packed)

    def drop(self, kind: str, key: str) -> None:
        self._run("delete from records where kind = ? and key = ?", kind, key)

    def drop_others(self, kind: str, keys: set[str]) -> None:
        """Forgets records that were not seen any more."""
        for key in [each for each in self.keys(kind) if each not in keys]:
            self.drop(kind, key)

    def drop_other_pages(self, urls: set[str]) -> None:
        with self._lock:
            held = [row[0] for row in self._db.execute("select url from pages")]
        for url in held:
            if url not in urls:
                self._run("delete from pages where url = ?", url)

    def _one(self, statement: str, *values: Any) -> Any:
        with self._lock:
            return self._db.execute(statement, values).fetchone()

    def _run(self, statement: str, *values: Any) -> None:
        with self._lock:
            self._db.execute(statement, values)


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(
        path if path is not None else ":memory:",
        timeout=30,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # A crash may lose the newest entries: they are only read once more.
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = off")
        db.executescript(_TABLES)
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
