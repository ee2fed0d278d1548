"""A dataset folder out of collected rows: split, varied, written."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from models.data.collect import Built
from models.data.lint.findings import RowPlace
from models.data.lint.leaks import leaks
from models.data.lint.policy import policy
from models.data.plan import DatasetPlan
from models.data.rows import Manifest, Row, Split, write_manifest, write_rows
from models.data.split import alike, halves, opening
from models.data.vary import kind_of, varied
from twofold.prompt import prompt_digest

NEAR_HELDOUT: Final = "it says nearly what a held-out row says"
UNSOUND: Final = {
    "leak": "the reply states what its prompt does not show",
    "policy": "the reply breaks the house policy",
}


def apart(built: Built, heldout: Sequence[Row]) -> None:
    """Takes out of what was collected every row that opens or says nearly what a held-out one
    does."""
    near = {other for one, other in alike([*heldout, *built.rows]) if one < len(heldout) <= other}
    opened = {opening(row) for row in heldout}
    kept = [
        row
        for at, row in enumerate(built.rows, start=len(heldout))
        if at not in near and opening(row) not in opened
    ]
    if len(kept) < len(built.rows):
        built.left_out[NEAR_HELDOUT] += len(built.rows) - len(kept)
    built.rows[:] = kept


def divided(rows: Sequence[Row], plan: DatasetPlan) -> dict[Split, list[Row]]:
    """Returns `train` and `eval`, each varied on its own."""
    train, held = halves(rows, plan.eval_share, plan.seed)
    return {"train": varied(train, plan), "eval": varied(held, plan)}


def sound(rows: Sequence[Row], built: Built, plan: DatasetPlan) -> list[Row]:
    """Returns the rows that lint finds no leaked fact and no broken reply in; the others, as far
    as they were not made of a row, are counted as left out."""
    placed = [RowPlace("train", line, row) for line, row in enumerate(rows, start=1)]
    found = {
        finding.line: finding.concern
        for finding in (*policy(placed, plan.house), *leaks(placed, plan.house))
    }
    for line, concern in found.items():
        if not rows[line - 1].made:
            built.left_out[UNSOUND[concern]] += 1
    return [row for line, row in enumerate(rows, start=1) if line not in found]


def write(
    folder: Path, splits: Mapping[Split, Sequence[Row]], built: Built, plan: DatasetPlan
) -> Manifest:
    """Returns all files, and last the manifest."""
    files = {f"{name}.jsonl": write_rows(folder / f"{name}.jsonl", rows)
             for name, rows in splits.items()}  # fmt: skip
    train = splits["train"]
    kinds = Counter(kind_of(row) for row in train)
    manifest = Manifest(
        created=time.time(),
        profile=plan.profile,
        prompt=prompt_digest(plan.house, plan.profile),
        house=plan.house.digest,
        fingerprint=built.fingerprint,
        files=files,
        wanted=dict(plan.wanted),
        reached={kind: round(kinds[kind] / max(1, len(train)), 4) for kind in plan.wanted},
        left_out=dict(sorted(built.left_out.items())),
        masked=built.masked,
        seed=plan.seed,
    )
    write_manifest(folder, manifest)
    return manifest
