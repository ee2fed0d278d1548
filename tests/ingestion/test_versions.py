"""Policies keep their past, everything else does not; and who may read shrinks at once."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from tests.ingestion.helpers import article, points_of, readable, run_sync, write_tree
from twofold.index.contract import OPEN_VERSION
from twofold.ledger.models import Version
from twofold.stack import Stack


def at(date: str) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp()


def policy(*sections: str, start: str) -> str:
    return article(*sections, kind="policy", title="Refunds", effective_from=start)


def test_a_superseded_policy_answers_only_about_its_time(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"r.md": policy("Within 14 days.", "Write to us.", start="2025-01-01")})
    run_sync(stack, tree)
    write_tree(tree, {"r.md": policy("Within 30 days.", "Write to us.", start="2025-03-01")})
    run_sync(stack, tree)
    write_tree(tree, {"r.md": policy("Within 60 days.", "Write to us.", start="2025-06-01")})
    run_sync(stack, tree)
    told = {
        date: readable(stack, as_of=at(date)).get("help/r.md")
        for date in ("2024-12-31", "2025-02-28", "2025-03-01", "2025-05-31", "2025-06-01")
    }
    assert told == {
        "2024-12-31": None,
        "2025-02-28": ["Within 14 days.", "Write to us."],
        "2025-03-01": ["Within 30 days.", "Write to us."],
        "2025-05-31": ["Within 30 days.", "Write to us."],
        "2025-06-01": ["Within 60 days.", "Write to us."],
    }
    assert readable(stack) == {"help/r.md": ["Within 60 days.", "Write to us."]}


def test_a_policy_that_returns_to_old_words_keeps_both_times(stack: Stack, tree: Path) -> None:
    for days, start in ((14, "2025-01-01"), (30, "2025-03-01"), (14, "2025-06-01")):
        write_tree(tree, {"r.md": policy(f"Within {days} days.", start=start)})
        run_sync(stack, tree)
    assert readable(stack, as_of=at("2025-02-01"))["help/r.md"] == ["Within 14 days."]
    assert readable(stack, as_of=at("2025-04-01"))["help/r.md"] == ["Within 30 days."]
    assert readable(stack)["help/r.md"] == ["Within 14 days."]
    assert len(points_of(stack)) == 3


def test_a_policy_announced_ahead_waits_for_its_day(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"r.md": policy("Old.", start="2025-01-01")})
    run_sync(stack, tree)
    write_tree(tree, {"r.md": policy("New.", start="2999-01-01")})
    run_sync(stack, tree)
    assert readable(stack, as_of=at("2026-01-01"))["help/r.md"] == ["Old."]
    assert readable(stack, as_of=at("2999-01-02"))["help/r.md"] == ["New."]


def test_an_edited_article_leaves_nothing_of_its_past(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": article("Old text.", "Same.")})
    run_sync(stack, tree)
    write_tree(tree, {"a.md": article("New text.", "Same.")})
    run_sync(stack, tree)
    points = points_of(stack).values()
    assert {(c.text, c.since, c.until) for c in points} == {
        ("New text.", 2, OPEN_VERSION),
        ("Same.", 1, OPEN_VERSION),
    }
    assert readable(stack, as_of=at("2020-01-01"))["help/a.md"] == ["New text.", "Same."]


def test_an_expired_document_answers_about_its_time_only(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": article("Old rule.", expires_at="2025-06-30")})
    run_sync(stack, tree)
    assert readable(stack) == {}
    assert readable(stack, as_of=at("2025-06-30T23:59:59")) == {"help/a.md": ["Old rule."]}
    assert readable(stack, as_of=at("2025-07-01")) == {}


@pytest.mark.parametrize("kind", ["article", "policy"])
def test_a_narrowed_audience_holds_for_all_there_ever_was(
    stack: Stack, tree: Path, kind: str
) -> None:
    for text, audience in (("One.", "[public]"), ("Two.", "[public]"), ("Two.", "[internal]")):
        write_tree(tree, {"a.md": article(text, "Same.", kind=kind, title="T", audience=audience)})
        run_sync(stack, tree)
    assert readable(stack) == {}
    assert readable(stack, "internal") == {"help/a.md": ["Two.", "Same."]}
    assert {chunk.audience for chunk in points_of(stack).values()} == {("internal",)}


def test_a_widened_audience_is_let_in(stack: Stack, tree: Path) -> None:
    for audience in ("[internal]", "[customer, internal]", "[public]"):
        write_tree(tree, {"a.md": article("Text.", title="T", audience=audience)})
        run_sync(stack, tree)
    assert readable(stack) == {"help/a.md": ["Text."]}


def test_versions_are_numbered_on_and_keep_their_sections(stack: Stack, tree: Path) -> None:
    for text in ("One.", "Two.", None, "Three."):
        if text is None:
            (tree / "a.md").unlink()
            run_sync(stack, tree, allow_removal=True)
        else:
            write_tree(tree, {"a.md": text})
            run_sync(stack, tree)
    with stack.ledger.session() as session:
        versions = session.scalars(select(Version).order_by(Version.number)).all()
    assert [(v.number, v.sections[0]["text"]) for v in versions] == [
        (1, "One."),
        (2, "Two."),
        (3, "Three."),
    ]


def test_bytes_that_say_the_same_make_no_version(stack: Stack, tree: Path) -> None:
    write_tree(tree, {"a.md": "Text.\n\nMore."})
    run_sync(stack, tree)
    write_tree(tree, {"a.md": "Text.\n\n\n\nMore.\n"})
    report = run_sync(stack, tree)
    assert (report.changed, report.chunks) == (1, 0)
    assert run_sync(stack, tree).unchanged == 1
    with stack.ledger.session() as session:
        assert len(session.scalars(select(Version)).all()) == 1
