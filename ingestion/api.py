"""Knowledge administration over HTTP: sources, syncs, single documents."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ingestion.hooks import add_hooks
from ingestion.jobs import queue_metrics
from ingestion.jobs.dispatch import do_now, worker_of
from ingestion.jobs.schedule import delete_job, ours, push_job, removal_job, retry, submit_sync
from ingestion.sources import Fetched, Source, check_name, open_source, reopen
from ingestion.sync.lease import register
from ingestion.sync.prepare import read_one
from ingestion.sync.push import accept_pushes, check_live
from ingestion.sync.status import find_source, list_sources, source_record, sync_status
from twofold.errors import Forbidden
from twofold.index.contract import Kind
from twofold.settings import Settings
from twofold.stack import Stack


class NewSource(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    kind: str = "folder"
    config: dict[str, Any] = Field(default_factory=dict)
    path: str | None = None
    """Of a folder: short for `config: {path}`."""

    def open(self, settings: Settings) -> Source:
        config = self.config if self.path is None else {**self.config, "path": self.path}
        if self.kind == "folder" and config.get("path"):
            _check_root(settings, str(config["path"]))
        return open_source(settings, self.kind, check_name(self.name), config)


def _check_root(settings: Settings, path: str) -> None:
    """Raises Forbidden for a folder below no named root: a key must not open any file of the
    machine."""
    folder = Path(path).resolve()
    if not any(folder.is_relative_to(root.resolve()) for root in settings.source_roots):
        raise Forbidden(
            f"{path!r} lies below no folder that TWOFOLD_SOURCE_ROOTS names. Name one there, or add"
            " the source on the machine itself: twofold ingest PATH --source NAME."
        )


class Started(BaseModel):
    id: str


Name = Annotated[str, Field(max_length=100)]


class NewDocument(BaseModel):
    """A document's text, and what front matter would say of it; front matter in `content` wins."""

    model_config = ConfigDict(extra="forbid")

    content: str = Field(min_length=1)
    content_type: Literal["text/markdown", "text/mdx", "text/html", "text/plain"] = "text/markdown"
    title: Annotated[str | None, Field(max_length=500)] = None
    kind: Kind | None = None
    audience: Annotated[list[Name] | None, Field(max_length=16)] = None
    locale: Name | None = None
    product: Name | None = None
    url: Annotated[str | None, Field(max_length=2000)] = None
    updated_at: datetime | None = None
    effective_from: Name | None = None
    expires_at: Name | None = None
    review_by: Name | None = None
    labels: Annotated[list[Name] | None, Field(max_length=50)] = None

    def fetched(self) -> Fetched:
        meta = self.model_dump(exclude={"content", "content_type"}, exclude_none=True, mode="json")
        return Fetched(self.content.encode(), self.content_type, meta=meta)


class Retried(BaseModel):
    """How many documents are tried again."""

    retried: int


def router(stack: Stack) -> APIRouter:
    """Returns the routes under `/v1`. Errors are TwofoldErrors, for the app to render."""
    worker = worker_of(stack)
    queue_metrics.expose(stack.ledger, stack.settings.workspace)
    queue = worker.queue
    workspace = stack.settings.workspace

    @asynccontextmanager
    async def lifespan(_app: Any) -> AsyncIterator[None]:
        worker.start()
        try:
            yield
        finally:
            await to_thread(worker.close)

    routes = APIRouter(prefix="/v1", tags=["knowledge"], lifespan=lifespan)

    @routes.post("/sources", status_code=201)
    def add_source(new: NewSource) -> dict[str, Any]:
        """Registers a folder below a root that the operator named, a website, a feed, a help desk
        or a target of pushes. Nothing is read yet: start a sync."""
        source = new.open(stack.settings)
        config = {**source.config, **ours(new.config)}
        register(stack.ledger, workspace, source.name, source.kind, config)
        return source_record(find_source(stack.ledger, workspace, new.name))

    @routes.get("/sources")
    def all_sources() -> list[dict[str, Any]]:
        """Every source with its documents, chunks, failures and last sync."""
        return [source_record(each) for each in list_sources(stack.ledger, workspace)]

    @routes.delete("/sources/{name}", status_code=204)
    def remove_source(name: str) -> None:
        """Removes it and all its documents; returns once nothing of it answers any more."""
        known = find_source(stack.ledger, workspace, name)
        do_now(stack, queue, removal_job(workspace, name, known.kind))

    @routes.post("/sources/{name}/sync", status_code=202)
    def start_sync(name: str, allow_removal: bool = False) -> Started:
        """Reads the source again in the background; `GET /v1/syncs/{id}` says how far it is.

        `allow_removal` lets an unusual share of its documents go, or all of them: without it such
        a sync is held.
        """
        known = find_source(stack.ledger, workspace, name)
        reopen(stack.settings, name, known.kind, known.config)
        started = submit_sync(queue, workspace, name, known.kind, allow_removal=allow_removal)
        return Started(id=started)

    @routes.post("/sources/{name}/retry", status_code=202)
    def retry_failed(name: str, document: str | None = None) -> Retried:
        """Tries what failed again at once: one document, or all of the source's."""
        return Retried(retried=retry(queue, workspace, name, document))

    @routes.get("/sources/{name}/read")
    def read_now(name: str, document: str) -> dict[str, Any]:
        """What the source says of a document now, read as a sync would read it; nothing is kept.
        Only of folders: elsewhere one document is not had without the others."""
        known = find_source(stack.ledger, workspace, name)
        source = reopen(stack.settings, name, known.kind, known.config)
        return read_one(stack, source, document)

    @routes.get("/syncs/{id}")
    def one_sync(id: str) -> dict[str, Any]:
        """How far a sync, push or removal is, what it counted, and what it failed on."""
        return sync_status(stack.ledger, workspace, id)._asdict()

    @routes.put("/documents/{source}/{external_id:path}")
    def put(
        source: str, external_id: str, new: NewDocument, response: Response, wait: bool = True
    ) -> dict[str, Any]:
        """Puts a document into a source of kind `push`, in place of the one before.

        Returns once the document answers; with `wait=false`, once it is certain to.
        """
        job = push_job(stack, workspace, source, external_id, new.fetched())
        if wait:
            return dict(do_now(stack, queue, job))
        response.status_code = 202
        return {"id": queue.put([job])[0]}

    @routes.delete("/documents/{source}/{external_id:path}", status_code=204)
    def delete(source: str, external_id: str, wait: bool = True) -> None:
        """Removes a pushed document; returns once it answers no more (`wait=false`: once it is
        certain to be gone)."""
        check_live(stack, workspace, source, external_id)
        accept_pushes(stack, workspace, source)
        job = delete_job(workspace, source, external_id)
        if wait:
            do_now(stack, queue, job)
        else:
            queue.put([job])

    add_hooks(routes, stack, queue)
    return routes
