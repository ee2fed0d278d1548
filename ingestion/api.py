"""Knowledge administration over HTTP: sources, syncs, single documents."""

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from ingestion import ages
from ingestion.dispatch import do_now, worker_of
from ingestion.hooks import add_hooks
from ingestion.lease import register
from ingestion.push import accept_pushes, check_live
from ingestion.schedule import delete_job, ours, push_job, removal_job, retry, submit_sync
from ingestion.sources import Fetched, Source, check_name, open_source, reopen
from ingestion.status import find_source, list_sources, source_record, sync_status
from twofold.index import Kind
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


class Retried(BaseModel):
    """How many documents are tried again."""

    retried: int


def router(stack: Stack) -> APIRouter:
    """The routes under `/v1`. Errors are TwofoldErrors, for the app to render."""
    worker = worker_of(stack)
    ages.expose(stack.ledger, stack.settings.workspace)
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
        source = new.open(stack.settings)
        config = {**source.config, **ours(new.config)}
        register(stack.ledger, workspace, source.name, source.kind, config)
        return source_record(find_source(stack.ledger, workspace, new.name))

    @routes.get("/sources")
    def all_sources() -> list[dict[str, Any]]:
        return [source_record(each) for each in list_sources(stack.ledger, workspace)]

    @routes.delete("/sources/{name}", status_code=204)
    def remove_source(name: str) -> None:
        """Remove it and all its documents; returns once nothing of it answers any more."""
        known = find_source(stack.ledger, workspace, name)
        do_now(stack, queue, removal_job(workspace, name, known.kind))

    @routes.post("/sources/{name}/sync", status_code=202)
    def start_sync(name: str) -> Started:
        known = find_source(stack.ledger, workspace, name)
        reopen(stack.settings, name, known.kind, known.config)
        return Started(id=submit_sync(queue, workspace, name, known.kind))

    @routes.post("/sources/{name}/retry", status_code=202)
    def retry_failed(name: str, document: str | None = None) -> Retried:
        return Retried(retried=retry(queue, workspace, name, document))

    @routes.get("/syncs/{id}")
    def one_sync(id: str) -> dict[str, Any]:
        return sync_status(stack.ledger, workspace, id)._asdict()

    @routes.put("/documents/{source}/{external_id:path}")
    def put(
        source: str, external_id: str, new: NewDocument, response: Response, wait: bool = True
    ) -> dict[str, Any]:
        """Returns once the document answers; with `wait=false`, once it will."""
        job = push_job(stack, workspace, source, external_id, new.fetched())
        if wait:
            return dict(do_now(stack, queue, job))
        response.status_code = 202
        return {"id": queue.put([job])[0]}

    @routes.delete("/documents/{source}/{external_id:path}", status_code=204)
    def delete(source: str, external_id: str, wait: bool = True) -> None:
        check_live(stack, workspace, source, external_id)
        accept_pushes(stack, workspace, source)
        job = delete_job(workspace, source, external_id)
        if wait:
            do_now(stack, queue, job)
        else:
            queue.put([job])

    add_hooks(routes, stack, queue)
    return routes
