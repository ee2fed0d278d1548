"""The preference step on the example's rows, before the gate: does it gain what it costs?

    .venv-train/bin/python -m benchmarks.preference --dataset DATASET --base BASE

The shipped adapter is asked rows that it may be trained on; where it replied otherwise than people
approved, the two are a pair. `twofold train` goes on from it with these, and the gate judges the
result beside it, greedily and without a constraint on decoding. What lies in --work is not done
again. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from rich.table import Table

from benchmarks.gate_refusals import HOUSE, SHIPPED, Judge, Kept
from benchmarks.harness import publish
from models.data.pairs import Voice, paired, write
from models.data.rows import Dataset, Row, Split, read_dataset
from models.gate.judge import METRICS
from models.manifest import read_adapter
from tools.demo import ONE_THREAD
from tools.smollm2 import ADAPTER
from twofold.house_file import load_house
from twofold.policy import HousePolicy

RECIPE = "smollm2-cpu"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=100, help="asked to make pairs of")
    parser.add_argument("--evals", type=int, default=20, help="the same of the eval split")
    parser.add_argument("--sample", type=int, default=48, help="of the held-out rows")
    parser.add_argument("--probes", type=int, default=60, help="closed-book, of rows trained on")
    parser.add_argument("--work", type=Path, help="kept; default: a folder that is not")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        result, table = run(args, args.work or Path(place))
    publish("preference", result, table)


def run(args: argparse.Namespace, work: Path) -> tuple[dict[str, Any], Table]:
    work.mkdir(parents=True, exist_ok=True)
    dataset, house = read_dataset(args.dataset), load_house(HOUSE)
    pairs, adapter = work / "pairs", work / "preferred"
    if not pairs.exists():
        make_pairs(dataset, house, args, work, pairs)
    _train(pairs, args.base, adapter)
    made, rows = read_adapter(adapter), read_dataset(pairs)
    gate = Judge(args, dataset, house, work)(adapter, None)
    before, after = gate["arms"][SHIPPED], gate["arms"][adapter.name]
    table = Table("share of replies", "before", "after")
    for metric, what in METRICS.items():
        table.add_row(what, _shown(before[metric]), _shown(after[metric]))
    margins = made.metrics.margins or (0.0, 0.0)
    table.add_row("approved over rejected, nats", *(f"{each:.1f}" for each in margins))
    return {
        "asked": args.rows,
        "pairs": made.rows.model_dump(),
        "left_out": rows.manifest.left_out,
        "margins": margins,
        "seconds": round(made.seconds),
        "passed": gate["passed"],
        "reasons": gate["reasons"],
        "rows": gate["rows"],
        "before": before,
        "after": after,
        "compared": gate["compared"],
        "closed_book": gate["closed_book"],
        "changed_facts": gate["changed_facts"],
    }, table


def make_pairs(
    dataset: Dataset, house: HousePolicy, args: argparse.Namespace, work: Path, out: Path
) -> None:
    """Asks the shipped adapter; held-out rows are not among those that are asked."""
    shipped = Kept(ADAPTER, args.base, house, work, SHIPPED)
    found: dict[Split, list[Row]] = {}
    left_out: Counter[str] = Counter()
    asked: list[tuple[Split, int]] = [("train", args.rows), ("eval", args.evals)]
    for name, most in asked:
        rows = sorted(dataset.rows[name], key=lambda row: crc32(row.id.encode()))[:most]
        said = asyncio.run(shipped.ask(rows, _progress))
        whole = {row.id: each.wire for row, each in zip(rows, said, strict=True) if each.wire}
        found[name], left = paired(rows, [Voice(SHIPPED, whole)], house)
        left_out += left
    write(out, dataset, found, left_out)


def _train(pairs: Path, base: Path, out: Path) -> None:
    command = [
        sys.executable, "-m", "twofold", "train", pairs, "--base", base, "--recipe", RECIPE,
        "--start", ADAPTER, "--out", out, "--resume",
    ]  # fmt: skip
    own = {**os.environ, **ONE_THREAD, "TWOFOLD_HOUSE": str(HOUSE)}
    done = subprocess.run(list(map(str, command)), stdout=sys.stderr, check=False, env=own)
    if done.returncode:
        sys.exit(json.dumps({"failed": command[3:]}, default=str))


def _shown(share: dict[str, Any]) -> str:
    if not share["n"]:
        return "-"
    low, high = share["ci"]
    return f"{share['value']:.2f} [{low:.2f}, {high:.2f}]"


def _progress(what: str, done: int, of: int) -> None:
    print(f"\r{what} {done}/{of}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
