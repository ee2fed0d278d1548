"""What a process stands on, opened once at its start: the composition root's common part."""

from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from twofold.clients.embedder import E5, Embedder, HttpEmbedder, MiniLM
from twofold.clients.matcher import Matcher
from twofold.clients.reader import Reader
from twofold.home import make_private
from twofold.index.contract import Fingerprint, Index
from twofold.index.sparse import Bm25Encoder
from twofold.index.stores import Stores, open_stores
from twofold.ledger import Ledger
from twofold.settings import Settings
from twofold.text.languages import ENGLISH, base, is_latin
from twofold.zone import house_languages

EXTRACTOR = "3"
"""Raise it when the same bytes come to give other sections, or another language."""
SPLITTER = "3"
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
    matcher: Matcher | None = None
    reader: Reader | None = None
    """Reads what the matcher finds near; where there is none, that decides alone."""

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


def open_stack(settings: Settings, *, beside: bool = False) -> Stack:
    """Opens (and make, the first time) everything under `settings.home`.

    `beside` opens the store of this fingerprint while another one is live, to fill it. Raises
    Outdated where another one is live, SetupError with what to do, and Conflict where another
    process owns the index.
    """
    make_private(settings.home)
    embedder, stores = open_embedder(settings), open_stores(settings)
    sparse = Bm25Encoder()
    fingerprint = fingerprint_of(settings, embedder, sparse)
    if not beside and (kept := _rolled_back(settings, fingerprint, stores)) is not None:
        settings = kept
        fingerprint = fingerprint_of(settings, embedder, sparse)
    index = stores.open(fingerprint, embedder.dimension, beside=beside)
    models = settings.home / "models"
    return Stack(
        settings=settings,
        ledger=Ledger(settings.ledger),
        index=index,
        embedder=embedder,
        sparse=sparse,
        fingerprint=fingerprint,
        matcher=Matcher(models, settings.threads),
        reader=Reader(settings.threads),
    )


def fingerprint_of(settings: Settings, embedder: Embedder, sparse: Bm25Encoder) -> Fingerprint:
    return Fingerprint(
        extractor=EXTRACTOR,
        splitter=f"{SPLITTER}/{settings.chunk_tokens}",
        embedder=embedder.name,
        sparse=sparse.name,
    )


def with_chunks_of(settings: Settings, wanted: Fingerprint) -> Settings:
    """Returns the settings with the chunk size that a fingerprint names."""
    tokens = wanted.splitter.partition("/")[2]
    return settings.model_copy(update={"chunk_tokens": int(tokens)}) if tokens else settings


def _rolled_back(settings: Settings, wanted: Fingerprint, stores: Stores) -> Settings | None:
    """Returns settings of the live store, where the wanted one was rolled back from and differs
    in the size of chunks alone: a roll-back holds until it is built again on purpose."""
    found = stores.all()
    live = next((store for store in found if store.live), None)
    if live is None or not any(s.rejected and s.digest == wanted.digest for s in found):
        return None
    differing = replace(wanted, splitter=live.fingerprint.splitter)
    return with_chunks_of(settings, live.fingerprint) if differing == live.fingerprint else None


def open_embedder(settings: Settings) -> Embedder:
    if settings.embedder_url:
        return HttpEmbedder(
            settings.embedder_url,
            model=settings.embedder_model,
            api_key=settings.embedder_key.get_secret_value(),
        )
    model = E5 if reads_all_languages(settings) else MiniLM
    return model.open(settings.home / "models", threads=settings.threads)


def reads_all_languages(settings: Settings) -> bool:
    """Returns whether the packaged model is the multilingual one: docs/adr/0011 says why not
    always."""
    if settings.embedder != "auto":
        return settings.embedder == "multilingual"
    first, *others = house_languages(settings.house_file)
    return base(first) != ENGLISH or not all(map(is_latin, others))
