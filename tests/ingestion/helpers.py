"""What the tests of this plane share: writing trees, syncing, and reading states back."""

import os
import time
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from ingestion.sync.run import Report
from tests.fakes import DictIndex
from twofold.index.contract import Chunk, Scope
from twofold.ledger import versions_at
from twofold.ledger.models import Document, Version
from twofold.stack import Stack

WORKSPACE = "default"
SOURCE = "help"
WRITTEN = 1_700_000_000
"""When every file of a test was last changed: runs must not differ by their clock."""


def write_tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        os.utime(path, (WRITTEN, WRITTEN))


def article(*sections: str, **front: str) -> str:
    """Markdown with front matter and one section for each text."""
    head = "".join(f"{key}: {value}\n" for key, value in front.items())
    body = "".join(f"## Part {n}\n\n{text}\n\n" for n, text in enumerate(sections))
    return (f"---\n{head}---\n" if head else "") + body


def run_sync(stack: Stack, root: Path, **options: Any) -> Report:
    return sync(stack, WORKSPACE, Folder(SOURCE, root), **options)


def points_of(stack: Stack) -> dict[str, Chunk]:
    assert isinstance(stack.index, DictIndex)
    return {id: point.chunk for id, point in stack.index.points.items()}


def readable(stack: Stack, *audiences: str, as_of: float | None = None) -> dict[str, list[str]]:
    """Texts that a reader gets, by document, in reading order: the reader's own two checks."""
    moment = time.time() if as_of is None else as_of
    scope = Scope(WORKSPACE, int(moment), frozenset(audiences))
    admitted = [chunk for chunk in points_of(stack).values() if scope.admits(chunk)]
    with stack.ledger.session() as session:
        applying = versions_at(session, sorted({c.document for c in admitted}), as_of)
    texts: dict[str, list[tuple[int, str]]] = {}
    for chunk in admitted:
        version = applying.get(chunk.document)
        if version is not None and chunk.since <= version < chunk.until:
            texts.setdefault(chunk.key, []).append((chunk.position, chunk.text))
    return {key: [text for _, text in sorted(found)] for key, found in sorted(texts.items())}


def state_of(stack: Stack) -> dict[str, Any]:
    """Ledger and index, without what may differ between two runs: clocks and row numbers."""
    with stack.ledger.session() as session:
        documents = session.scalars(select(Document).order_by(Document.external_id)).all()
        versions = session.scalars(
            select(Version).order_by(Version.document_id, Version.number)
        ).all()
    return {
        "documents": [(d.external_id, d.live, d.raw_hash, d.removed_at is None) for d in documents],
        "versions": [
            {
                name: getattr(version, name)
                for name in Version.__table__.columns.keys()  # noqa: SIM118  not a dict
                if name not in ("id", "fetched_at")
            }
            for version in versions
        ],
        "points": points_of(stack),
    }
