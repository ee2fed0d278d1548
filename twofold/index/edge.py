"""The index in this process: Qdrant's engine on a folder, without a server.

folder/current                  digest of the live store
folder/<digest>/shard/          the engine's files
folder/<digest>/manifest.json   what made the store; written last, so its absence means half-made
folder/<digest>/owner.json      locked by the process that has the store open
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import qdrant_edge as edge

from twofold.errors import Conflict, NotFound, Outdated, SetupError, UpstreamError
from twofold.index.contract import Chunk, Embedded, Fingerprint, Hit, Scope, SparseVector

T = TypeVar("T")

BATCH = 64
"""Points per engine call. A call holds the GIL, about 4 ms for so many: readers wait as long."""
_PAGE = 1000
_WINDOW = edge.IntegerIndexParams(lookup=False, range=True)
_INDEXED: dict[str, edge.PayloadSchemaType | edge.IntegerIndexParams] = {
    "workspace": edge.PayloadSchemaType.Keyword,
    "source": edge.PayloadSchemaType.Keyword,
    "audience": edge.PayloadSchemaType.Keyword,
    "quarantined": edge.IntegerIndexParams(lookup=True, range=False),
    "effective_from": _WINDOW,
    "expires_at": _WINDOW,
}
"""All that `scope_filter` asks about: one field without an index costs 50 times the search."""


def scope_filter(scope: Scope) -> edge.Filter:
    """Returns `Scope.admits` as the engine says it. The only filter that a search has."""
    conditions: list[edge.ConditionType] = [
        _equals("workspace", scope.workspace),
        _equals("quarantined", 0),
        edge.FieldCondition("audience", match=edge.MatchAny(scope.visible_to)),
        edge.FieldCondition("effective_from", range=edge.RangeFloat(lte=scope.as_of)),
        edge.FieldCondition("expires_at", range=edge.RangeFloat(gt=scope.as_of)),
    ]
    if scope.source is not None:
        conditions.append(_equals("source", scope.source))
    return edge.Filter(must=conditions)


def live(folder: Path) -> str | None:
    """Returns the digest of the store that readers of `folder` use."""
    try:
        return (folder / "current").read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None


def flip(folder: Path, digest: str) -> None:
    """Makes the store `digest` the live one. A store already open stays what it is."""
    if not (folder / digest / "manifest.json").exists():
        raise NotFound(f"There is no finished index {digest} in {folder}.")
    replace_file(folder / "current", digest)


class EdgeIndex:
    """`Index` on one shard folder. Any thread may search while another one writes."""

    def __init__(self, shard: edge.EdgeShard, resources: ExitStack) -> None:
        self._shard = shard
        self._resources = resources

    @classmethod
    def open(
        cls, folder: Path, fingerprint: Fingerprint, dimension: int, *, beside: bool = False
    ) -> Self:
        """Opens the store of `fingerprint` in `folder`; make it, and make it live, if there is
        none.

        `beside` opens one that is not live, to be filled before `flip`. Raises SetupError when the
        live store was made by something else, Conflict when another process has this one open.
        """
        home = folder / fingerprint.digest
        made_by = {**asdict(fingerprint), "dimension": dimension}
        current = live(folder)
        if current and current != fingerprint.digest and not beside:
            raise _mismatch(folder, manifest_of(folder / current) or {}, made_by)
        home.mkdir(parents=True, exist_ok=True)
        with ExitStack() as resources:
            resources.enter_context(owned(home))
            shard = _open_shard(home, made_by)
            resources.callback(shard.close)
            resources.callback(shard.flush)
            if current is None and not beside:
                flip(folder, fingerprint.digest)
            return cls(shard, resources.pop_all())

    def upsert(self, points: Sequence[Embedded]) -> None:
        self._write(
            edge.UpdateOperation.upsert_points([_point(point) for point in batch])
            for batch in _batches(points)
        )

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        # By filter, because by id the engine refuses a point that is gone.
        self._write(
            edge.UpdateOperation.overwrite_payload_by_filter(
                edge.Filter(must=[edge.HasIdCondition({chunk.id})]), chunk.payload()
            )
            for chunk in chunks
        )

    def delete(self, ids: Sequence[str]) -> None:
        self._write(edge.UpdateOperation.delete_points(list(batch)) for batch in _batches(ids))

    def search(
        self, dense: npt.NDArray[np.float32], sparse: SparseVector, scope: Scope, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        vectors = {"dense": dense.tolist(), "keywords": edge.SparseVector(*sparse)}
        admitted = scope_filter(scope)
        request = edge.QueryBatchRequest(
            [
                edge.QueryRequest(
                    limit=limit,
                    query=edge.Query.Nearest(vector, using=name),
                    filter=admitted,
                    with_payload=True,
                )
                for name, vector in vectors.items()
            ]
        )
        with _engine():
            by_meaning, by_words = self._shard.query_batch(request)
        return _hits(by_meaning), _hits(by_words)

    def score(
        self,
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        scope: Scope,
        by_meaning: Sequence[str],
        by_words: Sequence[str],
    ) -> tuple[dict[str, float], dict[str, float]]:
        wanted: list[tuple[str, Any, Sequence[str]]] = [
            ("dense", dense.tolist(), by_meaning),
            ("keywords", edge.SparseVector(*sparse), by_words),
        ]
        admitted = scope_filter(scope)
        request = edge.QueryBatchRequest(
            [
                edge.QueryRequest(
                    limit=max(1, len(ids)),
                    query=edge.Query.Nearest(vector, using=name),
                    filter=edge.Filter(must=[edge.HasIdCondition(set(ids)), admitted]),
                )
                for name, vector, ids in wanted
            ]
        )
        with _engine():
            by_cosine, by_bm25 = self._shard.query_batch(request)
        return _scores(by_cosine), _scores(by_bm25)

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        with _engine():
            records = self._shard.retrieve(list(ids), with_payload=True, with_vector=False)
        found = {str(record.id): _chunk(record) for record in records}
        return [found[id] for id in ids if id in found]

    def ids(self, workspace: str, source: str | None = None) -> Iterator[str]:
        conditions: list[edge.ConditionType] = [_equals("workspace", workspace)]
        if source is not None:
            conditions.append(_equals("source", source))
        offset: edge.PointId | None = None
        while True:
            with _engine():
                records, offset = self._shard.scroll(
                    edge.ScrollRequest(
                        offset=offset,
                        limit=_PAGE,
                        filter=edge.Filter(must=conditions),
                        with_payload=False,
                    )
                )
            yield from (str(record.id) for record in records)
            if offset is None:
                return

    def count(self) -> int:
        with _engine():
            return self._shard.count(edge.CountRequest(exact=True))

    def close(self) -> None:
        self._resources.close()

    def _write(self, operations: Iterable[edge.UpdateOperation]) -> None:
        with _engine():
            for operation in operations:
                self._shard.update(operation)
            self._shard.flush()


def _open_shard(home: Path, made_by: dict[str, Any]) -> edge.EdgeShard:
    place, manifest = home / "shard", manifest_of(home)
    config = edge.EdgeConfig(
        vectors={
            "dense": edge.EdgeVectorParams(size=made_by["dimension"], distance=edge.Distance.Cosine)
        },
        sparse_vectors={"keywords": edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # Building a graph holds the GIL for seconds, and exact search is fast at this size.
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=10**9),
        wal_enabled=True,
    )
    if manifest is None:
        shutil.rmtree(place, ignore_errors=True)
        with _engine():
            shard = edge.EdgeShard.create(str(place), config)
            for name, schema in _INDEXED.items():
                shard.update(edge.UpdateOperation.create_field_index(name, schema))
            shard.flush()
        replace_file(home / "manifest.json", json.dumps(made_by, indent=1))
        return shard
    if manifest != made_by:
        raise _mismatch(home, manifest, made_by)
    try:
        shard = edge.EdgeShard.load(str(place), config)
    except Exception as error:
        raise SetupError(
            f"The index in {place} is damaged ({error}). "
            f"Delete {home} and run `twofold ingest` again to rebuild it."
        ) from error
    # Sweeps out deleted points once they are a fifth; it holds the GIL, so not while serving.
    shard.optimize()
    return shard


def _mismatch(place: Path, stood: dict[str, Any], wanted: dict[str, Any]) -> Outdated:
    changes = ", ".join(
        f"{name} was {stood.get(name)!r} and is now {value!r}"
        for name, value in wanted.items()
        if stood.get(name) != value
    )
    return Outdated(
        f"The index in {place} was made by something else: {changes}. Run `twofold knowledge "
        "rebuild`; `twofold ingest` and `twofold serve` do that by themselves."
    )


def manifest_of(home: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = json.loads((home / "manifest.json").read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return manifest


@contextmanager
def owned(home: Path) -> Iterator[None]:
    with (home / "owner.json").open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Conflict(
                f"The index in {home} is in use by another process: {lock.read().strip()}. "
                "Stop it, or send the request to it."
            ) from None
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid()}))
        lock.flush()
        try:
            yield
        finally:
            # Unlocks explicitly: a forked child would keep the lock as long as it lives.
            fcntl.flock(lock, fcntl.LOCK_UN)


@contextmanager
def _engine() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The engine knows no other class; anything more specific is a mistake of ours.
        if type(error) is not Exception:
            raise
        raise UpstreamError(f"The embedded index failed: {error}") from error


def replace_file(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    parent = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(parent)
    finally:
        os.close(parent)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + BATCH] for start in range(0, len(items), BATCH))


def _equals(key: str, value: str | int) -> edge.FieldCondition:
    return edge.FieldCondition(key, match=edge.MatchValue(value))


def _point(point: Embedded) -> edge.Point:
    vector: dict[str, edge.NamedVector] = {"dense": point.dense.tolist()}
    if point.sparse.indices:
        vector["keywords"] = edge.SparseVector(*point.sparse)
    return edge.Point(point.chunk.id, vector, point.chunk.payload())


def _chunk(record: edge.Record | edge.ScoredPoint) -> Chunk:
    return Chunk.from_payload(str(record.id), record.payload or {})


def _scores(points: Sequence[edge.ScoredPoint]) -> dict[str, float]:
    return {str(point.id): point.score for point in points}


def _hits(points: Sequence[edge.ScoredPoint]) -> list[Hit]:
    return [Hit(_chunk(point), point.score) for point in points]
