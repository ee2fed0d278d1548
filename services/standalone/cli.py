"""`twofold serve`: index folders, then answer on one address, in one process."""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from socket import socket

    from twofold.settings import Settings
    from twofold.stack import Stack

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def register(app: typer.Typer) -> None:
    """Add this package's command to the `twofold` command."""
    app.command("serve")(serve)


def serve(
    host: Annotated[str, typer.Option(help="Address; TWOFOLD_HOST or 127.0.0.1.")] = "",
    port: Annotated[int, typer.Option(help="Port; TWOFOLD_PORT or 8080; 0: any.", min=-1)] = -1,
    index: Annotated[
        list[str] | None,
        typer.Option(help="Folder to index first; PATH or NAME=PATH. May be given twice."),
    ] = None,
) -> None:
    """Serve the answer API and the page; Ctrl+C stops."""
    from services.standalone.server import address, bind
    from twofold import running, telemetry
    from twofold.errors import Conflict
    from twofold.settings import Settings

    telemetry.configure()
    settings = Settings()
    host = host or settings.host
    if server := running.find(settings.home):
        raise Conflict(
            f"Twofold already runs on {settings.home} at {server.url} (process {server.pid})."
            " Stop it first, or set TWOFOLD_HOME to another folder."
        )
    with stopped_by_signals():
        bound = bind(host, settings.port if port < 0 else port)
        url = address(host, bound)
        say(f"Opening {settings.home.resolve()}")
        with bound, opened(settings) as stack:
            for folder in index or ():
                ingest(stack, *source(folder))
            answer_on(stack, settings, host, bound, url)


def opened(settings: "Settings") -> "Stack":
    from ingestion.rebuild import open_current

    with progress() as advance:
        return open_current(settings, say, advance)


def answer_on(stack: "Stack", settings: "Settings", host: str, bound: "socket", url: str) -> None:
    from services.answer.app import open_parts
    from services.answer.endpoints.gate import LOOPBACK as HOST_NAMES
    from services.standalone.app import create_app
    from services.standalone.server import run
    from twofold import running

    say("Loading the house policy and the answer parts")
    local = host in LOOPBACK
    app = create_app(open_parts(stack), HOST_NAMES if local else (), key_needed=not local)
    if not local:
        say(
            f"Note: {host} can be reached from other machines, so every request needs a key:"
            " twofold key create NAME --scope answer"
        )

    def ready() -> None:
        running.announce(settings.home, url)
        say(f"Twofold is ready: {url}")

    try:
        run(app, bound, url, ready)
    finally:
        running.withdraw(settings.home)
    say("Stopped.")


def ingest(stack: "Stack", name: str, path: Path) -> None:
    from ingestion.folders import open_folder
    from ingestion.pipeline import sync

    workspace = stack.settings.workspace
    folder = open_folder(stack.settings, stack.ledger, workspace, name, path)
    say(f"Indexing {path} as source {name!r}")
    with progress() as advance:
        report = sync(stack, workspace, folder, advance)
    say(
        f"  {report.added} added, {report.changed} changed, {report.unchanged} unchanged,"
        f" {report.removed} removed, {report.failed} failed: {report.chunks} chunks"
        f" in {report.seconds:.1f} s"
    )
    for note in report.failures:
        typer.echo(f"  failed: {note.document} ({note.step}): {note.reason}", err=True)


def source(folder: str) -> tuple[str, Path]:
    """Name and path of `PATH` or `NAME=PATH`; a bare path lends its folder's name."""
    from services.standalone.app import source_of

    name, equals, path = folder.partition("=")
    if equals and "/" not in name:
        return name, Path(path)
    return source_of(Path(folder)), Path(folder)


@contextmanager
def progress() -> "Iterator[Callable[[int, int], None]]":
    """A bar where a person watches, else a line every tenth of the way."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), "documents, left", TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _lines() -> "Callable[[int, int], None]":
    shown = 0

    def advance(done: int, total: int) -> None:
        nonlocal shown
        tenth = done * 10 // total if total else 10
        if 0 < tenth < 10 and tenth > shown:
            shown = tenth
            say(f"  {done} of {total} documents")

    return advance


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM ends the process as Ctrl+C does: through every `finally`, with nothing left open."""
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
