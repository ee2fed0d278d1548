"""A policy changes: which rows teach what it said, and what `twofold dataset refresh` makes of it.

    TWOFOLD_HOME=HOME python -m benchmarks.refresh --dataset DATASET

HOME is where DATASET was built (`make demo-finetune` leaves both). In a copy of it the example
company's refund policy gives 14 days where it gave 30; then the rows are refreshed. The old rule is
looked for in what was renewed and in what was dropped. Prints a table, and last one line of JSON.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.harness import publish
from models.data.rows import Row, read_dataset
from tools.demo import EXAMPLE, environment
from twofold.settings import Settings

POLICY = "policies/refunds.md"
RULE = (
    ("within 30 days of payment", "within 14 days of payment"),
    ("After 30 days", "After 14 days"),
)
OLD = "30 days"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", type=Path, required=True)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = run(args.dataset, Settings().home, Path(place))
    table = Table(*result)
    table.add_row(*map(str, result.values()))
    publish("refresh", result, table)


def run(dataset: Path, home: Path, place: Path) -> dict[str, Any]:
    own, new, pages = place / "home", place / "new", place / "help-center"
    own.mkdir()
    shutil.copytree(home / "index", own / "index")
    for path in home.glob("ledger.db*"):
        shutil.copyfile(path, own / path.name)
    shutil.copytree(EXAMPLE / "help-center", pages)
    policy = (pages / POLICY).read_text(encoding="utf-8")
    for was, now in RULE:
        if was not in policy:
            sys.exit(f"{POLICY} does not say {was!r}.")
        policy = policy.replace(was, now)
    (pages / POLICY).write_text(policy, encoding="utf-8")
    more = os.environ | environment() | {"TWOFOLD_HOME": str(own)}
    _twofold(more, "ingest", pages, "--source", "help")
    told = json.loads(
        _twofold(more, "dataset", "refresh", dataset, "--out", new, "--json").splitlines()[-1]
    )
    return counted(told, _rows(dataset), _rows(new))


def counted(
    told: Mapping[str, Any], before: Mapping[str, Row], after: Mapping[str, Row]
) -> dict[str, Any]:
    """What became of the rows that the command lists."""
    listed = [each["id"] for each in told["stale"]]
    return {
        "rows": len(before),
        "listed": len(listed),
        "resting": sum(each["reply_rests_on_it"] for each in told["stale"]),
        "saying_the_old_rule": sum(OLD in before[id].target for id in listed),
        "dropped": len(told["dropped"]),
        "dropped_of_the_old_rule": sum(OLD in before[id].target for id in told["dropped"]),
        "renewed": len(told["renewed"]),
        "renewed_with_the_old_rule": sum(OLD in after[id].target for id in told["renewed"]),
    }


def _rows(folder: Path) -> dict[str, Row]:
    """Those as they came, by id."""
    every = read_dataset(folder).rows.values()
    return {row.id: row for rows in every for row in rows if not row.made}


def _twofold(environment: dict[str, str], *command: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "twofold", *map(str, command)],
        stdout=subprocess.PIPE, text=True, check=True, env=environment,
    )  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    main()
