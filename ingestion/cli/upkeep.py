"""`twofold knowledge`: what keeps the index right. Anything heavy is imported when it is needed."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingestion.cli import lint
from twofold.counted import counted
from twofold.options import Json, Workspace
from twofold.terminal import bar, print_json, when

if TYPE_CHECKING:
    from ingestion.upkeep.rebuild import Rebuilt
    from twofold.stack import Stack


def register(knowledge: typer.Typer) -> None:
    """Add the commands to `twofold knowledge`."""
    knowledge.command("rebuild")(rebuild)
    knowledge.command("rollback")(rollback)
    knowledge.command("stores")(stores)
    knowledge.command("prune-stores")(prune_stores)
    knowledge.command("reconcile")(reconcile)
    lint.register(knowledge)


def rebuild(json: Json = False) -> None:
    """Build the index anew from the ledger, beside the live one, and switch over once it is whole.

    No source is read. The index before it is kept for TWOFOLD_KEEP_STORES_DAYS.
    """
    from ingestion.upkeep import rebuild as building
    from twofold.index import stores
    from twofold.settings import Settings
    from twofold.stack import open_stack

    settings = Settings()
    with bar("rebuilding", shown=not json) as progress:
        live = stores.open_stores(settings).live()
        with open_stack(settings, beside=True) as stack:
            same = live in (None, stack.fingerprint.digest)
            report = building.fill(stack, progress) if same and live else None
        if report is None:
            report = building.rebuild(settings, progress)
    _tell(report, settings.home, json=json)


def rollback(
    store: Annotated[
        str, typer.Argument(help="Of `knowledge stores`; the last one if left out.")
    ] = "",
    json: Json = False,
) -> None:
    """Go back to the index before the live one, brought up to date first.

    It then stays live, whatever TWOFOLD_CHUNK_TOKENS says, until `knowledge rebuild`.
    """
    from ingestion.upkeep import rebuild as building
    from twofold.settings import Settings

    settings = Settings()
    with bar("catching up", shown=not json) as progress:
        report = building.rollback(settings, store, progress)
    _tell(report, settings.home, json=json)


def stores(json: Json = False) -> None:
    """The index stores: which is live, and which can be gone back to."""
    from twofold.index.stores import open_stores
    from twofold.settings import Settings

    found = open_stores(Settings()).all()
    if json:
        print_json([each._asdict() for each in found])
        return
    for each in found:
        state = "live" if each.live else "unfinished"
        if each.retired_at is not None:
            state = f"retired {when(each.retired_at)}" + (", rolled back from" * each.rejected)
        made_by = ", ".join(f"{name} {value}" for name, value in each.made_by.items())
        typer.echo(f"{each.digest}  {state:<28}  {made_by}")


def prune_stores(
    days: Annotated[float, typer.Option(help="Only those retired so many days ago.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Delete retired index stores; one cannot go back to them any more."""
    from ingestion.upkeep import rebuild as building
    from twofold.index.stores import open_stores
    from twofold.settings import Settings

    gone = building.prune_stores(open_stores(Settings()), days)
    if json:
        print_json({"deleted": gone})
    else:
        typer.echo(f"Deleted: {', '.join(gone) or 'none'}.")


def reconcile(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs.")] = False,
    workspace: Workspace = "",
    json: Json = False,
) -> None:
    """Compare ledger and index, both ways. Exit code 1 where they differ and were not repaired."""
    from ingestion.upkeep.reconcile import SHOWN, reconcile
    from twofold.settings import Settings
    from twofold.stack import open_stack

    settings = Settings()
    with open_stack(settings) as stack, bar("comparing", shown=not json) as progress:
        total = _documents(stack)
        done = 0

        def advance(documents: int) -> None:
            nonlocal done
            done += documents
            if progress is not None:
                progress(done, total)

        drift = reconcile(stack, workspace or settings.workspace, repair=repair, progress=advance)
    if json:
        print_json(drift.record())
    else:
        typer.echo(
            f"{counted(drift.documents, 'document')}, {counted(drift.points, 'point')} expected"
        )
        for kind in ("missing", "wrong", "orphans"):
            points: dict[str, str] = getattr(drift, kind)
            typer.echo(f"{kind:<10}{len(points):>8}{'  repaired' if repair and points else ''}")
            for document in sorted(set(points.values()))[:SHOWN]:
                typer.echo(f"  {document}")
        for source in drift.skipped:
            typer.echo(f"skipped: {source} is being written; run this again", err=True)
    raise typer.Exit(1 if drift.skipped or (drift.total and not repair) else 0)


def _documents(stack: "Stack") -> int:
    from sqlalchemy import func, select

    from twofold.ledger.models import Document

    with stack.ledger.session() as session:
        return session.scalar(select(func.count()).select_from(Document)) or 0


def _tell(report: "Rebuilt", home: Any, *, json: bool) -> None:
    from ingestion.upkeep.rebuild import told
    from twofold import server_file

    if json:
        print_json(report._asdict())
        return
    typer.echo(f"store {report.store} is live\n{told(report)}")
    if report.flipped and (server := server_file.find(home)):
        typer.echo(f"Restart the server at {server.url}: it still answers from the store before.")
