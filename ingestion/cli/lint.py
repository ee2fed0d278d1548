"""`twofold knowledge lint`, `quarantine` and `release`. Imports what is heavy when needed."""

import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.counted import counted
from twofold.options import Json
from twofold.terminal import print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ingestion.lint import Finding, ReadPages
    from twofold.settings import Settings
    from twofold.stack import Stack

Documents = Annotated[list[str], typer.Argument(help="source/path, such as help/faq.md.")]


def register(knowledge: typer.Typer) -> None:
    """Add the commands to `twofold knowledge`."""
    knowledge.command("lint")(lint)
    knowledge.command("quarantine")(quarantine)
    knowledge.command("release")(release)


def lint(
    path: Annotated[Path | None, typer.Argument(help="Folder to read, as it is now.")] = None,
    source: Annotated[str, typer.Option(help="Or a source, as it was last synced.")] = "",
    json: Json = False,
    hide: Annotated[
        bool, typer.Option("--quarantine", help="With --source: hide pages that address a model.")
    ] = False,
    infos: Annotated[bool, typer.Option("--info", help="Also what is only worth knowing.")] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option("--as-of", formats=["%Y-%m-%d"], help="Lint as if it were that day."),
    ] = None,
) -> None:
    """Find what in the documents themselves will make answers wrong.

    Exit code 0 without severe findings, 1 with some, 2 where it could not be done.
    """
    from ingestion.lint import lint, read_folder
    from twofold.errors import InvalidInput
    from twofold.settings import Settings
    from twofold.stack import open_embedder

    if (path is None) == (not source) or (hide and not source):
        raise InvalidInput("Name a folder, or --source NAME; --quarantine needs --source.")
    settings = Settings()
    reading = read_folder(path, settings.max_file_mb) if path else _read(settings, source)
    now = as_of.timestamp() if as_of else time.time()
    found = reading.failures + lint(reading.pages, now, open_embedder(settings))
    hidden = _hide(settings, source, found) if hide else []
    if json:
        print_json({"findings": [each.record() for each in found], "quarantined": hidden})
    else:
        _print(reading, found, hidden, infos=infos)
    raise typer.Exit(1 if any(each.severity == "severe" for each in found) else 0)


def quarantine(documents: Documents) -> None:
    """Hide documents from every answer, at once and until they are released."""
    from ingestion.upkeep.quarantine import quarantine
    from twofold.settings import Settings

    settings = Settings()
    with _opened(settings) as stack:
        for name in quarantine(stack, settings.workspace, documents):
            typer.echo(f"hidden: {name}")


def release(documents: Documents) -> None:
    """Let hidden documents answer again."""
    from ingestion.upkeep.quarantine import release
    from twofold.settings import Settings

    settings = Settings()
    with _opened(settings) as stack:
        for name in release(stack, settings.workspace, documents):
            typer.echo(f"answers again: {name}")


def _opened(settings: "Settings") -> "Stack":
    from twofold.stack import open_stack

    return open_stack(settings)


def _read(settings: "Settings", source: str) -> "ReadPages":
    from ingestion.lint import read_source
    from ingestion.sync.status import list_sources
    from twofold.errors import NotFound
    from twofold.ledger import Ledger

    ledger = Ledger(settings.ledger)
    for each in list_sources(ledger, settings.workspace):
        if each.name == source:
            return read_source(ledger, settings.workspace, source, each.config)
    raise NotFound(f"There is no source {source!r}. See `twofold knowledge sources`.")


def _hide(settings: "Settings", source: str, found: "Sequence[Finding]") -> list[str]:
    from ingestion.upkeep.quarantine import quarantine

    wrong = [each for each in found if each.rule == "injection"]
    names = sorted({f"{source}/{place.document}" for each in wrong for place in each.places})
    if not names:
        return []
    with _opened(settings) as stack:
        return quarantine(stack, settings.workspace, names)


def _print(
    reading: "ReadPages", found: "Sequence[Finding]", hidden: "Sequence[str]", *, infos: bool
) -> None:
    for each in found:
        if each.severity == "info" and not infos:
            continue
        typer.echo(f"{each.severity}: {each.rule}: {each.message}")
        for place in each.places:
            typer.echo(f"  {place.document}:{place.line}: {' '.join(place.text.split())}")
        typer.echo(f"  fix: {each.fix}")
    counts = dict.fromkeys(("severe", "warning", "info"), 0)
    for each in found:
        counts[each.severity] += 1
    told = (
        f"{counts['severe']} severe, {counted(counts['warning'], 'warning')}, {counts['info']} info"
    )
    typer.echo(f"{counted(len(reading.pages), 'page')}: {told}.")
    for name in hidden:
        typer.echo(f"hidden: {name}; let it back with: twofold knowledge release {name}")
