"""Where a fault is planted: the stores and pages of a bench, changed for one case and put back."""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from random import Random
from typing import Any
from uuid import uuid4

from sqlalchemy import delete, insert, select, update

from models.diagnosis.replays import ReplayedCase
from models.evaluate.local import Bench, Habit
from models.suite.facts import says
from models.suite.suite import Case
from twofold.index.contract import Chunk, DocumentRef, Embedded, Kind, SparseVector
from twofold.ledger.models import Document, Failure, Version
from twofold.policy import HousePolicy
from twofold.text import blocks as prose

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Held:
    """A gold page as it stands: its rows, and its chunks in reading order."""

    document: dict[str, Any]
    version: dict[str, Any]
    chunks: tuple[Chunk, ...]

    @property
    def key(self) -> str:
        return f"{self.document['source']}/{self.document['external_id']}"


class Site:
    """Breaks what one case rests on that is answered rightly.

    Everything that is changed is put back when the site is closed (a context manager).
    """

    def __init__(
        self,
        bench: Bench,
        house: HousePolicy,
        healthy: ReplayedCase,
        others: Sequence[ReplayedCase],
        seed: str,
    ) -> None:
        self.bench = bench
        self.house = house
        self.healthy = healthy
        self.others = others
        """Other cases that are answered rightly."""
        self.random = Random(seed)  # noqa: S311  faults are drawn, nothing is kept secret
        self._undo = ExitStack()

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def case(self) -> Case:
        return self.healthy.case

    @property
    def facts(self) -> tuple[tuple[str, ...], ...]:
        return self.case.expect.spellings

    def holds(self, text: str) -> bool:
        """Returns whether a text holds any fact of the case."""
        return any(says(text, fact) for fact in self.facts)

    def gold(self) -> list[Held]:
        """Returns the gold pages that are there, the first one first."""
        stack, found = self.bench.stack, []
        with stack.ledger.engine.connect() as connection:
            for name in self.case.expect.documents:
                rows = connection.execute(
                    select(Document.__table__).where(
                        Document.workspace == stack.settings.workspace,
                        Document.external_id == name,
                        Document.live.is_not(None),
                    )
                ).mappings()
                for row in rows:
                    version = connection.execute(
                        select(Version.__table__).where(
                            Version.document_id == row["id"], Version.number == row["live"]
                        )
                    ).mappings()
                    held = dict(version.one())
                    chunks = tuple(stack.index.retrieve(held["points"]))
                    found.append(Held(dict(row), held, chunks))
        return found

    # --- the index -----------------------------------------------------------------------

    def change(self, before: Sequence[Chunk], change: Callable[[Chunk], Chunk]) -> None:
        """Payloads alone."""
        index = self.bench.stack.index
        index.update_payload([change(chunk) for chunk in before])
        self._undo.callback(index.update_payload, list(before))

    def drop(self, chunks: Sequence[Chunk]) -> None:
        index = self.bench.stack.index
        index.delete([chunk.id for chunk in chunks])
        self._undo.callback(lambda: index.upsert(self._embedded(chunks)))

    def add(self, chunks: Sequence[Chunk], embedded_as: Sequence[str] | None = None) -> None:
        """Adds new points; `embedded_as`: embedded as if their texts were these."""
        index = self.bench.stack.index
        index.upsert(self._embedded(chunks, embedded_as))
        self._undo.callback(index.delete, [chunk.id for chunk in chunks])

    def misplace(self, chunks: Sequence[Chunk], texts: Sequence[str]) -> None:
        """Moves the points to where other texts would stand; their payload stays."""
        index = self.bench.stack.index
        vectors = self.bench.stack.embedder.embed(list(texts))
        index.upsert(
            [
                Embedded(chunk, vector, SparseVector([], []))
                for chunk, vector in zip(chunks, vectors, strict=True)
            ]
        )
        self._undo.callback(lambda: index.upsert(self._embedded(chunks)))

    def _embedded(
        self, chunks: Sequence[Chunk], embedded_as: Sequence[str] | None = None
    ) -> list[Embedded]:
        stack = self.bench.stack
        texts = list(embedded_as or [chunk.embedded_text for chunk in chunks])
        vectors = stack.embedder.embed(texts)
        return [
            Embedded(chunk, vector, stack.sparse.document(text, chunk.locale))
            for chunk, vector, text in zip(chunks, vectors, texts, strict=True)
        ]

    # --- the ledger ----------------------------------------------------------------------

    def set_version(self, held: Held, **values: Any) -> None:
        self._set(Version, held.version, values)

    def set_document(self, held: Held, **values: Any) -> None:
        self._set(Document, held.document, values)

    def _set(self, table: type[Version] | type[Document], row: dict[str, Any], values: Any) -> None:
        engine = self.bench.stack.ledger.engine
        before = {name: row[name] for name in values}

        def put(new: dict[str, Any]) -> None:
            with engine.begin() as connection:
                connection.execute(update(table).where(table.id == row["id"]).values(**new))

        put(values)
        row |= values

        def back() -> None:
            put(before)
            row.update(before)

        self._undo.callback(back)

    def forget(self, held: Held) -> None:
        """Deletes the page from the ledger."""
        engine = self.bench.stack.ledger.engine
        with engine.connect() as connection:
            rows = [
                dict(row)
                for row in connection.execute(
                    select(Version.__table__).where(Version.document_id == held.document["id"])
                ).mappings()
            ]
        with engine.begin() as connection:
            connection.execute(delete(Version).where(Version.document_id == held.document["id"]))
            connection.execute(delete(Document).where(Document.id == held.document["id"]))

        def again() -> None:
            with engine.begin() as connection:
                connection.execute(insert(Document), [held.document])
                connection.execute(insert(Version), rows)

        self._undo.callback(again)

    def fail(self, held: Held, step: str, reason: str) -> None:
        """Makes the last sync fail to read the page."""
        engine, now = self.bench.stack.ledger.engine, time.time()
        own = {
            "workspace": held.document["workspace"],
            "source": held.document["source"],
            "external_id": held.document["external_id"],
        }
        with engine.begin() as connection:
            connection.execute(
                insert(Failure),
                {**own, "step": step, "reason": reason, "attempts": 3, "first_at": now,
                 "last_at": now, "next_at": None},
            )  # fmt: skip

        def mended() -> None:
            with engine.begin() as connection:
                connection.execute(
                    delete(Failure).where(*(getattr(Failure, k) == v for k, v in own.items()))
                )

        self._undo.callback(mended)

    def next_version(self, held: Held, sections: list[dict[str, Any]]) -> list[Chunk]:
        """Makes a newer version of the page live and returns its chunks, which are in the index."""
        engine, now = self.bench.stack.ledger.engine, time.time()
        number = held.version["number"] + 1
        chunks = [
            replace(
                chunk,
                id=str(uuid4()),
                since=number,
                heading_path=tuple(section["heading_path"]),
                text=text,
                position=at,
            )
            for at, (section, text) in enumerate(_passages(sections))
            for chunk in held.chunks[:1]
        ]
        new = {name: value for name, value in held.version.items() if name != "id"}
        new |= {
            "number": number,
            "content_hash": uuid4().hex,
            "raw_hash": uuid4().hex,
            "sections": sections,
            "points": [chunk.id for chunk in chunks],
            "applied_from": now - DAY,
        }
        self.drop(held.chunks)
        self.add(chunks)
        self.set_version(held, applied_until=now - DAY, points=[])
        with engine.begin() as connection:
            connection.execute(insert(Version), [new])

        def gone() -> None:
            with engine.begin() as connection:
                own = (Version.document_id == held.document["id"], Version.number == number)
                connection.execute(delete(Version).where(*own))

        self._undo.callback(gone)
        self.set_document(held, live=number, raw_hash=new["raw_hash"])
        return chunks

    def plant(
        self,
        texts: Sequence[tuple[str, str]],
        *,
        kind: Kind = "article",
        updated_at: int | None = None,
        together: bool = False,
        embedded_as: Sequence[str] | None = None,
    ) -> None:
        """Adds new pages (title, text), each with a version of its own; `together`: as passages
        of one page."""
        stack, engine = self.bench.stack, self.bench.stack.ledger.engine
        workspace, like = stack.settings.workspace, self.gold()[0]
        chunks: list[Chunk] = []
        documents: list[dict[str, Any]] = []
        versions: list[dict[str, Any]] = []
        name = ""
        for at, (title, text) in enumerate(texts):
            if not together or not name:
                name = f"planted/{self.random.getrandbits(64):016x}.md"
            ref = DocumentRef(workspace, like.document["source"], name)
            chunk = replace(
                like.chunks[0],
                id=str(uuid4()),
                document=ref.id,
                key=ref.key,
                since=1,
                title=title,
                heading_path=(),
                text=text,
                position=at,
                kind=kind,
                updated_at=updated_at or like.chunks[0].updated_at,
            )
            chunks.append(chunk)
            if any(row["id"] == ref.id for row in documents):
                versions[-1]["points"].append(chunk.id)
                versions[-1]["sections"].append({"heading_path": [], "text": text, "line": 1})
                continue
            documents.append(
                {**like.document, "id": ref.id, "external_id": name, "live": 1, "raw_hash": "x"}
            )
            row = {key: value for key, value in like.version.items() if key != "id"}
            versions.append(
                {**row, "document_id": ref.id, "number": 1, "title": title, "kind": kind,
                 "sections": [{"heading_path": [], "text": text, "line": 1}],
                 "points": [chunk.id], "content_hash": uuid4().hex, "raw_hash": "x"}
            )  # fmt: skip
        with engine.begin() as connection:
            connection.execute(insert(Document), documents)
            connection.execute(insert(Version), versions)
        ids = [row["id"] for row in documents]

        def gone() -> None:
            with engine.begin() as connection:
                connection.execute(delete(Version).where(Version.document_id.in_(ids)))
                connection.execute(delete(Document).where(Document.id.in_(ids)))

        self._undo.callback(gone)
        self.add(chunks, embedded_as)

    # --- the source, the settings, the reply maker -----------------------------------------

    def remove_file(self, held: Held) -> None:
        path = self.bench.pages / held.document["external_id"]
        before = path.read_bytes()
        path.unlink()
        self._undo.callback(path.write_bytes, before)

    def rewrite_file(self, held: Held, text: str) -> None:
        path = self.bench.pages / held.document["external_id"]
        before = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        self._undo.callback(path.write_bytes, before)

    def narrow(self, chunks: int, chars: int) -> None:
        """Lets fewer passages, of fewer characters, fit the reply maker's context."""
        settings = self.bench.stack.settings
        before = (settings.context_chunks, settings.context_chars)

        def put(chunks: int, chars: int) -> None:
            settings.context_chunks, settings.context_chars = chunks, chars

        put(chunks, chars)
        self._undo.callback(put, *before)

    def behave(self, habit: Habit) -> None:
        self.bench.behave(habit)
        self._undo.callback(self.bench.behave, None)


def _passages(sections: Iterable[dict[str, Any]], room: int = 900) -> list[tuple[Any, str]]:
    """Sections cut as an index would: whole blocks, as many as `room` characters take."""
    found: list[tuple[Any, str]] = []
    for section in sections:
        text, start = section["text"], len(found)
        for block in prose.blocks(text):
            piece = text[slice(*block.span)]
            if len(found) > start and len(found[-1][1]) + len(piece) <= room:
                found[-1] = (section, f"{found[-1][1]}\n\n{piece}")
            else:
                found.append((section, piece))
    return found
