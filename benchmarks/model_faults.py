"""Every way the model server can fail, many times over: how long a customer waits at the most.

    .venv/bin/python -m benchmarks.model_faults [--times 10]

The faults are those of tests/services/answer/test_faults.py; each is met by so many questions at
once. Every question must be told once and be on record, and end within the deadline of 4 s (a model
is waited for at most .4 s for its first token and between two). Prints the slowest faults, and last
one line of JSON (seconds).
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table

from benchmarks.harness import publish
from services.answer.pipeline import Parts
from tests.model_server import ModelServer
from tests.services.answer.asking import Patience, check_told_once, hear, knowing, with_model
from tests.services.answer.test_faults import FAULTS, Fault

SHOWN = 8
PATIENCE = Patience(first_token=0.4, gap=0.4, deadline=4.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, knowing(Path(folder)) as parts:
        taken = {fault.id: asyncio.run(meet(fault, args.times, parts)) for fault in FAULTS}
    report(taken)


async def meet(fault: Fault, times: int, parts: Parts) -> list[float]:
    """Seconds of each question."""
    async with ModelServer(fault.server) as server:
        asked = [
            with_model(parts, server.url, *fault.steps, patience=PATIENCE) for _ in range(times)
        ]
        heard = await asyncio.gather(*(hear(each) for each in asked))
    for each in heard:
        check_told_once(parts, each)
    return [each.seconds for each in heard]


def report(taken: dict[str, list[float]]) -> None:
    table = Table(title="Seconds until a question was answered or handed over")
    for column in ("fault", "p50", "slowest"):
        table.add_column(column, justify="left" if column == "fault" else "right")
    for id, seconds in sorted(taken.items(), key=lambda item: -max(item[1]))[:SHOWN]:
        table.add_row(id, f"{np.median(seconds):.2f}", f"{max(seconds):.2f}")
    every = [each for seconds in taken.values() for each in seconds]
    result = {
        "faults": len(taken),
        "questions": len(every),
        "deadline": PATIENCE.deadline,
        "p50": round(float(np.median(every)), 3),
        "p99": round(float(np.percentile(every, 99)), 3),
        "slowest": round(max(every), 3),
        "over_the_deadline": sum(each > PATIENCE.deadline for each in every),
    }
    publish("model_faults", result, table)


if __name__ == "__main__":
    main()
