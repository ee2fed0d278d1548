"""What evals measure below the HTTP interface: retrieval by stage, and the scope classifier.

Corpora are indexed by the ingestion plane and searched by the answer plane, as the product does it;
nothing is a copy made for measuring. An index is kept under the home's `cache` by the hash of its
corpus, so that a second run only asks.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from fastapi import APIRouter
from sqlalchemy import select

from ingestion.pipeline import sync
from ingestion.sources import Fetched, Item
from models.evaluate.labelled import Labelled, Query, Text
from models.evaluate.local import Labels, Progress, Rankings, Rewrite, Scoped
from services.answer.app import open_parts
from services.answer.condense import condense
from services.answer.contract import Question, Turn
from services.answer.intent import features, fit
from services.answer.rerank import open_reranker, rerank
from services.answer.retrieve import DEPTH, retrieve
from services.standalone.app import create_app
from twofold.clients.rerank import Reranker
from twofold.errors import InvalidInput, NotFound, SetupError
from twofold.index import Chunk, DocumentRef, Scope
from twofold.ledger.models import Version
from twofold.settings import Settings
from twofold.stack import Stack, open_embedder, open_stack

SOURCE = "corpus"
BLOCK = 256
"""Texts embedded between two steps of the progress bar."""


class Local:
    """The product on this machine: `models.evaluate.local.Local`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        with open_stack(self._settings) as stack:
            if not stack.index.count():
                raise SetupError(
                    f"Nothing is indexed in {self._settings.home}. Index the documents first:"
                    " twofold ingest PATH --source NAME."
                )
            app = create_app(open_parts(stack))
            app.include_router(versions_router(stack))
            transport = httpx.ASGITransport(app)
            async with (
                app.router.lifespan_context(app),
                httpx.AsyncClient(transport=transport, base_url="http://twofold.local") as client,
            ):
                yield client

    def rankings(
        self, labelled: Labelled, rewrite: Rewrite, locale: str, progress: Progress
    ) -> Rankings:
        home = self._settings.home / "cache" / "retrieval" / labelled.digest[:16]
        runs: dict[str, list[list[str]]] = {"bm25": [], "dense": [], "fusion": [], "full": []}
        reranker = open_reranker(self._settings)
        with _open_cached(home, self._settings) as stack, asyncio.Runner() as runner:
            _index(stack, labelled, locale, progress)
            for done, query in enumerate(labelled.queries, start=1):
                ranked = _ranked(stack, reranker, query, rewrite, locale)
                for run, ranking in runner.run(ranked).items():
                    runs[run].append(ranking)
                progress("Searching", done, len(labelled.queries))
            if reranker is not None:
                runner.run(reranker.aclose())
        return runs

    def scoped(
        self, train: Sequence[Labels], outside: str, texts: Sequence[str], progress: Progress
    ) -> list[Scoped]:
        embedder = open_embedder(self._settings)
        both = [*(row.text for row in train), *texts]
        blocks = []
        for start in range(0, len(both), BLOCK):
            blocks.append(embedder.embed(both[start : start + BLOCK]))
            progress("Embedding", min(start + BLOCK, len(both)), len(both))
        vectors = features(both, np.concatenate(blocks))
        model = fit(vectors[: len(train)], [row.label for row in train], outside)
        found = model.probabilities(vectors[len(train) :])
        at = model.classes.index(outside)
        inside = [name for name in model.classes if name != outside]
        best = np.delete(found, at, axis=1).argmax(axis=1)
        return [Scoped(inside[i], float(p)) for i, p in zip(best, found[:, at], strict=True)]


def versions_router(stack: Stack) -> APIRouter:
    """GET of a document version's text, to hold a quote against, and whether it answers today."""
    router = APIRouter()

    @router.get("/v1/documents/{source}/{external_id:path}/versions/{number}")
    def read_version(source: str, external_id: str, number: int) -> dict[str, Any]:
        ref = DocumentRef(stack.settings.workspace, source, external_id)
        with stack.ledger.session() as session:
            row = session.scalar(
                select(Version).where(Version.document_id == ref.id, Version.number == number)
            )
            if row is None:
                raise NotFound(f"There is no version {number} of {ref.key!r}.")
            live = row.document.live == number
            return {
                "document": ref.key, "version": number, "live": live, "sections": row.sections
            }  # fmt: skip

    return router


class _Passage(NamedTuple):
    """A document of the corpus, as a source hands it over."""

    text: Text
    locale: str

    @property
    def external_id(self) -> str:
        return self.text.id

    def fetch(self) -> Fetched:
        meta = {"title": self.text.title or self.text.id, "locale": self.locale}
        media_type = "text/markdown" if self.text.markdown else "text/plain"
        return Fetched(self.text.body.encode(), media_type, 0.0, meta)


class _Corpus(NamedTuple):
    """A labelled corpus as a source."""

    texts: Sequence[Text]
    locale: str
    name: str = SOURCE
    kind: str = "corpus"
    config: Mapping[str, Any] = {}

    def discover(self) -> Iterator[Item]:
        for text in self.texts:
            yield _Passage(text, self.locale)


def _index(stack: Stack, labelled: Labelled, locale: str, progress: Progress) -> None:
    """Raises InvalidInput where a document is left out: figures on part of a corpus mislead."""
    report = sync(
        stack,
        stack.settings.workspace,
        _Corpus(labelled.corpus, locale),
        lambda done, total: progress("Indexing", done, total),
    )
    if report.failures:
        first = report.failures[0]
        raise InvalidInput(
            f"Of {len(labelled.corpus):,} documents {report.failed:,} could not be indexed; the"
            f" first is {first.document!r}, at the step {first.step!r}: {first.reason}"
        )


async def _ranked(
    stack: Stack, reranker: Reranker | None, query: Query, rewrite: Rewrite, locale: str
) -> dict[str, list[str]]:
    """Every run's documents, best first."""
    history = tuple(Turn(turn.role, turn.text) for turn in query.history)
    question = Question(
        asked=query.text,
        standalone=condense(query.text, history) if rewrite == "history" else query.text,
        locale=locale,
        scope=Scope(stack.settings.workspace, int(time.time())),
        as_of=None,
        history=history if rewrite == "history" else (),
    )
    found = retrieve(question, stack)
    dense, sparse = stack.index.search(found.vector, found.keywords, question.scope, DEPTH)
    fused = sorted(found.candidates, key=lambda candidate: -candidate.fused)
    if reranker is not None:
        found = await rerank(question.standalone, found, reranker, stack.settings.reranker_s)
    return {
        "bm25": _documents(hit.chunk for hit in sparse),
        "dense": _documents(hit.chunk for hit in dense),
        "fusion": _documents(candidate.chunk for candidate in fused),
        "full": _documents(candidate.chunk for candidate in found.candidates),
    }


def _documents(chunks: Iterable[Chunk]) -> list[str]:
    return list(dict.fromkeys(chunk.key.partition("/")[2] for chunk in chunks))


def _open_cached(home: Path, settings: Settings) -> Stack:
    kept = settings.model_dump(exclude={"home", "ledger_url"})
    own = Settings(home=home, ledger_url="", **kept)
    try:
        return open_stack(own)
    except SetupError:
        # Made by another embedder or splitter: a cache is made again.
        shutil.rmtree(home, ignore_errors=True)
        return open_stack(own)
