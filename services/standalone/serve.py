"""`twofold serve`: index folders, then answer on one address, in one process."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from twofold.counted import counted
from twofold.terminal import bar

if TYPE_CHECKING:
    from socket import socket

    from twofold.settings import Settings
    from twofold.stack import Stack

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    host: Annotated[str, typer.Option(help="Address; TWOFOLD_HOST or 127.0.0.1.")] = "",
    port: Annotated[
        int | None, typer.Option(help="Port; TWOFOLD_PORT or 8080; 0: any.", min=0)
    ] = None,
    index: Annotated[
        list[str] | None,
        typer.Option(help="Folder to index first; PATH or NAME=PATH. May be given twice."),
    ] = None,
) -> None:
    """Serve the answer API and the page; Ctrl+C stops."""
    from ingestion.sync.status import NOTHING_INDEXED, nothing_indexed
    from services.http.server import address, bind
    from twofold import server_file, telemetry, tracing
    from twofold.errors import Conflict
    from twofold.settings import Settings

    settings = Settings()
    telemetry.configure(settings.log_json)
    tracing.configure(settings, "answer")
    host = host or settings.host
    if server := server_file.find(settings.home):
        raise Conflict(
            f"Twofold already runs on {settings.home} at {server.url} (process {server.pid})."
            " Stop it first, or set TWOFOLD_HOME to another folder."
        )
    with stopped_by_signals():
        bound = bind(host, settings.port if port is None else port)
        url = address(host, bound)
        say(f"Opening {settings.home.resolve()}")
        with bound, opened(settings) as stack:
            for folder in index or ():
                ingest(stack, *source(folder))
            if nothing_indexed(stack.ledger, settings.workspace):
                say(NOTHING_INDEXED)
            answer_on(stack, settings, host, bound, url)


def opened(settings: "Settings") -> "Stack":
    from ingestion.upkeep.rebuild import open_current

    with bar("documents", say=say) as advance:
        return open_current(settings, say, advance)


def answer_on(stack: "Stack", settings: "Settings", host: str, bound: "socket", url: str) -> None:
    from services.answer.app import open_parts
    from services.http.local import HOSTS
    from services.http.server import run
    from services.standalone.app import create_app
    from twofold import server_file

    say("Loading the house policy and the answer parts")
    local = host in LOOPBACK
    app = create_app(open_parts(stack), HOSTS if local else (), key_needed=not local)
    if not local:
        say(
            f"Note: {host} can be reached from other machines, so every request needs a key:"
            " twofold key create NAME --scope answer"
        )

    def ready() -> None:
        server_file.announce(settings.home, url)
        say(f"Twofold is ready: {url}")

    try:
        run(app, bound, url, ready)
    finally:
        server_file.withdraw(settings.home)
    say("Stopped.")


def ingest(stack: "Stack", name: str, path: Path) -> None:
    from ingestion.sources.by_path import open_folder
    from ingestion.sync.pipeline import sync

    workspace = stack.settings.workspace
    folder = open_folder(stack.settings, stack.ledger, workspace, name, path)
    say(f"Indexing {path} as source {name!r}")
    with bar("documents", say=say) as advance:
        report = sync(stack, workspace, folder, advance)
    say(
        f"  {report.added} added, {report.changed} changed, {report.unchanged} unchanged,"
        f" {report.removed} removed, {report.failed} failed: {counted(report.chunks, 'chunk')}"
        f" in {report.seconds:.1f} s"
    )
    for note in report.failures:
        typer.echo(f"  failed: {note.document} ({note.step}): {note.reason}", err=True)


def source(folder: str) -> tuple[str, Path]:
    """Returns the name and the path of `PATH` or `NAME=PATH`; a bare path lends its folder's
    name."""
    from services.standalone.app import source_of

    name, equals, path = folder.partition("=")
    if equals and "/" not in name:
        return name, Path(path)
    return source_of(Path(folder)), Path(folder)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Ends the process on SIGTERM as on Ctrl+C: through every `finally`, with nothing left open."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        say("Stopped.")
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def say(line: str) -> None:
    typer.echo(line)
    sys.stdout.flush()
