"""`twofold ingest` and `twofold sync`: bring the index up to date, here or in the server."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.options import Json, Workspace
from twofold.terminal import bar, line, print_json

if TYPE_CHECKING:
    from ingestion.sources import Source
    from ingestion.sync.run import Report
    from twofold.ledger import Ledger
    from twofold.settings import Settings

SHOWN_FAILURES = 20
MARKS = {"added": "+", "changed": "~", "removed": "-"}

AllowRemoval = Annotated[
    bool,
    typer.Option(
        "--allow-removal",
        "--allow-empty",
        help="Let an unusual share of the documents go, or all of them.",
    ),
]


def register(app: typer.Typer) -> None:
    app.command("sync")(sync)
    app.command("ingest")(ingest)


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
    allow_removal: AllowRemoval = False,
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
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    if dry_run:
        _look(settings, paths, json=json)
        return
    if len(paths) != 1 or not source:
        raise typer.BadParameter("Name one folder and its --source. Files go with --dry-run.")
    (path,) = paths
    given = {key: value for key, value in (("audience", audience), ("kind", kind)) if value}
    workspace = workspace or settings.workspace
    folder = open_folder(settings, Ledger(settings.ledger), workspace, source, path, given)
    _carry_out(settings, workspace, lambda _ledger: folder, json=json, allow_removal=allow_removal)


def sync(
    name: Annotated[str, typer.Argument(help="Name of the source, such as help.")],
    workspace: Workspace = "",
    json: Json = False,
    allow_removal: AllowRemoval = False,
) -> None:
    """Bring the index up to date with a source that was added before: here, or in the server that
    runs.

    Exit code 0 when every document went well, 1 when some failed and the others went on, 2 when
    the sync could not be done.
    """
    from ingestion.sources import Source, reopen
    from ingestion.sync.status import find_source
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    chosen = workspace or settings.workspace

    def opened(ledger: Ledger) -> Source:
        known = find_source(ledger, chosen, name)
        return reopen(settings, name, known.kind, known.config)

    _carry_out(settings, chosen, opened, json=json, allow_removal=allow_removal)


def _carry_out(
    settings: "Settings",
    workspace: str,
    opened: "Callable[[Ledger], Source]",
    *,
    json: bool,
    allow_removal: bool,
) -> None:
    """Syncs, prints the report, and exits with its code."""
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
        _print_report(report)
    raise typer.Exit(1 if report.failed or report.remark else 0)


def _look(settings: "Settings", paths: Sequence[Path], *, json: bool) -> None:
    from ingestion.preview import preview, told

    seen = preview(settings, paths)
    if json:
        print_json([each.record() for each in seen])
    else:
        typer.echo("\n\n".join(map(told, seen)))
    raise typer.Exit(1 if any(each.error for each in seen) else 0)


def _note(line: str) -> None:
    typer.echo(line, err=True)


def _print_report(report: "Report") -> None:
    counts = {
        name: getattr(report, name)
        for name in ("added", "changed", "unchanged", "removed", "skipped", "failed", "chunks")
    }
    rows = [(name, f"{count}") for name, count in counts.items() if count]
    rows.append(("seconds", f"{report.seconds:.1f}"))
    if report.chunks and report.seconds:
        rows.append(("chunks per second", f"{report.chunks / report.seconds:.1f}"))
    for name, value in rows:
        typer.echo(f"{name:<18}{value:>10}")
    if len(report.changes) == report.added + report.changed + report.removed:
        for change in report.changes:
            typer.echo(f"{MARKS[change.how]} {line(change.document)}")
    if not any(counts.values()) and not report.remark:
        typer.echo("The source holds no document that is read.", err=True)
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
