"""The index on a Qdrant server or cluster, over its REST interface.

Alias `twofold-<name>` points at the live collection, `twofold-<name>-<digest>`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

from twofold.errors import NotFound, Outdated, SetupError, UpstreamError
from twofold.index.contract import Chunk, Embedded, Fingerprint, Hit, Scope, SparseVector

BATCH = 256
_PAGE = 1000
_WINDOW = models.IntegerIndexParams(type=models.IntegerIndexType.INTEGER, lookup=False, range=True)
_INDEXED: dict[str, models.PayloadSchemaType | models.PayloadSchemaParams] = {
    "workspace": models.KeywordIndexParams(type=models.KeywordIndexType.KEYWORD, is_tenant=True),
    "source": models.PayloadSchemaType.KEYWORD,
    "audience": models.PayloadSchemaType.KEYWORD,
    "quarantined": models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=True, range=False
    ),
    "effective_from": _WINDOW,
    "expires_at": _WINDOW,
}


def scope_filter(scope: Scope) -> models.Filter:
    """Returns `Scope.admits` as the server says it. The only filter that a search has."""
    conditions: list[models.Condition] = [
        _equals("workspace", scope.workspace),
        _equals("quarantined", 0),
        models.FieldCondition(key="audience", match=models.MatchAny(any=scope.visible_to)),
        models.FieldCondition(key="effective_from", range=models.Range(lte=scope.as_of)),
        models.FieldCondition(key="expires_at", range=models.Range(gt=scope.as_of)),
    ]
    if scope.source is not None:
        conditions.append(_equals("source", scope.source))
    return models.Filter(must=conditions)


def live(client: QdrantClient, name: str) -> str | None:
    """Returns the digest of the collection that readers of `name` use."""
    with _server():
        aliases = client.get_aliases().aliases
    alias = f"twofold-{name}"
    for entry in aliases:
        if entry.alias_name == alias:
            return entry.collection_name.removeprefix(f"{alias}-")
    return None


def flip(client: QdrantClient, name: str, digest: str) -> None:
    """Makes the collection `digest` the live one. An index already open stays what it is."""
    alias = f"twofold-{name}"
    collection = f"{alias}-{digest}"
    create = models.CreateAliasOperation(
        create_alias=models.CreateAlias(collection_name=collection, alias_name=alias)
    )
    delete = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=alias))
    with _server():
        if not client.collection_exists(collection):
            raise NotFound(f"There is no collection {collection}.")
        client.update_collection_aliases([delete, create] if live(client, name) else [create])


def metadata(client: QdrantClient, name: str) -> dict[str, dict[str, Any]]:
    """Returns, by digest, what each collection of `name` says of itself."""
    prefix = f"twofold-{name}-"
    with _server():
        names = [each.name for each in client.get_collections().collections]
        ours = [each for each in names if each.startswith(prefix)]
        return {
            each.removeprefix(prefix): client.get_collection(each).config.metadata or {}
            for each in ours
        }


def mark(client: QdrantClient, name: str, digest: str, about: dict[str, Any]) -> None:
    """Adds to what a collection says of itself."""
    with _server():
        client.update_collection(f"twofold-{name}-{digest}", metadata=about)


def drop(client: QdrantClient, name: str, digest: str) -> None:
    with _server():
        client.delete_collection(f"twofold-{name}-{digest}")


class QdrantIndex:
    """`Index` on one collection. The client handed in is handed over: `close` closes it."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    @classmethod
    def open(
        cls,
        client: QdrantClient,
        name: str,
        fingerprint: Fingerprint,
        dimension: int,
        *,
        beside: bool = False,
        quantized: bool = False,
        shard_number: int = 1,
        replication_factor: int = 1,
    ) -> Self:
        """Opens the collection of `fingerprint`; make it, and make it live, if there is none.

        `beside` opens one that is not live, to be filled before `flip`. The settings after it count
        when the collection is made; `quantized` searches 8-bit copies of the dense vectors in
        memory. Raises SetupError when the live collection was made by something else.
        """
        collection = f"twofold-{name}-{fingerprint.digest}"
        made_by = {**asdict(fingerprint), "dimension": dimension}
        current = live(client, name)
        with _server():
            if current and current != fingerprint.digest and not beside:
                _check(client, f"twofold-{name}-{current}", made_by)
            if not client.collection_exists(collection):
                _create(
                    client,
                    collection,
                    made_by,
                    quantized=quantized,
                    shard_number=shard_number,
                    replication_factor=replication_factor,
                )
            indexed = _check(client, collection, made_by).payload_schema
            for field, schema in _INDEXED.items():
                if field not in indexed:
                    client.create_payload_index(collection, field, schema, wait=True)
        if current is None and not beside:
            flip(client, name, fingerprint.digest)
        return cls(client, collection)

    def upsert(self, points: Sequence[Embedded]) -> None:
        with _server():
            for start in range(0, len(points), BATCH):
                batch = [_point(point) for point in points[start : start + BATCH]]
                self._client.upsert(self._collection, batch, wait=True)

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        # By filter, because by id the server refuses a point that is gone.
        operations = [
            models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(
                    payload=chunk.payload(),
                    filter=models.Filter(must=[models.HasIdCondition(has_id=[chunk.id])]),
                )
            )
            for chunk in chunks
        ]
        with _server():
            for start in range(0, len(operations), BATCH):
                batch = operations[start : start + BATCH]
                self._client.batch_update_points(self._collection, batch, wait=True)

    def delete(self, ids: Sequence[str]) -> None:
        with _server():
            for start in range(0, len(ids), BATCH):
                batch = models.PointIdsList(points=list(ids[start : start + BATCH]))
                self._client.delete(self._collection, batch, wait=True)

    def search(
        self, dense: npt.NDArray[np.float32], sparse: SparseVector, scope: Scope, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        admitted = scope_filter(scope)
        vectors: dict[str, list[float] | models.SparseVector] = {
            "dense": dense.tolist(),
            "keywords": _sparse(sparse),
        }
        with _server():
            by_meaning, by_words = self._client.query_batch_points(
                self._collection,
                [
                    models.QueryRequest(
                        query=models.NearestQuery(nearest=vector),
                        using=name,
                        filter=admitted,
                        limit=limit,
                        with_payload=True,
                    )
                    for name, vector in vectors.items()
                ],
            )
        return _hits(by_meaning), _hits(by_words)

    def score(
        self,
        dense: npt.NDArray[np.float32],
        sparse: SparseVector,
        scope: Scope,
        by_meaning: Sequence[str],
        by_words: Sequence[str],
    ) -> tuple[dict[str, float], dict[str, float]]:
        admitted = scope_filter(scope)
        wanted: list[tuple[str, Any, Sequence[str]]] = [
            ("dense", dense.tolist(), by_meaning),
            ("keywords", _sparse(sparse), by_words),
        ]
        with _server():
            by_cosine, by_bm25 = self._client.query_batch_points(
                self._collection,
                [
                    models.QueryRequest(
                        query=models.NearestQuery(nearest=vector),
                        using=name,
                        filter=models.Filter(
                            must=[models.HasIdCondition(has_id=list(ids)), admitted]
                        ),
                        limit=max(1, len(ids)),
                    )
                    for name, vector, ids in wanted
                ],
            )
        return _scores(by_cosine), _scores(by_bm25)

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        with _server():
            records = self._client.retrieve(self._collection, list(ids), with_payload=True)
        found = {str(record.id): _chunk(record) for record in records}
        return [found[id] for id in ids if id in found]

    def ids(self, workspace: str, source: str | None = None) -> Iterator[str]:
        conditions: list[models.Condition] = [_equals("workspace", workspace)]
        if source is not None:
            conditions.append(_equals("source", source))
        offset: Any = None
        while True:
            with _server():
                records, offset = self._client.scroll(
                    self._collection,
                    models.Filter(must=conditions),
                    limit=_PAGE,
                    offset=offset,
                    with_payload=False,
                )
            yield from (str(record.id) for record in records)
            if offset is None:
                return

    def count(self) -> int:
        with _server():
            return self._client.count(self._collection, exact=True).count

    def close(self) -> None:
        self._client.close()


def _create(
    client: QdrantClient,
    collection: str,
    made_by: dict[str, Any],
    *,
    quantized: bool,
    shard_number: int,
    replication_factor: int,
) -> None:
    quantization = models.ScalarQuantization(
        scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
    )
    try:
        client.create_collection(
            collection,
            vectors_config={
                "dense": models.VectorParams(
                    size=made_by["dimension"], distance=models.Distance.COSINE
                )
            },
            sparse_vectors_config={
                "keywords": models.SparseVectorParams(modifier=models.Modifier.IDF)
            },
            quantization_config=quantization if quantized else None,
            shard_number=shard_number,
            replication_factor=replication_factor,
            metadata=made_by,
        )
    except UnexpectedResponse as error:
        # Another process created it first; what it made is checked next.
        if error.status_code != 409:
            raise


def _check(client: QdrantClient, collection: str, made_by: dict[str, Any]) -> models.CollectionInfo:
    info = client.get_collection(collection)
    about = info.config.metadata
    if about is None:
        raise SetupError(
            f"Collection {collection} does not say what made it. Use Qdrant 1.16 or newer, "
            "drop the collection and run `twofold ingest` again."
        )
    stood = {name: value for name, value in about.items() if name in made_by}
    if stood != made_by:
        changes = ", ".join(
            f"{name} was {stood.get(name)!r} and is now {value!r}"
            for name, value in made_by.items()
            if stood.get(name) != value
        )
        raise Outdated(
            f"Collection {collection} was made by something else: {changes}. Run `twofold "
            "knowledge rebuild`; `twofold ingest` and `twofold serve` do that by themselves."
        )
    return info


@contextmanager
def _server() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        raise UpstreamError(f"The Qdrant server failed: {error}") from error


def _equals(key: str, value: str | int) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices, values=vector.values)


def _point(point: Embedded) -> models.PointStruct:
    vector: dict[str, Any] = {"dense": point.dense.tolist()}
    if point.sparse.indices:
        vector["keywords"] = _sparse(point.sparse)
    return models.PointStruct(id=point.chunk.id, vector=vector, payload=point.chunk.payload())


def _chunk(record: models.Record | models.ScoredPoint) -> Chunk:
    return Chunk.from_payload(str(record.id), record.payload or {})


def _scores(response: models.QueryResponse) -> dict[str, float]:
    return {str(point.id): point.score for point in response.points}


def _hits(response: models.QueryResponse) -> list[Hit]:
    return [Hit(_chunk(point), point.score) for point in response.points]
