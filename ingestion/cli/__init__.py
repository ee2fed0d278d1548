"""Commands of the ingestion plane. Anything heavy is imported by the command that needs it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion.cli import retry, upkeep
from ingestion.cli import sources as cli_sources
from twofold.terminal import bar, print_json

if TYPE_CHECKING:
    from ingestion.sources import Source
    from ingestion.sync.run import Report
    from ingestion.sync.status import SyncStatus
    from twofold.ledger import Ledger
    from twofold.settings import Settings

SHOWN_FAILURES = 20

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Workspace = Annotated[str, typer.Option(help="Workspace; TWOFOLD_WORKSPACE where not given.")]


def register(app: typer.Typer) -> None:
    """Add this plane's commands to the `twofold` command."""
    cli_sources.register(app)
    app.command("ingest")(ingest)
    knowledge = typer.Typer(help="Look into the knowledge layer.", no_args_is_help=True)
    knowledge.command("status")(status)
    knowledge.command("sources")(sources)
    knowledge.command("show")(show)
    upkeep.register(knowledge)
    retry.register(knowledge)
    app.add_typer(knowledge, name="knowledge")


def ingest(
    paths: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of Markdown, HTML, text, PDF and Word files; or, to look, files."
        ),
    ],
    source: Annotated[str, typer.Option(help="Name of the source, such as help.")] = "",
    audience: Annotated[
        list[str] | None,
        typer.Option(help="Who may read files that do not say so; again for more. Else: public."),
    ] = None,
    kind: Annotated[
        str, typer.Option(help="What files are that do not say so: article, policy, release_note.")
    ] = "",
    workspace: Workspace = "",
    json: Json = False,
    allow_removal: Annotated[
        bool,
        typer.Option(
            "--allow-removal",
            "--allow-empty",
            help="Let an unusual share of the documents go, or all of them.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be read of the files; index nothing.")
    ] = False,
) -> None:
    """Bring the index up to date with a folder: here, or in the server that runs.

    Audience and kind stay as they are for the source until they are given again. Exit code 0 when
    every document went well, 1 when some failed and the others went on, or when what is gone was
    not removed; 2 when the sync could not be done.
    """
    from ingestion.sources.by_path import open_folder
    from twofold.settings import Settings

    settings = Settings()
    if dry_run:
        _look(settings, paths, json=json)
        return
    if len(paths) != 1 or not source:
        raise typer.BadParameter("Name one folder and its --source. Files go with --dry-run.")
    (path,) = paths
    given = {key: value for key, value in (("audience", audience), ("kind", kind)) if value}
    ledger, workspace = _ledger(workspace)
    folder = open_folder(settings, ledger, workspace, source, path, given)
    carry_out(settings, workspace, lambda _ledger: folder, json=json, allow_removal=allow_removal)


def _look(settings: "Settings", paths: Sequence[Path], *, json: bool) -> None:
    from ingestion.preview import preview, told

    seen = preview(settings, paths)
    if json:
        print_json([each.record() for each in seen])
    else:
        typer.echo("\n\n".join(map(told, seen)))
    raise typer.Exit(1 if any(each.error for each in seen) else 0)


def carry_out(
    settings: "Settings",
    workspace: str,
    opened: "Callable[[Ledger], Source]",
    *,
    json: bool,
    allow_removal: bool,
) -> None:
    """Sync, print the report, and exit with its code."""
    from ingestion.jobs.remote import serving, sync_there
    from ingestion.sync.pipeline import sync
    from ingestion.upkeep.rebuild import open_current
    from twofold.ledger import Ledger

    if serving(settings):
        source = opened(Ledger(settings.ledger))
        with bar("indexing", shown=not json) as progress:
            report = sync_there(settings, workspace, source, progress, allow_removal=allow_removal)
    else:
        with bar("indexing", shown=not json) as progress:
            stack = open_current(settings, _note, progress)
        with stack, bar("indexing", shown=not json) as progress:
            source = opened(stack.ledger)
            report = sync(stack, workspace, source, progress, allow_removal=allow_removal)
    if json:
        print_json(report.record())
    else:
        print_report(report)
    raise typer.Exit(1 if report.failed or report.remark else 0)


def status(workspace: Workspace = "", json: Json = False) -> None:
    """Sources, live documents and chunks, last syncs, and what failed and how to retry it."""
    from ingestion.sync.status import knowledge_status

    ledger, workspace = _ledger(workspace)
    known = knowledge_status(ledger, workspace)
    if json:
        print_json(known.record())
        return
    _print_sources(known.sources)
    typer.echo(f"\n{known.documents} live documents, {known.chunks} chunks.")
    for failure in known.failures:
        typer.echo(f"\nfailed: {failure.document} at {failure.step}, {failure.attempts} times")
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
            f" {len(version.points)} chunks, read {when(version.fetched_at)}"
        )
    typer.echo(f"\n{told(seen)}")


def _ledger(workspace: str) -> "tuple[Ledger, str]":
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    return Ledger(settings.ledger), workspace or settings.workspace


def _note(line: str) -> None:
    typer.echo(line, err=True)


def print_report(report: "Report") -> None:
    rate = report.chunks / report.seconds if report.seconds else 0.0
    rows = [
        (name, f"{getattr(report, name)}")
        for name in ("added", "changed", "unchanged", "removed", "skipped", "failed", "chunks")
    ]
    rows += [("seconds", f"{report.seconds:.1f}"), ("chunks per second", f"{rate:.1f}")]
    for name, value in rows:
        typer.echo(f"{name:<18}{value:>10}")
    if report.remark:
        typer.echo(report.remark, err=True)
    for each in report.left_out[:SHOWN_FAILURES]:
        typer.echo(f"skipped: {each.document}: {each.reason}", err=True)
    if len(report.left_out) > SHOWN_FAILURES:
        typer.echo(f"and {len(report.left_out) - SHOWN_FAILURES} more; --json names all", err=True)
    for note in report.failures[:SHOWN_FAILURES]:
        typer.echo(f"failed: {note.document} ({note.step}): {note.reason}", err=True)
    if len(report.failures) > SHOWN_FAILURES:
        more = len(report.failures) - SHOWN_FAILURES
        typer.echo(f"and {more} more; see all with: twofold knowledge status", err=True)


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
        return f"running, {sync.done} of {sync.total} documents{left}"
    return f"{sync.state}, {when(sync.started_at)} {sync.error}".strip()


def when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
