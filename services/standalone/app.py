"""The embedded default in one process: answers, ingestion and the page, over one open stack."""

from collections.abc import Sequence
from pathlib import Path

from fastapi import Depends, FastAPI

from ingestion.api import router as ingestion_router
from services.answer.app import bare_app, protect
from services.answer.endpoints.deps import own_workspace
from services.answer.endpoints.problems import declare
from services.answer.pipeline import Parts
from services.standalone.page import page_router

DOCUMENT_PATHS = "/v1/documents"
HOOK_PATHS = "/v1/hooks"
JSON_OVERHEAD = 2
"""Escapes and structure around a document's text."""


def create_app(parts: Parts, hosts: Sequence[str] = (), key_needed: bool = False) -> FastAPI:
    """Everything under one roof. `hosts` are the names it answers to; empty means any.

    `key_needed`: callers on this machine need a key as well, from the first request on.
    """
    settings = parts.stack.settings
    app = bare_app(parts)
    app.include_router(
        ingestion_router(parts.stack),
        responses=declare(404, 409, 502),
        # Its routes know one workspace, this server's own.
        dependencies=[Depends(own_workspace)],
    )
    app.include_router(page_router(parts.house))
    document = int(settings.max_file_mb * 1_000_000 * JSON_OVERHEAD)
    larger = [(DOCUMENT_PATHS, document), (HOOK_PATHS, document)]
    protect(app, parts.stack, larger, hosts, key_needed)
    return app


def source_of(path: Path) -> str:
    """A source name for a folder that was given none: its own name, as a name may be."""
    kept = (c if c.isascii() and c.isalnum() else "-" for c in path.resolve().name.lower())
    return "".join(kept).strip("-")[:63] or "docs"
