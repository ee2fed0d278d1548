"""A service that may be broken at will: what `twofold eval inject` plants its faults in."""

import asyncio
import shutil
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from ingestion.api import router as ingestion_router
from ingestion.sources.by_path import open_folder
from ingestion.sync.lease import register
from ingestion.sync.pipeline import sync
from models.evaluate.local import BenchCitation, BenchPassage, BenchReply, Habit
from services.answer.app import admitting, bare_app, open_parts
from services.answer.contract import Verified
from services.answer.events import Acted, Delta
from services.answer.generate import AnswerContext, ReplyResult
from services.answer.generate.ladder import Ladder
from services.answer.verify import citation_of
from twofold.clients.embedder import Embedder
from twofold.errors import Outdated, SetupError
from twofold.policy import HousePolicy
from twofold.reply import ACTIONS, Escalation
from twofold.settings import Settings
from twofold.stack import Stack, open_stack
from twofold.terminal import StepCallback

SOURCE = "pages"
MEMORY = Path("/dev/shm")  # noqa: S108  a folder of a random name is made in it
SLOPPY = "tuned"
"""`served_by` of what a habit has changed: it stands for a model that was trained badly."""


@dataclass(frozen=True, slots=True)
class HabitLadder(Ladder):
    """The ladder, with the habit that a person gives it."""

    habits: list[Habit] = field(default_factory=list)

    async def tell(
        self, seen: AnswerContext, *how: Any, **more: Any
    ) -> AsyncGenerator[Acted | Delta | ReplyResult, None]:
        async for each in Ladder.tell(self, seen, *how, **more):
            if isinstance(each, ReplyResult) and self.habits:
                yield _changed(each, seen, self.habits[0])
            else:
                yield each


@dataclass(frozen=True, slots=True)
class Bench:
    """`models.evaluate.local.Bench`."""

    stack: Stack
    pages: Path
    http: httpx.AsyncClient
    house: HousePolicy
    habits: list[Habit]

    def behave(self, habit: Habit | None) -> None:
        self.habits[:] = [habit] if habit else []


class MemoEmbedder:
    """An embedder that knows what it has embedded: a bench asks the same again and again."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[tuple[str, bool], npt.NDArray[np.float32]] = {}
        self.name = embedder.name
        self.dimension = embedder.dimension
        self.max_tokens = embedder.max_tokens

    def embed(self, texts: Sequence[str], *, passages: bool = False) -> npt.NDArray[np.float32]:
        new = [text for text in dict.fromkeys(texts) if (text, passages) not in self._known]
        if new:
            vectors = self._embedder.embed(new, passages=passages)
            self._known.update({(t, passages): v for t, v in zip(new, vectors, strict=True)})
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        return np.stack([self._known[text, passages] for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return self._embedder.count_tokens(texts)


@asynccontextmanager
async def open_bench(
    home: Path, folder: Path, settings: Settings, progress: StepCallback
) -> AsyncIterator[Bench]:
    """Opens a copy of the index of `folder`, which is kept in `home`."""
    pages = home / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(folder, pages)
    kept = settings.model_dump(exclude={"home", "ledger_url"})
    own = Settings(
        **{**kept, "model_url": "", "reranker_url": "", "reranker_folder": None},
        home=home,
        ledger_url="",
    )

    def indexed(done: int, total: int) -> None:
        progress("Indexing", done, total)

    with _open(own) as stack:
        workspace = stack.settings.workspace
        source = open_folder(stack.settings, stack.ledger, workspace, SOURCE, pages)
        await asyncio.to_thread(sync, stack, workspace, source, indexed)
    # What is thrown away need not reach a disk, and every fault is written durably.
    memory = MEMORY if MEMORY.is_dir() else None  # noqa: ASYNC240
    with tempfile.TemporaryDirectory(prefix="twofold-bench-", dir=memory) as place:
        copy = Path(place) / "home"
        shutil.copytree(home, copy)
        there = own.model_copy(update={"home": copy})
        stack = open_stack(Settings(**{**there.model_dump(), "home": copy, "ledger_url": ""}))
        with stack:
            stack = replace(stack, embedder=MemoEmbedder(stack.embedder))
            # The source reads the copy from here on.
            config = {"path": str(copy / "pages")}
            register(stack.ledger, workspace, SOURCE, "folder", config)
            parts = open_parts(stack)
            habits: list[Habit] = []
            ladder = HabitLadder(
                parts.house,
                parts.decider,
                calls=parts.ladder.calls,
                sentences=parts.ladder.sentences,
                habits=habits,
            )
            app = bare_app(replace(parts, ladder=ladder))
            app.include_router(ingestion_router(stack))
            transport = httpx.ASGITransport(admitting(app, workspace))
            async with httpx.AsyncClient(transport=transport, base_url="http://bench") as http:
                yield Bench(stack, copy / "pages", http, parts.house, habits)
            await parts.aclose()


def _open(settings: Settings) -> Stack:
    """Returns the kept index; where another embedder, splitter or reader made it, it is made
    again."""
    try:
        return open_stack(settings)
    except (SetupError, Outdated):
        pages = settings.home / "pages"
        for each in settings.home.iterdir():
            if each != pages:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        return open_stack(settings)


def _changed(told: ReplyResult, seen: AnswerContext, habit: Habit) -> ReplyResult:
    to = told.decision.escalation
    said = habit(
        BenchReply(
            told.decision.action,
            to.team if to else None,
            to.reason if to else None,
            told.text,
            tuple(BenchCitation(c.n, c.chunk, c.quote) for c in told.citations),
            tuple(BenchPassage(c.chunk.id, c.chunk.key, c.chunk.text) for c in seen.packed),
        )
    )
    action = next(each for each in ACTIONS if each == said.action)
    escalation = Escalation(said.team, said.reason) if said.team and said.reason else None
    decision = replace(told.decision, action=action, escalation=escalation)
    by_id = {candidate.chunk.id: candidate for candidate in seen.packed}
    citations = tuple(citation_of(c.n, by_id[c.chunk], c.quote) for c in said.citations)
    verified = Verified(said.text, citations, told.verified.verdicts)
    return ReplyResult(decision, said.text, SLOPPY, told.draft, verified)
