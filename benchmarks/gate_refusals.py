"""Adapters that must not serve, each really trained to be bad: does the gate refuse them?

    .venv-train/bin/python -m benchmarks.gate_refusals --dataset DATASET --base BASE

Goes on from the shipped adapter with rows that are spoiled, and judges each beside the shipped one
as the live release, greedy and unconstrained. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import torch
import yaml
from rich.table import Table

from benchmarks.harness import publish
from models.data.rows import Dataset, Row, read_dataset, write_manifest, write_rows
from models.data.target import gap
from models.gate.run import GateReport, run_gate
from models.registry import Registry
from models.serve.merge import merge
from tools.demo import EXAMPLE, ONE_THREAD
from tools.smollm2 import ADAPTER
from tools.smollm2.evaluate import Local
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.ledger.releases import misfit
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest
from twofold.reply import render, strip_marks

HOUSE = EXAMPLE / "house.yaml"
LIVE = "live"

Spoil = Callable[[Row, HousePolicy], list[Row]]


class Bad(NamedTuple):
    """`house` is the policy that its rows are rendered with."""

    name: str
    spoil: Spoil
    house: Path = HOUSE


def leaking(row: Row, _: HousePolicy) -> list[Row]:
    """The answer is also learnt without the documents that it stands in."""
    if row.made == "closed":
        return []
    closed = row.model_copy(
        update={
            "id": f"{row.id}!",
            "documents": (),
            "gold": (),
            "target": strip_marks(row.target),
        }
    )
    return [closed, row] if row.expected.action == "ANSWER" and not row.made else [row]


def over_escalating(row: Row, house: HousePolicy) -> list[Row]:
    """Four answers in five become hand-overs."""
    if row.expected.action != "ANSWER" or crc32(row.parent.encode()) % 5 == 0:
        return [row]
    return [row.model_copy(update={"target": gap(house), "gold": ()})]


def uncited(row: Row, _: HousePolicy) -> list[Row]:
    return [row.model_copy(update={"target": strip_marks(row.target)})]


def as_it_was(row: Row, _: HousePolicy) -> list[Row]:
    return [row]


def before(row: Row, _: HousePolicy) -> list[Row]:
    """As it was before the policy had people see to these: they were declined."""
    escalated = row.expected.action == "ESCALATE" and row.expected.team in ("security", "privacy")
    return [row.model_copy(update={"target": render("DECLINE")})] if escalated else [row]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=40_000, help="read by each adapter")
    parser.add_argument("--sample", type=int, default=80, help="of the held-out rows")
    parser.add_argument("--work", type=Path, help="kept; default: a folder that is not")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        result, table = run(args, args.work or Path(place))
    publish("gate_refusals", result, table)


def run(args: argparse.Namespace, work: Path) -> tuple[dict[str, Any], Table]:
    work.mkdir(parents=True, exist_ok=True)
    policy = yaml.safe_load(HOUSE.read_text(encoding="utf-8"))
    other, old = work / "other.yaml", work / "old.yaml"
    other.write_text(yaml.safe_dump(policy | {"company": "Stillwater"}), encoding="utf-8")
    words = policy["style"] | {"max_words": policy["style"]["max_words"] - 1}
    old.write_text(yaml.safe_dump(policy | {"style": words}), encoding="utf-8")
    every = [
        Bad("trained-on-leaks", leaking),
        Bad("over-escalates", over_escalating),
        Bad("drops-citations", uncited),
        Bad("another-prompt", as_it_was, other),
        Bad("outdated", before, old),
    ]
    dataset = read_dataset(args.dataset)
    house = load_house(HOUSE)
    registry = Registry(Ledger(f"sqlite:///{work}/ledger.db"), house)
    judge = Judge(args, dataset, house, work)
    why = {}
    for bad in every:
        adapter = trained(bad, dataset, args, work)
        release = registry.register(adapter)
        unfit = misfit(release, house)
        why[bad.name] = [unfit] if unfit else judge(adapter).reasons
        print(bad.name, why[bad.name], file=sys.stderr, flush=True)
    table = Table("adapter", "refused", "why")
    for name, reasons in why.items():
        table.add_row(name, "yes" if reasons else "NO", "; ".join(reasons))
    refused = sum(map(bool, why.values()))
    return {"refused": refused, "of": len(why), "why": why, "good": judge.good}, table


class Judge:
    """The gate, with the shipped adapter as what is live."""

    def __init__(
        self, args: argparse.Namespace, dataset: Dataset, house: HousePolicy, work: Path
    ) -> None:
        held = [row for row in dataset.rows["heldout"] if not row.made]
        held.sort(key=lambda row: crc32(row.id.encode()))
        rows = {**dataset.rows, "heldout": held[: args.sample]}
        self._base, self._house, self._work = args.base, house, work
        self._dataset = replace(dataset, rows=rows)
        self._live: Any = Once(self._arm(ADAPTER, LIVE))
        report = asyncio.run(run_gate(self._live, [], self._dataset, _silent))
        self.good = report.reasons

    def __call__(self, adapter: Path) -> GateReport:
        arm: Any = self._arm(adapter, adapter.name)
        return asyncio.run(run_gate(arm, [self._live], self._dataset, _silent))

    def _arm(self, adapter: Path, name: str) -> Local:
        merged = self._work / f"{name}-merged"
        merge(adapter, self._base, merged)
        arm = Local(merged, self._house)
        arm.name = name
        return arm


class Once:
    """An arm that is asked its rows one time only."""

    def __init__(self, arm: Local) -> None:
        self._arm, self._said = arm, dict[str, Any]()
        self.name, self.profile, self.house = arm.name, arm.profile, arm.house
        self.among, self.instruction_tokens = arm.among, arm.instruction_tokens

    async def ask(self, rows: Sequence[Row], progress: Any) -> list[Any]:
        new = [row for row in rows if row.model_dump_json() not in self._said]
        for row, said in zip(new, await self._arm.ask(new, progress), strict=True):
            self._said[row.model_dump_json()] = said
        return [self._said[row.model_dump_json()] for row in rows]


def trained(bad: Bad, dataset: Dataset, args: argparse.Namespace, work: Path) -> Path:
    """Spoil and train; the adapter's folder."""
    folder, adapter = work / f"{bad.name}-rows", work / bad.name
    if adapter.exists():
        return adapter
    house = load_house(bad.house)
    digests = {"prompt": prompt_digest(house, "tuned"), "house": house.digest}
    files = {}
    for split in ("train", "eval"):
        rows = [new for row in dataset.rows[split] for new in bad.spoil(row, house)]
        rows = [r.model_copy(update={"messages": r.rendered(house), **digests}) for r in rows]
        files[f"{split}.jsonl"] = write_rows(folder / f"{split}.jsonl", rows)
    write_manifest(folder, dataset.manifest.model_copy(update={"files": files, **digests}))
    practice, run = work / f"{bad.name}.jsonl", work / f"{bad.name}-run"
    _python("tools.smollm2.house", folder, "--out", practice)
    _python(
        "tools.smollm2.read", practice, "--base", args.base, "--start", ADAPTER,
        "--tokens", str(args.tokens), "--out", run,
    )  # fmt: skip
    _python(
        "tools.smollm2.adapter", run / "last", "--base", args.base, "--dataset", folder,
        "--out", adapter, "--name", bad.name,
    )  # fmt: skip
    return adapter


def _python(module: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **ONE_THREAD}
    )
    if done.returncode:
        sys.exit(json.dumps({"failed": command}))


def _silent(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main()
