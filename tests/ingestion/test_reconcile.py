"""Ledger against index, both ways: what is found, and that repair ends where syncs would."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from ingestion.jobs import queue_metrics
from ingestion.sources import Fetched
from ingestion.sync import lease as leases
from ingestion.sync.push import put_document
from ingestion.upkeep.reconcile import reconcile
from tests.fakes import DictIndex, make_stack
from tests.ingestion.helpers import (
    SOURCE,
    WORKSPACE,
    article,
    points_of,
    run_sync,
    state_of,
    write_tree,
)
from twofold import metrics
from twofold.stack import Stack

WORDS = ["apples", "pears", "plums"]


def three(stack: Stack, tree: Path) -> None:
    write_tree(tree, {f"{word}.md": article(f"All of {word}.", "And more.") for word in WORDS})
    run_sync(stack, tree)


def drift_of(stack: Stack, **options: Any) -> tuple[int, int, int]:
    drift = reconcile(stack, WORKSPACE, **options)
    return len(drift.missing), len(drift.wrong), len(drift.orphans)


def test_what_a_sync_wrote_is_what_the_ledger_expects(stack: Stack, tree: Path) -> None:
    three(stack, tree)
    drift = reconcile(stack, WORKSPACE)
    assert (drift.documents, drift.points, drift.total) == (3, 6, 0)
    assert orjson.loads(orjson.dumps(drift.record()))["drift"] == 0


@pytest.mark.parametrize(
    ("harm", "found"),
    [
        pytest.param("lose", (2, 0, 0), id="two points lost"),
        pytest.param("close", (0, 1, 0), id="a version interval that ended too early"),
        pytest.param("reveal", (0, 1, 0), id="an audience too wide"),
        pytest.param("keep", (0, 0, 1), id="a point of a document that was removed"),
        pytest.param("stranger", (0, 0, 1), id="a point of a source the ledger never had"),
        pytest.param("empty", (6, 0, 0), id="an index that was emptied"),
    ],
)
def test_each_kind_of_drift_is_found_and_mended(
    stack: Stack, tree: Path, harm: str, found: tuple[int, int, int]
) -> None:
    three(stack, tree)
    before = state_of(stack)
    assert isinstance(stack.index, DictIndex)
    points = stack.index.points
    first = next(iter(points.values()))
    match harm:
        case "lose":
            stack.index.delete(list(points)[:2])
        case "close":
            stack.index.update_payload([first.chunk.closed(1)])
        case "reveal":
            stack.index.update_payload([replace(first.chunk, audience=("public", "internal"))])
        case "keep":
            gone = replace(first.chunk, id="3f0e1c9a-0000-4000-8000-000000000000")
            stack.index.upsert([first._replace(chunk=gone)])
        case "stranger":
            other = replace(first.chunk, id="3f0e1c9a-0000-4000-8000-000000000001", source="x")
            stack.index.upsert([first._replace(chunk=other)])
        case "empty":
            points.clear()
    assert drift_of(stack) == found
    kinds = dict(zip(metrics.DRIFTS, found, strict=True))
    queue_metrics.expose(stack.ledger, WORKSPACE)
    for kind, count in kinds.items():
        assert value("twofold_knowledge_drift_points", drift=kind) == count
    assert drift_of(stack, repair=True) == found
    assert value("twofold_knowledge_drift_points", drift="missing") == 0
    assert drift_of(stack) == (0, 0, 0)
    assert state_of(stack) == before


def test_a_source_under_a_sync_is_left_alone_and_named(
    stack: Stack, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    three(stack, tree)
    monkeypatch.setattr("ingestion.upkeep.reconcile.held.__wrapped__.__defaults__", (0.0,))
    leases.acquire(stack.ledger, WORKSPACE, SOURCE)
    drift = reconcile(stack, WORKSPACE, repair=True)
    assert (drift.skipped, drift.total) == ([SOURCE], 0)


EDITS = st.lists(
    st.tuples(
        st.sampled_from(["article", "policy"]),
        st.lists(st.sampled_from(["One.", "Two.", "Three.", "Four."]), min_size=1, max_size=3),
        st.sampled_from(["[public]", "[customer]", "[customer, internal]"]),
        st.sampled_from(["2020-01-01", "2021-06-01", "2030-01-01", ""]),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.heavy
@settings(max_examples=25)
@given(edits=EDITS)
def test_any_history_replays_to_what_the_syncs_left(
    tmp_path_factory: pytest.TempPathFactory, edits: list[Any]
) -> None:
    """Kinds, texts, audiences and days change; documents go and return."""
    root = tmp_path_factory.mktemp("history")
    tree = root / "tree"
    with make_stack(root / "home") as stack:
        for kind, texts, audience, day, removed in edits:
            front = {"kind": kind, "audience": audience, "title": "T"}
            if day:
                front["effective_from"] = day
            write_tree(tree, {"a.md": article(*texts, **front), "keep.md": "Kept."})
            if removed:
                run_sync(stack, tree)
                (tree / "a.md").unlink()
            run_sync(stack, tree)
            drift = reconcile(stack, WORKSPACE)
            assert drift.total == 0, drift.record()
        before = points_of(stack)
        assert isinstance(stack.index, DictIndex)
        stack.index.points.clear()
        reconcile(stack, WORKSPACE, repair=True)
        assert points_of(stack) == before


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_metrics_tell_what_syncs_did_by_kind_of_source(stack: Stack, tree: Path) -> None:
    documents = "twofold_ingestion_documents_total"
    added = value(documents, kind="folder", outcome="added")
    fresh = value("twofold_ingestion_edit_to_answerable_seconds_count")
    three(stack, tree)
    assert value(documents, kind="folder", outcome="added") == added + 3
    assert value("twofold_ingestion_edit_to_answerable_seconds_count") == fresh
    write_tree(tree, {"apples.md": article("All of apples, edited.")})
    run_sync(stack, tree)
    assert value("twofold_ingestion_edit_to_answerable_seconds_count") == fresh + 1
    pushed = value(documents, kind="push", outcome="added")
    put_document(stack, WORKSPACE, "pushed", "a", Fetched(b"Apples.", "text/markdown"))
    assert value(documents, kind="push", outcome="added") == pushed + 1
    queue_metrics.expose(stack.ledger, WORKSPACE)
    assert 0 <= value("twofold_ingestion_sync_age_seconds", kind="folder") < 60
    assert math.isnan(value("twofold_ingestion_sync_age_seconds", kind="website"))
