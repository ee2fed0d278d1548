"""A rolling upgrade: the ledger is a release ahead of the processes that are still to go."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from services.answer.contract import Ask
from services.answer.handoffs.outbox import PersonRequest, request
from services.answer.pipeline import Parts, ask_once
from tests.ingestion.helpers import WORKSPACE, run_sync, write_tree
from tests.services.answer.asking import QUESTION, knowing
from twofold.errors import SetupError
from twofold.ledger import HEAD, Ledger

ADDED = (
    "ALTER TABLE answers ADD COLUMN mood VARCHAR",
    "ALTER TABLE handoffs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE documents ADD COLUMN reviewer VARCHAR",
    "CREATE TABLE moods (name VARCHAR PRIMARY KEY)",
    "UPDATE alembic_version SET version_num = '9999'",
)
"""What a migration may do while older processes run."""


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    with knowing(tmp_path) as parts:
        asyncio.run(ask_once(Ask(QUESTION, WORKSPACE), parts))
        with parts.stack.ledger.engine.begin() as connection:
            for statement in ADDED:
                connection.execute(text(statement))
        yield parts


def test_a_running_process_goes_on_answering_handing_over_and_syncing(
    parts: Parts, tmp_path: Path
) -> None:
    answered = asyncio.run(ask_once(Ask(QUESTION, WORKSPACE), parts))
    assert "12 hours" in answered.text
    _, new = request(parts.stack.ledger, parts.house, PersonRequest(WORKSPACE, message="Hello?"))
    assert new
    write_tree(tmp_path / "tree", {"zorb.md": "# Zorb\n\nA zorb weighs 12 grams."})
    assert run_sync(parts.stack, tmp_path / "tree").added == 1


def test_one_that_starts_then_says_which_release_it_lacks(parts: Parts) -> None:
    with pytest.raises(SetupError, match=r"9999.*a newer Twofold made it"):
        Ledger(parts.stack.ledger.url)


def test_no_migration_of_ours_breaks_the_inserts_of_the_release_before(tmp_path: Path) -> None:
    """A column that comes into a table must not be needed there, and none may go: processes of the
    release before write and read on while the new ones start."""
    ledger = Ledger(f"sqlite:///{tmp_path / 'ledger.db'}", migrate=False)
    before: dict[str, set[str]] = {}
    for number in range(1, int(HEAD) + 1):
        ledger.move_to(f"{number:04}")
        found = inspect(ledger.engine)
        now = {table: found.get_columns(table) for table in found.get_table_names()}
        for table, columns in before.items():
            assert table in now, (number, table)
            assert columns <= {column["name"] for column in now[table]}, (number, table)
            for column in now[table]:
                new = column["name"] not in columns
                needed = not column["nullable"] and column["default"] is None
                assert not (new and needed), (number, table, column["name"])
        before = {table: {column["name"] for column in columns} for table, columns in now.items()}
    ledger.close()
