"""Sources that disagree: the policy holds, and of release notes and pages the newest."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from services.answer.contract import Ask
from services.answer.pipeline import find
from tests.ingestion.helpers import WORKSPACE
from tests.services.answer.asking import hear, knowing, on_record


def page(kind: str, day: str, text: str, more: str = "") -> str:
    return f"---\nkind: {kind}\nupdated_at: {day}\n{more}---\n{text}\n"


LIMIT = "The Creek plan {} {} requests per minute."
OLD_NOTE = page("release_note", "2024-01-15", LIMIT.format("now allows", 100))
NEW_NOTE = page("release_note", "2026-03-10", LIMIT.format("now allows", 500))
MANY = "How many requests per minute does the Creek plan allow?"


@dataclass(frozen=True)
class Case:
    """`held` are the words of the page that holds, `gone` those of the one that does not."""

    id: str
    pages: dict[str, str]
    question: str
    held: str
    gone: str


CASES = (
    Case(
        "newer-note", {"a.md": OLD_NOTE, "b.md": NEW_NOTE}, MANY,
        "500 requests", "100 requests",
    ),
    Case(
        "page-after-note",
        {"a.md": OLD_NOTE, "b.md": page("article", "2026-03-10", LIMIT.format("allows", 500))},
        MANY, "500 requests", "100 requests",
    ),
    Case(
        "note-after-page",
        {"a.md": NEW_NOTE, "b.md": page("article", "2024-03-10", LIMIT.format("allows", 100))},
        MANY, "500 requests", "100 requests",
    ),
    Case(
        "policy-over-newer-page",
        {
            "a.md": page("policy", "2026-01-01", "A purchase is refunded in full within 14 days."),
            "b.md": page(
                "article", "2026-09-01", "Write within 30 days and a purchase is refunded in full."
            ),
        },
        "Within how many days is a purchase refunded in full?", "14 days", "30 days",
    ),
)  # fmt: skip
BOTH_STAY = (
    Case(
        "two-pages",
        {
            "a.md": page("article", "2024-01-01", LIMIT.format("allows", 100)),
            "b.md": page("article", "2026-01-01", LIMIT.format("allows", 500)),
        },
        MANY, "500 requests", "100 requests",
    ),
    Case(
        "other-plans",
        {"a.md": OLD_NOTE, "b.md": NEW_NOTE.replace("Creek", "River")},
        "How many requests per minute do the plans allow?", "500 requests", "100 requests",
    ),
    Case(
        "other-products",
        {
            "a.md": OLD_NOTE.replace("---\nThe", "product: events\n---\nThe"),
            "b.md": NEW_NOTE.replace("---\nThe", "product: exports\n---\nThe"),
        },
        MANY, "500 requests", "100 requests",
    ),
    Case(
        "asked-what-changed", {"a.md": OLD_NOTE, "b.md": NEW_NOTE},
        "How was the limit of requests per minute of the Creek plan changed?",
        "500 requests", "100 requests",
    ),
    Case(
        "same-day",
        {"a.md": OLD_NOTE, "b.md": OLD_NOTE.replace("100", "500")},
        MANY, "500 requests", "100 requests",
    ),
)  # fmt: skip


def overruled() -> float:
    return REGISTRY.get_sample_value("twofold_knowledge_chunks_total", {"fate": "overruled"}) or 0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_what_holds_is_said_alone(case: Case, tmp_path: Path) -> None:
    with knowing(tmp_path, case.pages) as parts:
        before = overruled()
        heard = asyncio.run(hear(parts, case.question))
        assert overruled() == before + 1
        assert case.held in heard.done.text
        assert case.gone not in heard.done.text
        record = on_record(parts.stack, heard.done.answer_id)
        (out,) = record.signals["overruled"]
        assert out not in record.packed
        assert out in {each["chunk"] for each in record.retrieved}
        looked = asyncio.run(find(Ask(case.question, WORKSPACE), parts))
        assert out not in {each.chunk.id for each in looked.found.candidates}


@pytest.mark.parametrize("case", BOTH_STAY, ids=lambda case: case.id)
def test_what_is_no_contradiction_or_is_asked_for_stays(case: Case, tmp_path: Path) -> None:
    with knowing(tmp_path, case.pages) as parts:
        heard = asyncio.run(hear(parts, case.question))
        record = on_record(parts.stack, heard.done.answer_id)
        assert "overruled" not in record.signals
        assert len(record.packed) == 2


def test_what_nobody_asked_about_takes_no_passage_away(tmp_path: Path) -> None:
    note = OLD_NOTE + "\nWebhook signing secrets can be rolled from the dashboard.\n"
    with knowing(tmp_path, {"a.md": note, "b.md": NEW_NOTE}) as parts:
        heard = asyncio.run(hear(parts, "Where can webhook signing secrets be rolled?"))
        assert "dashboard" in heard.done.text


def test_of_two_notes_that_fit_as_well_the_newer_comes_first(tmp_path: Path) -> None:
    pages = {
        "a.md": page("release_note", "2022-01-01", "Exports to Snowflake are not supported."),
        "b.md": page("release_note", "2026-01-01", "Now exports to Snowflake are supported too."),
    }
    with knowing(tmp_path, pages) as parts:
        heard = asyncio.run(hear(parts, "Are exports to Snowflake supported?"))
        assert heard.done.citations[0].document == "help/b.md"
