"""What evals measure below the HTTP interface: retrieval by stage, and the scope classifier.

Corpora are indexed by the ingestion plane and searched by the answer plane, as the product does it;
nothing is a copy made for measuring. An index is kept under the home's `cache` by the hash of its
corpus, so that a second run only asks.
"""

import asyncio
import shutil
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np

from ingestion.api import router as ingestion_router
from ingestion.sources import Fetched, Item
from ingestion.sources.by_path import open_folder
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from ingestion.sync.status import list_sources
from models.evaluate.labelled import Labelled, Query, Text, digest_of
from models.evaluate.local import Labels, Rankings, Rewrite, Scoped
from models.evaluate.sufficiency import Given
from services.answer.app import admitting, bare_app, open_parts
from services.answer.contract import Question, Turn
from services.answer.decide.intent import features, fit
from services.answer.search import Searched, search, search_given
from services.answer.search.condense import condense
from services.answer.search.rerank import as_stage, open_reranker
from services.answer.search.retrieve import DEPTH, encode
from services.standalone.bench import Bench, open_bench
from twofold.clients.rerank import Reranker
from twofold.counted import counted
from twofold.errors import InvalidInput, SetupError
from twofold.house_file import NEUTRAL
from twofold.index.contract import Chunk
from twofold.index.contract import Scope as SearchScope
from twofold.settings import Settings
from twofold.stack import Stack, open_embedder, open_stack
from twofold.terminal import StepCallback

SOURCE = "corpus"
HELP_CENTER = "help-center"
BLOCK = 256
"""Texts embedded between two steps of the progress bar."""


class Local:
    """The product on this machine: `models.evaluate.local.Local`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @asynccontextmanager
    async def service(self) -> AsyncIterator[httpx.AsyncClient]:
        with open_stack(self._settings) as stack:
            _sync_help_center(stack, self._settings)
            if not stack.index.count():
                raise SetupError(
                    f"Nothing is indexed in {self._settings.home}. Index the documents first:"
                    " twofold ingest PATH --source NAME."
                )
            async with _served(stack) as client:
                yield client

    @asynccontextmanager
    async def help_center(
        self, name: str, folder: Path, house: Path | None, progress: StepCallback
    ) -> AsyncIterator[httpx.AsyncClient]:
        home = self._settings.home / "cache" / "help-centers" / name
        kept = self._settings.model_copy(update={"house": house or NEUTRAL})
        with _open_cached(home, kept) as stack:
            workspace = stack.settings.workspace
            source = open_folder(stack.settings, stack.ledger, workspace, SOURCE, folder)

            def indexed(done: int, total: int) -> None:
                progress("Indexing", done, total)

            await asyncio.to_thread(sync, stack, workspace, source, indexed)
            async with _served(stack) as client:
                yield client

    @asynccontextmanager
    async def bench(
        self, name: str, folder: Path, house: Path | None, progress: StepCallback
    ) -> AsyncIterator[Bench]:
        home = self._settings.home / "cache" / "benches" / name
        kept = self._settings.model_copy(update={"house": house or NEUTRAL})
        async with open_bench(home, folder, kept, progress) as bench:
            yield bench

    @asynccontextmanager
    async def corpus(
        self, corpus: Sequence[Text], locale: str, progress: StepCallback
    ) -> AsyncIterator[httpx.AsyncClient]:
        settings = self._settings.model_copy(update={"house": NEUTRAL})
        kept = open_corpus(corpus, digest_of(corpus), locale, settings, progress)
        stack = await asyncio.to_thread(kept.__enter__)
        try:
            async with _served(stack) as client:
                yield client
        finally:
            kept.__exit__(None, None, None)

    def sufficient(
        self, given: Sequence[Given], locale: str, progress: StepCallback
    ) -> list[float]:
        found = searches(given, locale, self._settings, progress)
        return [searched.evidence.p_answerable for searched in found]

    def rankings(
        self, labelled: Labelled, rewrite: Rewrite, locale: str, progress: StepCallback
    ) -> Rankings:
        runs: dict[str, list[list[str]]] = {"bm25": [], "dense": [], "fusion": [], "full": []}
        reranker = open_reranker(self._settings)
        corpus = labelled.corpus
        with (
            open_corpus(corpus, labelled.digest, locale, self._settings, progress) as stack,
            asyncio.Runner() as runner,
        ):
            for done, query in enumerate(labelled.queries, start=1):
                ranked = _ranked(stack, reranker, query, rewrite, locale)
                for run, ranking in runner.run(ranked).items():
                    runs[run].append(ranking)
                progress("Searching", done, len(labelled.queries))
            if reranker is not None:
                runner.run(reranker.aclose())
        return runs

    def scoped(
        self, train: Sequence[Labels], outside: str, texts: Sequence[str], progress: StepCallback
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


@asynccontextmanager
async def _served(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    app = bare_app(open_parts(stack))
    own = app.router.lifespan_context
    app.include_router(ingestion_router(stack))
    # What waits in the home's queue is no eval's to do.
    app.router.lifespan_context = own
    transport = httpx.ASGITransport(admitting(app, stack.settings.workspace))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


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


@contextmanager
def open_corpus(
    corpus: Sequence[Text], digest: str, locale: str, settings: Settings, progress: StepCallback
) -> Iterator[Stack]:
    """Opens the corpus, indexed in a home of its own, which is kept by `digest`. Raises
    InvalidInput where a document is left out: figures on part of a corpus mislead."""
    with _open_cached(settings.home / "cache" / "retrieval" / digest[:16], settings) as stack:
        report = sync(
            stack,
            stack.settings.workspace,
            _Corpus(corpus, locale),
            lambda done, total: progress("Indexing", done, total),
        )
        if report.failures:
            first = report.failures[0]
            raise InvalidInput(
                f"Of {counted(len(corpus), 'document')} {report.failed:,} could not be indexed; the"
                f" first is {first.document!r}, at the step {first.step!r}: {first.reason}"
            )
        yield stack


async def _ranked(
    stack: Stack, reranker: Reranker | None, query: Query, rewrite: Rewrite, locale: str
) -> dict[str, list[str]]:
    """Returns every run's documents, best first."""
    history = tuple(Turn(turn.role, turn.text) for turn in query.history)
    question = _question(query.text, history if rewrite == "history" else (), locale, stack)
    seconds = stack.settings.reranker_s
    stage = as_stage(reranker, lambda: seconds) if reranker is not None else None
    found = (await asyncio.to_thread(search, question, stack, stage)).found
    # The parts alone get the whole conversation: what the search makes of it is the full run's.
    vector, keywords = encode(question, stack)
    dense, sparse = stack.index.search(vector, keywords, question.scope, DEPTH)
    fused = sorted((*found.candidates, *found.overruled), key=lambda candidate: -candidate.fused)
    return {
        "bm25": _documents(hit.chunk for hit in sparse),
        "dense": _documents(hit.chunk for hit in dense),
        "fusion": _documents(candidate.chunk for candidate in fused),
        "full": _documents(candidate.chunk for candidate in found.candidates),
    }


