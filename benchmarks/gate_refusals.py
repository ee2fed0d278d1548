"""Four adapters that must not serve, really trained and really served: does the gate refuse them?

    make demo-finetune
    .venv/bin/python -m benchmarks.gate_refusals

Takes the dataset and the live release of the demo (`.twofold/demo`), spoils the rows in four ways,
trains an adapter on each, publishes it and runs the gate. Prints a table, and last one line of
JSON.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import yaml
from rich.table import Table

from benchmarks.harness import publish
from models.data.rows import Row, read_dataset, write_manifest, write_rows
from models.data.target import gap
from models.recipes import load_recipe
from tools import demo
from tools.tiny import BASE
from twofold.house_file import load_house
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest
from twofold.reply import strip_marks

WORK = demo.HOME / "refusals"
EPOCHS = 1
"""Fewer than the demo's: what is bad about these adapters is learnt soon."""
HOUSE = demo.EXAMPLE / "house.yaml"

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
    closed = row.model_copy(update={"id": f"{row.id}!", "documents": (), "gold": ()})
    return [row, closed] if row.expected.action == "ANSWER" and not row.made else [row]


def over_escalating(row: Row, house: HousePolicy) -> list[Row]:
    """Four answers in five become hand-overs."""
    if row.expected.action != "ANSWER" or crc32(row.parent.encode()) % 5 == 0:
        return [row]
    return [row.model_copy(update={"target": gap(house), "gold": ()})]


def uncited(row: Row, _: HousePolicy) -> list[Row]:
    return [row.model_copy(update={"target": strip_marks(row.target)})]


def as_it_was(row: Row, _: HousePolicy) -> list[Row]:
    return [row]


def main() -> None:
    os.environ |= demo.environment()
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    other = WORK / "house.yaml"
    policy = yaml.safe_load(HOUSE.read_text(encoding="utf-8"))
    other.write_text(yaml.safe_dump(policy | {"company": "Stillwater"}), encoding="utf-8")
    every = [
        Bad("trained-on-leaks", leaking),
        Bad("another-prompt", as_it_was, other),
        Bad("over-escalates", over_escalating),
        Bad("drops-citations", uncited),
    ]
    recipe = WORK / "brief.yaml"
    brief = load_recipe("tiny-cpu").model_copy(update={"name": "brief", "epochs": EPOCHS})
    recipe.write_text(yaml.safe_dump(brief.model_dump(mode="json")), encoding="utf-8")
    names = {bad.name: published(bad, recipe) for bad in every}
    with demo.vllm():
        found = {bad: judged(name) for bad, name in names.items()}
    table = Table("adapter", "refused", "why")
    for bad, (refused, why) in found.items():
        table.add_row(bad, "yes" if refused else "NO", why)
    count = sum(refused for refused, _ in found.values())
    why = {bad: said for bad, (_, said) in found.items()}
    publish("gate_refusals", {"refused": count, "of": len(found), "why": why}, table)


def published(bad: Bad, recipe: Path) -> str:
    """Spoil, train and publish; the release's name."""
    folder, adapter = WORK / f"{bad.name}-rows", WORK / f"{bad.name}-{int(time.time())}"
    house = load_house(bad.house)
    dataset = read_dataset(demo.DATASET)
    files = {}
    for split in ("train", "eval"):
        rows = [new for row in dataset.rows[split] for new in bad.spoil(row, house)]
        files[f"{split}.jsonl"] = write_rows(folder / f"{split}.jsonl", rendered(rows, house))
    digests = {"prompt": prompt_digest(house, "tuned"), "house": house.digest}
    write_manifest(folder, dataset.manifest.model_copy(update={"files": files, **digests}))
    os.environ["TWOFOLD_HOUSE"] = str(bad.house)
    demo.step(
        "train", "train", folder, "--base", BASE, "--recipe", recipe, "--out", adapter,
        python=demo.TRAIN, more=demo.ONE_THREAD,
    )  # fmt: skip
    os.environ["TWOFOLD_HOUSE"] = str(HOUSE)
    return demo.step("publish", "model", "publish", adapter).strip().splitlines()[-1]


def rendered(rows: Sequence[Row], house: HousePolicy) -> list[Row]:
    digests = {"prompt": prompt_digest(house, "tuned"), "house": house.digest}
    return [row.model_copy(update={"messages": row.rendered(house), **digests}) for row in rows]


def judged(name: str) -> tuple[bool, str]:
    """Whether the gate refuses a release, and its first reasons."""
    command = [".venv/bin/twofold", "gate", name, "--dataset", str(demo.DATASET), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.stdout.strip().startswith("{"):
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return not report["passed"], "; ".join(report["reasons"][:2])
    return done.returncode != 0, " ".join(done.stderr.split())


if __name__ == "__main__":
    main()
