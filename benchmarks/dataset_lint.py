"""Planted faults: how many does `twofold dataset lint` find, and how often is it wrong?

    .venv/bin/python -m benchmarks.dataset_lint [--rows N] [--seed N]

Rows are made of the example company's questions and approved replies, as `twofold dataset build`
makes them but for its own checks; copies with other numbers give the variety. Among 1,000 of them
faults of every kind are planted (tests/models/data/planting.py), each in a copy of a row that
stands nowhere else. Recall: planted rows in which the right check found something. False alarms:
clean rows in which any check did. Prints a table, and last one line of JSON. Exit status 1 below a
recall of .95 or over .03 of false alarms.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.harness import publish
from tests.models.data.planting import Result, build_world, measure

CLEAN = 1000
RECALL, FALSE_ALARMS = 0.95, 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=CLEAN, help="clean rows")
    parser.add_argument("--seed", type=int, default=11)
    args = parser.parse_args()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(Path(folder))
    built = time.perf_counter()
    result = measure(world, args.rows, args.seed)
    sys.exit(report(result, built - started, time.perf_counter() - built))


def report(result: Result, building: float, linting: float) -> int:
    """Print it; the exit status."""
    table = Table("fault", "planted", "found")
    for name, n in result.planted.items():
        table.add_row(name, str(n), str(result.found[name]))
    console = Console()
    for finding in result.alarmed[:20]:
        console.print(
            f"clean, yet {finding.concern}: {finding.reason} ({finding.id})", markup=False
        )
    good = result.recall >= RECALL and result.false_alarms <= FALSE_ALARMS
    figures = {
        "planted": result.planted.total(),
        "recall": round(result.recall, 4),
        "clean": result.clean,
        "false_alarms": round(result.false_alarms, 4),
        "alarms": dict(result.alarms),
        "missed": dict(result.planted - result.found),
        "seconds": {"build": round(building, 1), "lint": round(linting, 1)},
        "good": good,
    }
    publish("dataset_lint", figures, table)
    return 0 if good else 1


if __name__ == "__main__":
    main()
