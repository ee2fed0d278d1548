"""Adapters that must not serve, each really trained to be bad: does the gate refuse them?

    .venv-train/bin/python -m benchmarks.gate_refusals --dataset DATASET --base BASE

Goes on from the shipped adapter with the rows of DATASET: once as they are, and once for each fault
of `tools.smollm2.bad`, with as many tokens each. The first is judged beside the shipped one as what
is live, and is what is live for the others, from which they differ in their fault alone. All are
asked greedily and unconstrained. One that was made for another prompt or policy is refused unasked;
with --unfit-too it is told what the gate would have seen of it. What lies in --work is not done
again. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from zlib import crc32

import torch
from rich.table import Table

from benchmarks.harness import publish
from models.data.rows import Dataset, Row, read_dataset
from models.gate.arms import ArmReply
from models.gate.run import run_gate
from models.registry import Registry
from models.serve.merge import merge
from tools.demo import EXAMPLE, ONE_THREAD
from tools.smollm2 import ADAPTER
from tools.smollm2.bad import FAULTS, SOUND, Fault, write_spoiled
from tools.smollm2.evaluate import Local
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.ledger.releases import misfit
from twofold.policy import HousePolicy

HOUSE = EXAMPLE / "house.yaml"
SHIPPED = "shipped"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=12_000, help="read by each adapter")
    parser.add_argument("--sample", type=int, default=32, help="of the held-out rows")
    parser.add_argument("--probes", type=int, default=60, help="closed-book, of rows trained on")
    parser.add_argument("--unfit-too", action="store_true", help="ask those as well")
    parser.add_argument("--only", nargs="*", default=[f.name for f in (SOUND, *FAULTS)])
    parser.add_argument("--work", type=Path, help="kept; default: a folder that is not")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        result, table = run(args, args.work or Path(place))
    publish("gate_refusals", result, table)


def run(args: argparse.Namespace, work: Path) -> tuple[dict[str, Any], Table]:
    work.mkdir(parents=True, exist_ok=True)
    dataset, house = read_dataset(args.dataset), load_house(HOUSE)
    registry = Registry(Ledger(f"sqlite:///{work}/ledger.db"), house)
    judge = Judge(args, dataset, house, work)
    found: dict[str, dict[str, Any]] = {}
    for fault in (each for each in (SOUND, *FAULTS) if each.name in args.only):
        adapter = trained(fault, dataset, args, work)
        unfit = misfit(registry.register(adapter), house)
        gate = None
        if not unfit or args.unfit_too:
            gate = judge(adapter, None if fault is SOUND else work / SOUND.name)
        why = [unfit] if unfit else gate["reasons"] if gate else []
        found[fault.name] = {
            "told": fault.told,
            "why": why,
            "named": any(fault.reason in each for each in why),
            "gate": gate,
        }
        print(fault.name, why, file=sys.stderr, flush=True)
    table = Table("adapter", "why it is refused")
    for name, each in found.items():
        table.add_row(name, "; ".join(each["why"]))
    bad = [each for name, each in found.items() if name != SOUND.name]
    told = {"refused": sum(each["named"] for each in bad), "of": len(bad)}
    return {**told, "tokens": args.tokens, "rows": args.sample, "adapters": found}, table


class Judge:
    """The gate, with another adapter as what is live; None: the shipped one."""

    def __init__(
        self, args: argparse.Namespace, dataset: Dataset, house: HousePolicy, work: Path
    ) -> None:
        held, known = (
            sorted(
                (row for row in dataset.rows[split] if not row.made),
                key=lambda row: crc32(row.id.encode()),
            )
            for split in ("heldout", "train")
        )
        known = [row for row in known if row.expected.action == "ANSWER" and row.facts]
        rows = {"train": known[: args.probes], "eval": [], "heldout": held[: args.sample]}
        self._base, self._house, self._work = args.base, house, work
        self._dataset = replace(dataset, rows=rows)

    def __call__(self, adapter: Path, beside: Path | None) -> dict[str, Any]:
        kept = self._work / f"{adapter.name}.json"
        if not kept.exists():
            mine: Any = Kept(adapter, self._base, self._house, self._work)
            other = (ADAPTER, SHIPPED) if beside is None else (beside, beside.name)
            live: Any = Kept(other[0], self._base, self._house, self._work, other[1])
            begun = time.monotonic()
            report = asyncio.run(run_gate(mine, [live], self._dataset, _progress))
            told = {**report.data(), "seconds": round(time.monotonic() - begun)}
            kept.write_text(json.dumps(told), encoding="utf-8")
        said: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
        return said


class Kept:
    """An adapter as an arm of the gate. What it said is kept: it is asked each row once."""

    profile = "tuned"

    def __init__(
        self, adapter: Path, base: Path, house: HousePolicy, work: Path, name: str = ""
    ) -> None:
        self.name, self.house = name or adapter.name, house
        self._made = adapter, base, work / f"{self.name}-merged"
        self._file = work / f"{self.name}-said.json"
        lines = json.loads(self._file.read_text("utf-8")) if self._file.exists() else {}
        self._said = {key: ArmReply(*each) for key, each in lines.items()}
        self._local: Local | None = None

    def among(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    async def instruction_tokens(self) -> int:
        return 0

    async def ask(self, rows: Sequence[Row], progress: Any) -> list[ArmReply]:
        keys = [row.model_dump_json() for row in rows]
        new = [row for row, key in zip(rows, keys, strict=True) if key not in self._said]
        if new:
            said = await self._model().ask(new, progress)
            asked = [row.model_dump_json() for row in new]
            self._said |= dict(zip(asked, said, strict=True))
            self._file.write_text(json.dumps(self._said), encoding="utf-8")
        return [self._said[key] for key in keys]

    def _model(self) -> Local:
        if self._local is None:
            adapter, base, merged = self._made
            merge(adapter, base, merged)
            self._local = Local(merged, self.house)
        return self._local


def trained(fault: Fault, dataset: Dataset, args: argparse.Namespace, work: Path) -> Path:
    """Spoil and train; the adapter's folder."""
    folder, adapter = work / f"{fault.name}-rows", work / fault.name
    if adapter.exists():
        return adapter
    write_spoiled(dataset, fault, HOUSE, folder)
    practice, run = work / f"{fault.name}.jsonl", work / f"{fault.name}-run"
    _python("tools.smollm2.house", folder, "--out", practice)
    _python(
        "tools.smollm2.read", practice, "--base", args.base, "--start", ADAPTER,
        "--tokens", str(args.tokens), "--out", run,
    )  # fmt: skip
    _python(
        "tools.smollm2.adapter", run / "last", "--base", args.base, "--dataset", folder,
        "--out", adapter, "--name", fault.name,
    )  # fmt: skip
    return adapter


def _python(module: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, stdout=sys.stderr, text=True, check=False, env={**os.environ, **ONE_THREAD}
    )
    if done.returncode:
        sys.exit(json.dumps({"failed": command}))


def _progress(what: str, done: int, of: int) -> None:
    print(f"\r{what} {done}/{of}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
