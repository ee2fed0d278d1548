"""What a process stands on, opened once at its start: the composition root's common part."""

from dataclasses import dataclass
from types import TracebackType
from typing import Self

from twofold.clients.edge import EdgeIndex
from twofold.clients.embedder import Embedder, HttpEmbedder, MiniLM
from twofold.clients.sparse import Bm25Encoder
from twofold.errors import SetupError
from twofold.index import Fingerprint, Index
from twofold.ledger import Ledger
from twofold.settings import Settings

EXTRACTOR = "1"
"""Raise it when the same bytes come to give other sections."""
SPLITTER = "1"
"""Raise it when the same sections come to give other chunks."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Ledger, index and encoders that belong together; a context manager that closes them."""

    settings: Settings
    ledger: Ledger
    index: Index
    embedder: Embedder
    sparse: Bm25Encoder
    fingerprint: Fingerprint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.index.close()
        self.ledger.close()


def open_stack(settings: Settings) -> Stack:
    """Open (and make, the first time) everything under `settings.home`.

    Raises SetupError with what to do, and Conflict where another process owns the index.
    """
    embedder = open_embedder(settings)
    sparse = Bm25Encoder()
    fingerprint = Fingerprint(
        extractor=EXTRACTOR,
        splitter=f"{SPLITTER}/{settings.chunk_tokens}",
        embedder=embedder.name,
        sparse=sparse.name,
    )
    index = open_index(settings, fingerprint, embedder.dimension)
    return Stack(settings, Ledger(settings.ledger), index, embedder, sparse, fingerprint)


def open_index(settings: Settings, fingerprint: Fingerprint, dimension: int) -> Index:
    if not settings.qdrant_url:
        return EdgeIndex.open(settings.home / "index", fingerprint, dimension)
    try:
        from qdrant_client import QdrantClient

        from twofold.clients.qdrant import QdrantIndex
    except ModuleNotFoundError as error:
        raise SetupError(
            "TWOFOLD_QDRANT_URL is set, but the client is not installed: pip install"
            " 'twofold[server]'."
        ) from error
    key = settings.qdrant_key.get_secret_value() or None
    client = QdrantClient(url=settings.qdrant_url, api_key=key)
    return QdrantIndex.open(client, "knowledge", fingerprint, dimension)


def open_embedder(settings: Settings) -> Embedder:
    if settings.embedder_url:
        return HttpEmbedder(
            settings.embedder_url,
            model=settings.embedder_model,
            api_key=settings.embedder_key.get_secret_value(),
        )
    return MiniLM.open(settings.home / "models", threads=settings.threads)
