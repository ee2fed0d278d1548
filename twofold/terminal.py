"""What every command shows the same way: results as JSON, moments, and how far long work is."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from twofold.counted import counted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

ProgressCallback = Callable[[int, int], None]
"""(documents done, documents in all)."""
StepCallback = Callable[[str, int, int], None]
"""(the step of the work, done so far, of how many)."""


def print_json(value: Any) -> None:
    """Prints a result on standard output, indented."""
    import orjson
    import typer

    typer.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def line(text: str) -> str:
    """Returns the text on one line, without control characters: no customer's words drive the
    terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def when(moment: float, *, utc: bool = False) -> str:
    """Returns a day and its time, to the minute; as this machine's clock shows it, or in UTC."""
    return time.strftime("%Y-%m-%d %H:%M", (time.gmtime if utc else time.localtime)(moment))


def bars() -> "Progress":
    """Bars with the time left on standard error, shown where a person watches it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    )


@contextmanager
def bar(
    verb: str, *, shown: bool = True, say: Callable[[str], None] | None = None
) -> Iterator[ProgressCallback | None]:
    """Shows one bar and yields its callback. Where nobody watches, `say` is told a line every
    tenth of the way; without it the callback is None."""
    if not shown:
        yield None
    elif not sys.stderr.isatty():
        yield _lines(say) if say else None
    else:
        with bars() as shown_bar:
            task = shown_bar.add_task(verb, total=None)
            yield lambda done, total: shown_bar.update(task, completed=done, total=total)


@contextmanager
def steps() -> Iterator[StepCallback]:
    """Shows a bar for each step of long work, where a person watches, and yields their callback."""
    with bars() as progress:
        tasks: dict[str, TaskID] = {}

        def report(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = progress.add_task(step, total=total)
            progress.update(tasks[step], completed=done, total=total)

        yield report


def _lines(say: Callable[[str], None]) -> ProgressCallback:
    shown = 0

    def advance(done: int, total: int) -> None:
        nonlocal shown
        tenth = done * 10 // total if total else 10
        if 0 < tenth < 10 and tenth > shown:
            shown = tenth
            say(f"  {done} of {counted(total, 'document')}")

    return advance
