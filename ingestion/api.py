"""Knowledge administration over HTTP: sources, syncs, single documents."""

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ingestion.errors import StepFailed
from ingestion.lease import register
from ingestion.pipeline import carry_out
from ingestion.push import delete_document, put_document
from ingestion.run import Run, open_run
from ingestion.sources import Fetched, Source, check_name, open_source, reopen
from ingestion.status import list_sources, source_record, sync_status
from twofold.errors import NotFound, TwofoldError
from twofold.index import Kind
from twofold.settings import Settings
from twofold.stack import Stack

STOP_SECONDS = 30.0
"""How long a closing server waits for its syncs to reach a point where they can stop."""

log = structlog.get_logger()


class NewSource(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str = "folder"
    config: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    """Of a folder: short for `config: {path}`."""

    def open(self, settings: Settings) -> Source:
        config = self.config if self.path is None else {**self.config, "path": self.path}
        return open_source(settings, self.kind, check_name(self.name), config)


class Started(BaseModel):
    id: str


class NewDocument(BaseModel):
    """A document's text, and what front matter would say of it; front matter in `content` wins."""

    model_config = ConfigDict(extra="forbid")

    content: str = Field(min_length=1)
    content_type: Literal["text/markdown", "text/mdx", "text/html", "text/plain"] = "text/markdown"
    title: str | None = None
    kind: Kind | None = None
    audience: list[str] | None = None
    locale: str | None = None
    product: str | None = None
    url: str | None = None
    updated_at: datetime | None = None
    effective_from: str | None = None
    expires_at: str | None = None
    review_by: str | None = None
    labels: list[str] | None = None

    def fetched(self) -> Fetched:
        meta = self.model_dump(exclude={"content", "content_type"}, exclude_none=True, mode="json")
        return Fetched(self.content.encode(), self.content_type, meta=meta)


class Syncs:
    """Syncs that run in threads of this process; stopped, at a safe point, when it closes."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._running: dict[str, tuple[Run, threading.Thread]] = {}

    def start(self, source: Source) -> str:
        """Raises Conflict where another sync of the source runs."""
        run = open_run(self._stack.ledger, self._stack.settings.workspace, source)
        thread = threading.Thread(target=self._carry_out, args=(run, source), daemon=True)
        self._running[run.id] = run, thread
        thread.start()
        return run.id

    def close(self) -> None:
        for run, _ in list(self._running.values()):
            run.stop.set()
        for _, thread in list(self._running.values()):
            thread.join(STOP_SECONDS)

    def _carry_out(self, run: Run, source: Source) -> None:
        # How it ended stands in the sync's row; here it would only end a thread.
        try:
            with run:
                carry_out(self._stack, run, source)
        except (TwofoldError, StepFailed) as error:
            log.warning("sync.stopped", source=run.source, sync=run.id, error=str(error))
        except Exception:
            log.exception("sync.crashed", source=run.source, sync=run.id)
        finally:
            del self._running[run.id]


def router(stack: Stack) -> APIRouter:
    """The routes under `/v1`. Errors are TwofoldErrors, for the app to render."""
    syncs = Syncs(stack)
    workspace = stack.settings.workspace

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        yield
        syncs.close()

    routes = APIRouter(prefix="/v1", tags=["knowledge"], lifespan=lifespan)

    @routes.post("/sources", status_code=201)
    def add_source(new: NewSource) -> dict[str, Any]:
        source = new.open(stack.settings)
        register(stack.ledger, workspace, source.name, source.kind, source.config)
        return source_record(_named(stack, new.name))

    @routes.get("/sources")
    def all_sources() -> list[dict[str, Any]]:
        return [source_record(each) for each in list_sources(stack.ledger, workspace)]

    @routes.post("/sources/{name}/sync", status_code=202)
    def start_sync(name: str) -> Started:
        known = _named(stack, name)
        source = reopen(stack.settings, name, known.kind, known.config)
        return Started(id=syncs.start(source))

    @routes.get("/syncs/{id}")
    def one_sync(id: str) -> dict[str, Any]:
        return sync_status(stack.ledger, workspace, id)._asdict()

    @routes.put("/documents/{source}/{external_id:path}")
    def put(source: str, external_id: str, new: NewDocument) -> dict[str, Any]:
        return put_document(stack, workspace, source, external_id, new.fetched())._asdict()

    @routes.delete("/documents/{source}/{external_id:path}", status_code=204)
    def delete(source: str, external_id: str) -> None:
        delete_document(stack, workspace, source, external_id)

    return routes


def _named(stack: Stack, name: str) -> Any:
    for each in list_sources(stack.ledger, stack.settings.workspace):
        if each.name == name:
            return each
    raise NotFound(f"There is no source {name!r}. Add it with POST /v1/sources.")
