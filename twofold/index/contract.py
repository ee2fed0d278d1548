"""What stands in the index: chunks, their identity, who may see them, and the index interface."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol
from uuid import UUID, uuid5

if TYPE_CHECKING:
    # Imported for types alone: the confined reader of documents needs no numpy, and starts often.
    import numpy as np
    import numpy.typing as npt

Kind = Literal["article", "release_note", "policy"]
KINDS: tuple[Kind, ...] = ("article", "release_note", "policy")

PUBLIC = "public"
OPEN_VERSION = 2**31 - 1
"""`until` of a chunk that belongs to the newest version."""
FOREVER = 2**53
"""`expires_at` of a chunk that never expires (epoch seconds; exact in a float)."""
BEGINNING = -(2**53)

_NAMESPACE = UUID("6f1c8f3e-5a0b-5b62-9f57-3a0f2c1d7e11")


class DocumentRef(NamedTuple):
    """The identity of a document. Its text and address may change; this may not."""

    workspace: str
    source: str
    external_id: str

    @property
    def id(self) -> str:
        """UUID, stable for ever, the key in ledger and index."""
        return str(uuid5(_NAMESPACE, "\x1f".join(self)))

    @property
    def key(self) -> str:
        """`source/external_id`: the name people see and type. Unique in a workspace."""
        return f"{self.source}/{self.external_id}"


def point_id(document: str, heading_path: Sequence[str], content_hash: str, occurrence: int) -> str:
    """Returns a chunk's point id: the same text under the same headings of one document keeps its
    point.

    `occurrence` tells equal chunks of one section apart (0 for the first). Two documents with
    equal text never share a point, because `document` takes part.
    """
    name = "\x1f".join([*heading_path, content_hash, str(occurrence)])
    return str(uuid5(UUID(document), name))


def content_hash(*parts: str) -> str:
    """Returns the hex SHA-256 over the parts, unambiguous about where one ends."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One retrievable passage and everything a reply needs to cite it.

    A chunk belongs to the versions `since <= version < until` of its document: an edit elsewhere in
    the document leaves it untouched. `effective_from` and `expires_at` are epoch seconds.
    """

    id: str
    workspace: str
    source: str
    document: str
    key: str
    since: int
    title: str
    heading_path: tuple[str, ...]
    text: str
    position: int
    kind: Kind = "article"
    locale: str = "en"
    audience: tuple[str, ...] = (PUBLIC,)
    product: str = ""
    url: str = ""
    until: int = OPEN_VERSION
    effective_from: int = BEGINNING
    expires_at: int = FOREVER
    updated_at: int = 0
    quarantined: bool = False

    @property
    def heading(self) -> str:
        """Title and heading path, in one line."""
        return " > ".join((self.title, *self.heading_path))

    @property
    def embedded_text(self) -> str:
        """What the embedder and the keyword encoder see: heading path, then text."""
        return f"{self.heading}\n{self.text}"

    def payload(self) -> dict[str, Any]:
        """Returns the point's payload: plain JSON values, without the id."""
        values = {name: getattr(self, name) for name in _PAYLOAD_FIELDS}
        values["heading_path"] = list(self.heading_path)
        values["audience"] = list(self.audience)
        # As 0 or 1: the in-process engine (0.9) matches no booleans.
        values["quarantined"] = int(self.quarantined)
        return values

    @classmethod
    def from_payload(cls, id: str, payload: Mapping[str, Any]) -> "Chunk":
        values = {name: payload[name] for name in _PAYLOAD_FIELDS}
        values["heading_path"] = tuple(values["heading_path"])
        values["audience"] = tuple(values["audience"])
        values["quarantined"] = bool(values["quarantined"])
        return cls(id=id, **values)

    def closed(self, until: int) -> "Chunk":
        """Returns the same chunk, ending before version `until`."""
        return replace(self, until=until)


_PAYLOAD_FIELDS = tuple(name for name in Chunk.__slots__ if name != "id")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What an index was made with. A store belongs to exactly one; another one needs another
    store."""

    extractor: str
    splitter: str
    embedder: str
    sparse: str

    @property
    def digest(self) -> str:
        return content_hash(self.extractor, self.splitter, self.embedder, self.sparse)[:12]


@dataclass(frozen=True, slots=True)
class Scope:
    """Who asks, and as of when. Every search goes through one; there is no unscoped search.

    `audiences` are matched against a chunk's; `public` always counts. `as_of` is epoch seconds.
    """

    workspace: str
    as_of: int
    audiences: frozenset[str] = field(default_factory=frozenset)
    source: str | None = None

    @property
    def visible_to(self) -> list[str]:
        return sorted(self.audiences | {PUBLIC})

    def admits(self, chunk: Chunk) -> bool:
        """Returns the scope as a predicate: the meaning that every adapter's filter must have."""
        return (
            chunk.workspace == self.workspace
            and not chunk.quarantined
            and not set(chunk.audience).isdisjoint(self.visible_to)
            and chunk.effective_from <= self.as_of < chunk.expires_at
            and (self.source is None or chunk.source == self.source)
        )


class SparseVector(NamedTuple):
    """Term ids and weights, of equal length."""

    indices: list[int]
    values: list[float]


class Embedded(NamedTuple):
    """A chunk and its two vectors."""

    chunk: Chunk
    dense: "npt.NDArray[np.float32]"
    sparse: SparseVector


class Hit(NamedTuple):
    """A chunk and its score in one ranking (cosine for dense, BM25 for sparse)."""

    chunk: Chunk
    score: float


class Index(Protocol):
    """A store of chunks. Writes are idempotent by point id and durable when the call returns."""

    def upsert(self, points: Sequence[Embedded]) -> None: ...

    def update_payload(self, chunks: Sequence[Chunk]) -> None:
        """Replaces the payload of existing points; vectors stay."""
        ...

    def delete(self, ids: Sequence[str]) -> None: ...

    def search(
        self, dense: "npt.NDArray[np.float32]", sparse: SparseVector, scope: Scope, limit: int
    ) -> tuple[list[Hit], list[Hit]]:
        """Returns the `limit` best by cosine and the `limit` best by BM25, each best first, both
        scoped."""
        ...

    def score(
        self,
        dense: "npt.NDArray[np.float32]",
        sparse: SparseVector,
        scope: Scope,
        by_meaning: Sequence[str],
        by_words: Sequence[str],
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Returns cosines of the chunks `by_meaning` and BM25 scores of the chunks `by_words`,
        by id. One that is gone, out of scope, or shares no term is absent."""
        ...

    def retrieve(self, ids: Sequence[str]) -> list[Chunk]:
        """Returns the chunks with these ids that exist, in the order asked for."""
        ...

    def ids(self, workspace: str, source: str | None = None) -> Iterator[str]: ...

    def count(self) -> int: ...

    def close(self) -> None: ...