def searches(
    given: Sequence[Given], locale: str, settings: Settings, progress: StepCallback
) -> Iterator[Searched]:
    """Yields what each question finds where its passages are all there is, indexed in a home of
    their own: how rare a word is shows in all of them together."""
    passages = dict.fromkeys(text for row in given for text in row.passages)
    ids = {text: f"p{number}" for number, text in enumerate(passages)}
    corpus = [Text(id, "", text, False, id) for text, id in ids.items()]
    with open_corpus(corpus, digest_of(corpus), locale, settings, progress) as stack:
        chunks = _chunks(stack)
        for done, row in enumerate(given, start=1):
            history = tuple(Turn(turn.role, turn.text) for turn in row.history)
            own = [chunk for text in dict.fromkeys(row.passages) for chunk in chunks[ids[text]]]
            yield search_given(_question(row.question, history, locale, stack), own, stack)
            progress("Judging", done, len(given))


def _question(text: str, history: tuple[Turn, ...], locale: str, stack: Stack) -> Question:
    return Question(
        asked=text,
        standalone=condense(text, history),
        locale=locale,
        scope=SearchScope(stack.settings.workspace, int(time.time())),
        as_of=None,
        history=history,
    )


def _chunks(stack: Stack) -> Mapping[str, list[Chunk]]:
    """Returns the chunks of every document, by its id."""
    found: dict[str, list[Chunk]] = defaultdict(list)
    for chunk in stack.index.retrieve(list(stack.index.ids(stack.settings.workspace))):
        found[chunk.key.partition("/")[2]].append(chunk)
    return found


def _documents(chunks: Iterable[Chunk]) -> list[str]:
    return list(dict.fromkeys(chunk.key.partition("/")[2] for chunk in chunks))


def _sync_help_center(stack: Stack, settings: Settings) -> None:
    """Indexes the pages that lie beside a company's house policy, where they or nothing are the
    sources: what a suite is asked of is whole, also after an earlier sync was interrupted."""
    house = settings.house_file
    pages = house.parent / HELP_CENTER if house else None
    if pages and pages.is_dir():
        names = {source.name for source in list_sources(stack.ledger, settings.workspace)}
        if not names or pages.name in names:
            sync(stack, settings.workspace, Folder(pages.name, pages))


def _open_cached(home: Path, settings: Settings) -> Stack:
    kept = settings.model_dump(exclude={"home", "ledger_url"})
    own = Settings(home=home, ledger_url="", **kept)
    try:
        return open_stack(own)
    except SetupError:
        # Made by another embedder or splitter: a cache is made again.
        shutil.rmtree(home, ignore_errors=True)
        return open_stack(own)
