"""A file whose age tells that Celery's worker or beat still gets on, for a liveness probe.

A process that hangs, or that lost its broker for good, lives as far as the kernel knows.
"""

from pathlib import Path
from typing import Any

from celery import signals


def tell(path: Path) -> None:
    """Touches `path` whenever a worker's loop comes round, a task ends, or beat sends a tick."""

    def touch(**_: Any) -> None:
        path.touch()

    for signal in (signals.heartbeat_sent, signals.task_postrun, signals.after_task_publish):
        signal.connect(touch, weak=False)
