"""`twofold knowledge status`, `sources` and `show`: what the ledger knows of documents."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.counted import counted
from twofold.options import Json, Workspace
from twofold.terminal import print_json, when

if TYPE_CHECKING:
    from ingestion.sync.status import SyncStatus
    from twofold.ledger import Ledger


def register(knowledge: typer.Typer) -> None:
    knowledge.command("status")(status)
    knowledge.command("sources")(sources)
    knowledge.command("show")(show)


def status(workspace: Workspace = "", json: Json = False) -> None:
    """Sources, live documents and chunks, last syncs, and what failed and how to retry it."""
    from ingestion.sync.status import NOTHING_INDEXED, knowledge_status

    ledger, workspace = _ledger(workspace)
    known = knowledge_status(ledger, workspace)
    if json:
        print_json(known.record())
        return
    _print_sources(known.sources)
    typer.echo(f"\n{counted(known.documents, 'live document')}, {counted(known.chunks, 'chunk')}.")
    if not known.documents:
        typer.echo(NOTHING_INDEXED)
    for failure in known.failures:
        typer.echo(
            f"\nfailed: {failure.document} at {failure.step}, {counted(failure.attempts, 'time')}"
        )
        again = f"again at {when(failure.next_at)}" if failure.next_at else "not by itself"
        typer.echo(f"  {failure.reason}\n  next attempt: {again}\n  retry: {failure.retry}")


def sources(workspace: Workspace = "", json: Json = False) -> None:
    """The sources of a workspace."""
    from ingestion.sync.status import list_sources, source_record

    ledger, workspace = _ledger(workspace)
    found = list_sources(ledger, workspace)
    if json:
        print_json([source_record(each) for each in found])
    else:
        _print_sources(found)


def show(
    source: Annotated[str, typer.Argument(help="Source, such as help; or source/path at once.")],
    document: Annotated[str, typer.Argument(help="Path of the document in it.")] = "",
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """What the index holds of a document: who may read it and when, its text, its chunks."""
    from ingestion.preview import held, told
    from ingestion.sync.status import document_record, show_document
    from twofold.settings import Settings

    ledger, workspace = _ledger(workspace)
    found = show_document(ledger, workspace, f"{source}/{document}" if document else source)
    seen = held(Settings(), found)
    if json:
        print_json({**seen.record(), **document_record(found)})
        return
    typer.echo(f"{found.document}  ({found.id})")
    for version in found.versions:
        mark = "live" if version.live else "past"
        typer.echo(
            f"version {version.number} ({mark}): {version.title};"
            f" {counted(len(version.points), 'chunk')}, read {when(version.fetched_at)}"
        )
    typer.echo(f"\n{told(seen)}")


def _ledger(workspace: str) -> "tuple[Ledger, str]":
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    return Ledger(settings.ledger), workspace or settings.workspace


def _print_sources(found: Sequence[Any]) -> None:
    if not found:
        typer.echo("No sources yet. Add one with: twofold ingest PATH --source NAME")
        return
    row = "{:<20} {:<15} {:>9} {:>8} {:>7}  {}"
    typer.echo(row.format("source", "kind", "documents", "chunks", "failed", "last sync"))
    for each in found:
        told = _told(each.last_sync) if each.last_sync else "never"
        if every := each.config.get("every"):
            told += f"; every {every}"
        typer.echo(row.format(each.name, each.kind, each.documents, each.chunks, each.failed, told))


def _told(sync: "SyncStatus") -> str:
    if sync.state == "running" and sync.total:
        left = f", {sync.eta:.0f} s left" if sync.eta is not None else ""
        return f"running, {sync.done} of {counted(sync.total, 'document')}{left}"
    return f"{sync.state}, {when(sync.started_at)} {sync.error}".strip()
