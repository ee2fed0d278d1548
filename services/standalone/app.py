"""The embedded default in one process: answers, ingestion and the widget, over one open stack."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi import Depends, FastAPI

from ingestion.api import router as ingestion_router
from ingestion.hooks import screen
from models.diagnosis.live import attribute_live
from models.diagnosis.verdicts import Verdict
from models.suite.client import AnswerClient
from services.answer import diagnoses
from services.answer.access.keys import Caller
from services.answer.app import bare_app, protect
from services.answer.endpoints.admission import CALLER
from services.answer.endpoints.deps import own_workspace
from services.answer.pipeline import Parts
from services.http.origin import HERE
from services.http.problems import declare
from services.standalone.console.console import console_router
from services.standalone.demo import demo_router
from services.standalone.inside import InsideTransport
from services.standalone.replays import Replays, running
from services.widget.app import mount
from services.widget.widget import WaysIn, Widget, open_widget

DOCUMENT_PATHS = "/v1/documents"
HOOK_PATHS = "/v1/hooks"
JSON_OVERHEAD = 2
"""Escapes and structure around a document's text."""


def create_app(parts: Parts, hosts: Sequence[str] = (), key_needed: bool = False) -> FastAPI:
    """Returns everything under one roof. `hosts` are the names it answers to; empty means any.

    `key_needed`: callers on this machine need a key as well, from the first request on.
    """
    settings = parts.stack.settings
    app = bare_app(parts)
    # Routes of ingestion and of sites know one workspace, this server's own.
    ours = [Depends(own_workspace)]
    app.include_router(
        ingestion_router(parts.stack), responses=declare(404, 409, 502), dependencies=ours
    )
    widget = open_inside(app, parts, local=not key_needed)
    mount(app, widget, ours)
    look_into(app, parts)
    app.include_router(console_router(app, parts, key_needed=key_needed))
    if not key_needed:
        app.include_router(demo_router(widget, parts.house))
    document = int(settings.max_file_mb * 1_000_000 * JSON_OVERHEAD)
    larger = [(DOCUMENT_PATHS, document), (HOOK_PATHS, document)]
    protect(app, parts.stack, larger, hosts, key_needed, [(HOOK_PATHS, screen)])
    return app


def open_inside(app: FastAPI, parts: Parts, *, local: bool) -> Widget:
    """Returns a widget that asks `app`, and lives as long as it does."""
    stack = parts.stack
    own = InsideTransport(app, {CALLER: Caller(stack.settings.workspace)})
    ways = WaysIn(own, InsideTransport(app, {"client": HERE}))
    widget = open_widget(stack.settings, stack.ledger, ways, local=local)
    before = app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        async with before(app), widget.running():
            yield

    app.router.lifespan_context = both
    return widget


def look_into(app: FastAPI, parts: Parts) -> None:
    """Has live answers looked into beside the server, unless Celery's workers do it."""
    settings = parts.stack.settings
    if not settings.live_diagnosis:
        return
    diagnoses.expose(parts.stack.ledger)
    if settings.redis_url:
        return

    async def attribute(client: AnswerClient, record: Mapping[str, Any], said: str) -> Verdict:
        return await attribute_live(client, record, said, parts.house)

    replays = Replays(parts.stack.ledger, settings.live_diagnosis_sample, attribute)
    before = app.router.lifespan_context

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        own = InsideTransport(app, {CALLER: Caller(settings.workspace)})
        http = httpx.AsyncClient(transport=own, base_url="http://localhost")
        async with before(app), running(replays, http):
            yield

    app.router.lifespan_context = both


def source_of(path: Path) -> str:
    """Returns a source name for a folder that was given none: its own name, as a name may be."""
    kept = (c if c.isascii() and c.isalnum() else "-" for c in path.resolve().name.lower())
    return "".join(kept).strip("-")[:63] or "docs"
