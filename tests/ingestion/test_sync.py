"""What a sync does, seen from outside: reports, what readers get, what is embedded and written."""

import threading
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from ingestion.jobs import queue_metrics
from ingestion.sources import Folder
from ingestion.sync.pipeline import carry_out
from ingestion.sync.run import open_run
from ingestion.sync.status import knowledge_status, list_sources
from tests.fakes import DictIndex, HashingEmbedder, make_stack
from tests.ingestion.helpers import (
    SOURCE,
    WORKSPACE,
    article,
    points_of,
    readable,
    run_sync,
    write_tree,
)
from twofold.errors import Conflict, InvalidInput
from twofold.stack import Stack


def test_added_then_unchanged_then_changed_then_removed(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": article("Apples are red."), "b/c.md": article("Cherries are dark.")})
    first = run_sync(stack, tree)
    assert (first.added, first.changed, first.unchanged, first.removed) == (2, 0, 0, 0)
    assert first.chunks == 2
    assert readable(stack) == {
        "help/a.md": ["Apples are red."],
        "help/b/c.md": ["Cherries are dark."],
    }

    write_tree(tree, {"a.md": article("Apples are green.")})
    second = run_sync(stack, tree)
    assert (second.added, second.changed, second.unchanged, second.removed) == (0, 1, 1, 0)
    assert readable(stack)["help/a.md"] == ["Apples are green."]

    (tree / "a.md").unlink()
    third = run_sync(stack, tree)
    assert (third.added, third.changed, third.unchanged, third.removed) == (0, 0, 1, 1)
    assert readable(stack) == {"help/b/c.md": ["Cherries are dark."]}
    assert len(points_of(stack)) == 1


def test_an_unchanged_sync_embeds_nothing_and_writes_nothing(home: Path, tree: Path) -> None:
    embedder, index = HashingEmbedder(), DictIndex()
    write_tree(tree, {f"{n}.md": article(f"Text number {n}.") for n in range(5)})
    with make_stack(home, index=index, embedder=embedder) as stack:
        run_sync(stack, tree)
        embedded, writes = len(embedder.embedded), index.writes
        (tree / "0.md").touch()
        assert run_sync(stack, tree).unchanged == 5
    assert (len(embedder.embedded), index.writes) == (embedded, writes)


def test_an_edit_embeds_only_what_it_changed(home: Path, tree: Path) -> None:
    embedder = HashingEmbedder()
    with make_stack(home, embedder=embedder) as stack:
        write_tree(tree, {"a.md": article("One.", "Two.", "Three.")})
        run_sync(stack, tree)
        kept = {c.text: c.id for c in points_of(stack).values()}
        embedder.embedded.clear()
        write_tree(tree, {"a.md": article("One.", "Two, edited.", "Three.")})
        report = run_sync(stack, tree)
        assert [text.split("\n")[1] for text in embedder.embedded] == ["Two, edited."]
        assert report.chunks == 1
        now = points_of(stack)
        assert {chunk.text for chunk in now.values()} == {"One.", "Two, edited.", "Three."}
        assert {kept["One."], kept["Three."]} < now.keys()
        assert {now[kept["One."]].since, now[kept["Three."]].since} == {1}


def test_equal_texts_of_two_documents_never_share_a_point(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Same text.", "b.md": "Same text."})
    run_sync(stack, tree)
    assert len(points_of(stack)) == 2


def test_a_document_that_returns_answers_again(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": "Berries."})
    run_sync(stack, tree)
    (tree / "a.md").unlink()
    run_sync(stack, tree)
    write_tree(tree, {"a.md": "Apples."})
    assert run_sync(stack, tree).added == 1
    assert readable(stack)["help/a.md"] == ["Apples."]


def test_a_changed_title_reaches_every_chunk(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": article("One.", "Two.", title="Old")})
    run_sync(stack, tree)
    write_tree(tree, {"a.md": article("One.", "Two.", title="New")})
    run_sync(stack, tree)
    assert {chunk.title for chunk in points_of(stack).values()} == {"New"}


def test_changed_metadata_reaches_kept_chunks_without_embedding(home: Path, tree: Path) -> None:
    embedder = HashingEmbedder()
    with make_stack(home, embedder=embedder) as stack:
        write_tree(tree, {"a.md": article("One.", title="T")})
        run_sync(stack, tree)
        embedder.embedded.clear()
        write_tree(tree, {"a.md": article("One.", title="T", url="https://x.example/a")})
        run_sync(stack, tree)
        assert embedder.embedded == []
        assert [c.url for c in points_of(stack).values()] == ["https://x.example/a"]


def test_an_emptied_source_is_refused_until_it_is_meant(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    run_sync(stack, tree)
    (tree / "a.md").unlink()
    with pytest.raises(InvalidInput, match="holds no documents now, but 1 is live"):
        run_sync(stack, tree)
    assert readable(stack) == {"help/a.md": ["Apples."]}
    assert run_sync(stack, tree, allow_removal=True).removed == 1
    assert readable(stack) == {}


def test_two_syncs_of_one_source_never_interleave(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples."})
    source = Folder(SOURCE, tree)
    with open_run(stack.ledger, WORKSPACE, source) as run:
        with pytest.raises(Conflict, match=r"'help' is being written by process \d+@\S+ since \d"):
            run_sync(stack, tree)
        assert carry_out(stack, run, source).added == 1
    assert run_sync(stack, tree).unchanged == 1


def test_many_syncs_at_once_leave_one_clean_state(stack: Stack, tree: Path) -> None:
    write_tree(tree, {f"{n}.md": f"Text {n}." for n in range(20)})
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            run_sync(stack, tree)
            outcomes.append("done")
        except Conflict:
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in outcomes
    assert len(outcomes) == 6
    assert len(points_of(stack)) == 20


def test_a_lease_left_by_a_killed_process_is_taken_over(stack: Stack, tree: Path) -> None:
    import os
    import socket
    import subprocess
    import sys

    from sqlalchemy import update

    from twofold.ledger.models import Source

    write_tree(tree, {"a.md": "Apples."})
    run_sync(stack, tree)
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    for pid, refused in ((dead.stdout.decode().strip(), False), (str(os.getppid()), True)):
        with stack.ledger.session() as session:
            owner = f"{pid}@{socket.gethostname()}/1"
            session.execute(update(Source).values(lease_owner=owner, lease_until=2e10))
        if refused:
            with pytest.raises(Conflict):
                run_sync(stack, tree)
        else:
            assert run_sync(stack, tree).unchanged == 1


def test_a_lost_index_is_filled_again(home: Path, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": "Berries."})
    with make_stack(home) as stack:
        run_sync(stack, tree)
    with make_stack(home) as stack:
        assert run_sync(stack, tree).changed == 2
        assert readable(stack) == {"help/a.md": ["Apples."], "help/b.md": ["Berries."]}
        assert run_sync(stack, tree).unchanged == 2


def test_progress_and_outcome_stand_in_the_ledger(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.md": ""})
    seen: list[tuple[int, int]] = []
    run_sync(stack, tree, progress=lambda done, total: seen.append((done, total)))
    assert (seen[0], seen[-1]) == ((0, 2), (2, 2))
    (source,) = knowledge_status(stack.ledger, WORKSPACE).sources
    assert source.last_sync is not None
    assert (source.last_sync.state, source.last_sync.done, source.last_sync.total) == ("done", 2, 2)
    assert source.last_sync.counts["added"] == 1
    assert (source.documents, source.chunks, source.failed) == (1, 1, 1)


def test_sources_of_one_ledger_do_not_touch_each_other(stack: Stack, tree: Path) -> None:
    from ingestion.sync.pipeline import sync

    write_tree(tree, {"one/a.md": "Apples.", "two/a.md": "Pears."})
    sync(stack, WORKSPACE, Folder("one", tree / "one"))
    sync(stack, WORKSPACE, Folder("two", tree / "two"))
    sync(stack, "other", Folder("one", tree / "two"))
    assert readable(stack) == {"one/a.md": ["Apples."], "two/a.md": ["Pears."]}
    (tree / "two" / "a.md").unlink()
    sync(stack, WORKSPACE, Folder("two", tree / "two"), allow_removal=True)
    assert readable(stack) == {"one/a.md": ["Apples."]}
    assert len(points_of(stack)) == 2


def told_held() -> float | None:
    return REGISTRY.get_sample_value("twofold_ingestion_held_removals", {"kind": "folder"})


def test_a_sync_that_would_remove_an_unusual_share_holds_until_it_is_told_to_go_on(
    stack: Stack, tree: Path
) -> None:
    write_tree(tree, {f"{n}.md": f"Page {n}." for n in range(10)})
    run_sync(stack, tree)
    for n in range(4):
        (tree / f"{n}.md").unlink()
    write_tree(tree, {"9.md": "Page 9, edited."})
    held = run_sync(stack, tree)
    assert (held.changed, held.removed, held.held) == (1, 0, 4)
    assert "--allow-removal" in held.remark
    queue_metrics.expose(stack.ledger, WORKSPACE)
    assert told_held() == 4  # by whoever reads the ledger: the worker's own gauges are not scraped
    assert len(readable(stack)) == 10
    (source,) = list_sources(stack.ledger, WORKSPACE)
    assert source.last_sync is not None
    assert "4 documents are gone" in source.last_sync.error
    told = run_sync(stack, tree, allow_removal=True)
    assert (told.removed, told.held, told.remark) == (4, 0, "")
    assert told_held() == 0
    for n in range(4, 5):
        (tree / f"{n}.md").unlink()
    assert run_sync(stack, tree).removed == 1


def test_a_page_that_becomes_a_draft_is_told_to_nobody_whatever_share_it_is(
    stack: Stack, tree: Path
) -> None:
    write_tree(tree, {f"{n}.md": f"Page {n}." for n in range(5)})
    run_sync(stack, tree)
    write_tree(tree, {f"{n}.md": f"---\ndraft: true\n---\nPage {n}." for n in range(4)})
    report = run_sync(stack, tree)
    assert (report.skipped, report.removed, report.failed, report.held) == (4, 4, 0, 0)
    assert report.left_out[0].reason == "It is not for the public: `draft: true`."
    assert list(readable(stack)) == ["help/4.md"]
    assert run_sync(stack, tree).skipped == 4
    write_tree(tree, {"0.md": "Page 0."})
    assert run_sync(stack, tree).added == 1


def test_files_of_other_kinds_are_named(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Apples.", "b.csv": "1,2", "c.adoc": "= C", "logo.png": "x"})
    report = run_sync(stack, tree)
    assert (report.added, report.skipped, report.failed) == (1, 2, 0)
    assert [each.document for each in report.left_out] == ["b.csv", "c.adoc"]
    assert ".adoc are not read" in report.left_out[1].reason
