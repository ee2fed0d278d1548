"""`twofold migrate`, `doctor`, `backup` and `restore`."""

from pathlib import Path
from typing import Annotated

import typer

from twofold.counted import counted
from twofold.options import Json
from twofold.terminal import print_json

MARKS = {"ok": ("ok", "green"), "warning": ("warn", "yellow"), "failed": ("FAIL", "red")}


def register(app: typer.Typer) -> None:
    """Add these commands to the `twofold` command."""
    for command in (doctor, migrate, backup, restore):
        app.command(command.__name__)(command)


def doctor(
    json: Json = False,
) -> None:
    """Check the whole installation; every finding says how to mend it.

    Changes nothing. Exit code 0 when all is well or only warned about, 1 when something failed.
    """
    from services.standalone.operate.doctor import examine
    from twofold.settings import Settings

    findings = examine(Settings())
    if json:
        print_json([finding._asdict() for finding in findings])
    else:
        for finding in findings:
            mark, colour = MARKS[finding.state]
            typer.echo(f"{typer.style(f'{mark:4}', fg=colour)}  {finding.check}: {finding.found}")
            if finding.fix:
                typer.echo(f"      -> {finding.fix}")
        failed = sum(finding.state == "failed" for finding in findings)
        warned = sum(finding.state == "warning" for finding in findings)
        typer.echo(
            f"{counted(len(findings), 'check')}, {failed} failed, {counted(warned, 'warning')}."
        )
    raise typer.Exit(any(finding.state == "failed" for finding in findings))


def migrate(
    to: Annotated[
        str, typer.Option(help="Revision to go to, also back; the newest when left out.")
    ] = "",
) -> None:
    """Bring the ledger's schema up to date, before new processes start on it.

    Before a roll-back to an older Twofold, this one goes back to that one's revision: --to.
    """
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    ledger = Ledger(Settings().ledger)
    if to:
        ledger.move_to(to)
    typer.echo(f"The ledger is at revision {ledger.revision()}.")
    ledger.close()


INDEX_ONLY = typer.Option(
    "--index-only", help="The ledger is dumped or restored by the database's own tools."
)


def backup(
    folder: Annotated[Path, typer.Argument(help="Where to: a new folder, or an empty one.")],
    index_only: Annotated[bool, INDEX_ONLY] = False,
) -> None:
    """Write everything that cannot be made again into a folder, while servers run.

    The ledger is the truth: the index is kept too where a Qdrant server has it, and is built from
    the ledger otherwise. Secrets, keys' plain text and models are not in it.
    """
    from services.standalone.operate.backup import write
    from twofold.settings import Settings

    for line in write(Settings(), folder, index_only=index_only):
        typer.echo(line)


def restore(
    folder: Annotated[Path, typer.Argument(help="What `twofold backup` wrote.")],
    index_only: Annotated[bool, INDEX_ONLY] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also over a ledger that holds documents.")
    ] = False,
) -> None:
    """Bring an installation back to what a backup holds. Stop every server and worker first."""
    from services.standalone.operate.backup import read
    from twofold.settings import Settings

    for line in read(Settings(), folder, index_only=index_only, replace=replace):
        typer.echo(line)
