"""How far long work is, for whoever watches: a bar on a terminal, else nothing."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ProgressCallback = Callable[[int, int], None]
"""(documents done, documents in all)."""


@contextmanager
def bar(verb: str, *, shown: bool) -> Iterator[ProgressCallback | None]:
    """A bar with the time left on standard error, where a person watches it."""
    if not shown or not sys.stderr.isatty():
        yield None
        return
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
        TextColumn(verb),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown_bar:
        task = shown_bar.add_task(verb, total=None)
        yield lambda done, total: shown_bar.update(task, completed=done, total=total)
