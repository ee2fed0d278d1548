"""A source that is removed answers nothing any more, wherever its removal was cut off."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ingestion.jobs.dispatch import do_now
from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import removal_job, submit_sync
from ingestion.sources import Folder
from ingestion.sync.pipeline import sync
from ingestion.sync.remove import remove_source
from ingestion.sync.run import open_run
from ingestion.sync.status import knowledge_status, list_sources
from tests.fakes import DictIndex, make_stack
from tests.ingestion.helpers import WORKSPACE, article, points_of, readable, write_tree
from twofold.errors import Conflict, NotFound, UpstreamError
from twofold.ledger.models import Job, Version
from twofold.stack import Stack


@pytest.fixture
def filled(tree: Path) -> Path:
    """Two sources; of `rules` a policy with a past version, and a document that cannot be read."""
    policy = {"kind": "policy", "effective_from": "2024-01-01"}
    write_tree(tree, {"help/a.md": "Apples.", "rules/p.md": article("Ten days.", **policy)})
    write_tree(tree, {"rules/q.md": "Quinces.", "rules/broken.md": ""})
    return tree


def fill(stack: Stack, tree: Path) -> None:
    for name in ("help", "rules"):
        sync(stack, WORKSPACE, Folder(name, tree / name))
    policy = {"kind": "policy", "effective_from": "2025-01-01"}
    write_tree(tree, {"rules/p.md": article("Six days.", **policy)})
    sync(stack, WORKSPACE, Folder("rules", tree / "rules"))


def remove(stack: Stack) -> int:
    queue = Queue(stack.ledger)
    return int(do_now(stack, queue, removal_job(WORKSPACE, "rules", "folder"))["removed"])


def check_gone(stack: Stack) -> None:
    assert readable(stack) == {"help/a.md": ["Apples."]}
    assert {chunk.source for chunk in points_of(stack).values()} == {"help"}
    assert [source.name for source in list_sources(stack.ledger, WORKSPACE)] == ["help"]
    assert knowledge_status(stack.ledger, WORKSPACE).failures == []


def test_a_removed_source_answers_nothing_and_can_be_added_again(
    stack: Stack, filled: Path
) -> None:
    fill(stack, filled)
    assert remove(stack) == 2
    check_gone(stack)
    with stack.ledger.session() as session:
        assert session.scalar(select(func.count()).select_from(Version)) == 4  # on record
    sync(stack, WORKSPACE, Folder("rules", filled / "rules"))
    assert readable(stack)["rules/q.md"] == ["Quinces."]


def test_no_job_of_a_removed_source_is_left(stack: Stack, filled: Path) -> None:
    fill(stack, filled)
    queue = Queue(stack.ledger)
    submit_sync(queue, WORKSPACE, "rules", "folder")
    remove(stack)
    with stack.ledger.session() as session:
        rows = session.execute(select(Job.task, Job.state).order_by(Job.task)).all()
    assert rows == [("remove", "done"), ("sync", "superseded")]
    with pytest.raises(NotFound, match="'rules'"):
        remove_source(stack, WORKSPACE, "rules")


def test_a_source_that_is_being_written_is_not_removed(
    stack: Stack, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ingestion.sync.remove.WAIT_SECONDS", 0.0)
    fill(stack, filled)
    source = Folder("rules", filled / "rules")
    with open_run(stack.ledger, WORKSPACE, source), pytest.raises(Conflict, match="written"):
        remove(stack)
    assert "rules/q.md" in readable(stack)


def test_a_removal_that_was_cut_off_answers_nothing_and_is_done_again(
    home: Path, filled: Path
) -> None:
    class Failing(DictIndex):
        fails = False

        def delete(self, ids: Sequence[str]) -> None:
            if self.fails:
                raise UpstreamError("no index.")
            super().delete(ids)

    index = Failing()
    with make_stack(home, index=index) as stack:
        fill(stack, filled)
        index.fails = True
        with pytest.raises(UpstreamError):
            remove(stack)
        assert readable(stack) == {"help/a.md": ["Apples."]}
        index.fails = False
        assert remove(stack) == 0
        check_gone(stack)
