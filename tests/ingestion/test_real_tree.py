"""A real help center, half a year apart."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ingestion.upkeep.reconcile import reconcile
from tests.fakes import make_stack
from tests.ingestion.helpers import WORKSPACE, points_of, readable, run_sync
from twofold.index.contract import Chunk
from twofold.stack import Stack

FOUND_FROM_SCRATCH = {"since", "updated_at"}
"""What an index built in two steps may say otherwise."""


def contents(stack: Stack) -> dict[str, dict[str, Any]]:
    def plain(chunk: Chunk) -> dict[str, Any]:
        return {k: v for k, v in chunk.payload().items() if k not in FOUND_FROM_SCRATCH}

    return {id: plain(chunk) for id, chunk in points_of(stack).items()}


@pytest.fixture(scope="module")
def magento(data: Path) -> Path:
    return data / "helpcenter_magento"


def test_previous_to_current_is_what_its_list_of_changes_says(
    magento: Path, tmp_path: Path
) -> None:
    rows = (magento / "changes.tsv").read_text(encoding="utf-8").splitlines()
    kinds = Counter(row[0] for row in rows)
    with make_stack(tmp_path / "steps") as stack, make_stack(tmp_path / "scratch") as scratch:
        first = run_sync(stack, magento / "previous")
        assert (first.added, first.failed) == (720, 0)
        # Two pages in five are gone: held, until somebody says that it is meant.
        assert run_sync(stack, magento / "current").removed == 0
        with make_stack(tmp_path / "meant") as meant:
            run_sync(meant, magento / "previous")
            told = run_sync(meant, magento / "current", allow_removal=True)
            assert (told.added, told.changed) == (kinds["A"] + kinds["R"], kinds["M"])
        second = run_sync(stack, magento / "current", allow_removal=True)
        assert (second.removed, second.failed) == (kinds["D"] + kinds["R"], 0)
        assert reconcile(stack, WORKSPACE).total == 0
        again = run_sync(stack, magento / "current")
        assert (again.unchanged, again.chunks) == (794, 0)

        assert run_sync(scratch, magento / "current").added == 794
        assert contents(stack) == contents(scratch)
        assert readable(stack) == readable(scratch)


def test_policies_through_their_dated_snapshots(data: Path, tmp_path: Path) -> None:
    policies = data / "policies_github"
    steps = [*sorted(policies.glob("asof-*")), policies / "current"]
    with make_stack(tmp_path / "steps") as stack:
        for number, step in enumerate(steps):
            report = run_sync(stack, step, allow_removal=True)
            with make_stack(tmp_path / f"scratch{number}") as scratch:
                run_sync(scratch, step)
                assert report.failed == 0
                assert contents(stack) == contents(scratch)
            assert reconcile(stack, WORKSPACE).total == 0
