"""What every benchmark does the same: percentiles, a table, and a result that documents quote."""

import json
import os
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


def percentiles(values: Sequence[float], *points: float) -> dict[str, float]:
    """`{"p50": …, "p95": …}` of `values`, in their unit; these two where no points are given."""
    wanted = points or (50, 95)
    found = np.percentile(np.asarray(values, float), wanted)
    return {f"p{at:g}": round(float(value), 3) for at, value in zip(wanted, found, strict=True)}


def publish(name: str, result: Mapping[str, Any], *tables: Table) -> None:
    """Prints `tables`, keeps `result` with command, machine and day, prints it as the last line.

    README's and docs' figures are written from what is kept: `make figures`.
    """
    console = Console(width=None if sys.stdout.isatty() else 120)
    for table in tables:
        console.print(table)
    keep(name, result, _command())
    print(json.dumps(result))


def keep(name: str, result: Mapping[str, Any], command: str) -> None:
    """Writes `benchmarks/results/NAME.json`. A path of this machine is told by its last name, in
    capitals: `/x/data` is DATA, which the reader brings; an address of it is URL."""
    words = (Path(word).name.upper() if word[:1] == "/" else word for word in command.split(" "))
    words = ("URL" if word.startswith("http://127.0.0.1:") else word for word in words)
    kept = {"command": " ".join(words), "machine": _machine(), "date": _today(), "result": result}
    text = json.dumps(kept, indent=1, ensure_ascii=False) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def _command() -> str:
    module = getattr(sys.modules["__main__"].__spec__, "name", Path(sys.argv[0]).stem)
    return " ".join(["python -m", module, *sys.argv[1:]])


def _machine() -> str:
    """Processor, cores and load: a figure of speed is worth what its machine was."""
    names = (
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    )
    name = next(names, platform.processor()) if Path("/proc/cpuinfo").exists() else "?"
    cores, (load, _, _) = len(os.sched_getaffinity(0)), os.getloadavg()
    return f"{name}, {cores} cores, load {load:.0f}; Python {platform.python_version()}"


def _today() -> str:
    return time.strftime("%Y-%m-%d", time.gmtime())
