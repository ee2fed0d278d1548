"""Retrieval answers from the versions that apply, to those who may see them."""

from dataclasses import replace
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.contract import Question, Turn
from services.answer.search.retrieve import keyword_trust, rank, retrieve
from tests.fakes import make_stack
from twofold.index.contract import Chunk, Hit, Scope
from twofold.index.sparse import Bm25Encoder
from twofold.ledger.models import Document
from twofold.stack import Stack

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
PAGES = {
    "refunds-old.md": "title: Refunds\nkind: policy\nexpires_at: 2026-02-28",
    "refunds.md": "title: Refunds\nkind: policy\neffective_from: 2026-03-01",
    "approval.md": "title: Refund approval\naudience: [internal]",
    "erstattung.md": "title: Refund\nlocale: de",
    "ask-for-a-refund.md": "title: Ask for a refund",
}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    folder = tmp_path / "pages"
    folder.mkdir()
    for name, front in PAGES.items():
        text = f"---\n{front}\n---\nA refund of a plan, as {name} says.\n"
        (folder / name).write_text(text, encoding="utf-8")
    stack = make_stack(tmp_path / "home")
    sync(stack, "default", Folder("help", folder))
    return stack


def asked(
    text: str = "refund of a plan", *, as_of: float | None = None, audience: str = "public",
    history: tuple[Turn, ...] = (),
) -> Question:  # fmt: skip
    scope = Scope("default", int(as_of or NOW), frozenset({audience}))
    return Question(text, text, "en", scope, as_of, history)


def names(stack: Stack, question: Question) -> list[str]:
    return [c.chunk.key.removeprefix("help/") for c in retrieve(question, stack).candidates]


def test_superseded_and_internal_pages_do_not_answer(stack: Stack) -> None:
    assert set(names(stack, asked())) == {"refunds.md", "erstattung.md", "ask-for-a-refund.md"}


def test_a_note_of_a_later_day_says_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    folder = tmp_path / "pages"
    folder.mkdir()
    for day in ("2026-02-01", "2026-06-01"):
        front = f"title: Refunds changed\nkind: release_note\nupdated_at: {day}"
        (folder / f"{day}.md").write_text(f"---\n{front}\n---\nA refund of a plan since {day}.\n")
    stack = make_stack(tmp_path / "home")
    sync(stack, "default", Folder("help", folder))
    march, january = (datetime(2026, month, 1, tzinfo=UTC).timestamp() for month in (3, 1))
    assert set(names(stack, asked())) == {"2026-02-01.md", "2026-06-01.md"}
    assert names(stack, asked(as_of=march)) == ["2026-02-01.md"]
    assert names(stack, asked(as_of=january)) == []


def test_staff_see_internal_pages_too(stack: Stack) -> None:
    assert "approval.md" in names(stack, asked(audience="internal"))


def test_on_another_day_the_rule_of_that_day_comes_first(stack: Stack) -> None:
    then = datetime(2026, 2, 1, tzinfo=UTC).timestamp()
    found = names(stack, asked(as_of=then))
    assert found[0] == "refunds-old.md"
    assert "refunds.md" not in found


def test_the_other_language_comes_last(stack: Stack) -> None:
    assert names(stack, asked())[-1] == "erstattung.md"


def test_what_the_ledger_calls_gone_does_not_answer_although_it_is_still_indexed(
    stack: Stack,
) -> None:
    with stack.ledger.session() as session:
        for document in session.query(Document).filter_by(external_id="refunds.md"):
            document.live = None
    found = retrieve(asked(), stack)
    assert all(c.chunk.key != "help/refunds.md" for c in found.candidates)
    assert found.stale > 0


def test_another_workspace_holds_nothing(stack: Stack) -> None:
    scope = Scope("other", int(NOW), frozenset())
    assert retrieve(Question("refund", "refund", "en", scope, None), stack).candidates == ()


def test_a_conversation_is_searched_with_its_last_message_first(stack: Stack) -> None:
    alone = retrieve(asked("approval"), stack)
    history = (Turn("user", "refund"), Turn("assistant", "A refund of a plan."))
    led = retrieve(asked("approval", history=history), stack)
    weights = dict(zip(*led.keywords, strict=True))
    (term,) = alone.keywords.indices
    assert weights[term] == max(weights.values()) == 1.0
    assert len(weights) > 1


def test_who_refers_to_an_answer_gets_the_page_that_it_cited_first_of_what_fits_as_well(
    stack: Stack,
) -> None:
    before = retrieve(asked("refund of it"), stack).candidates
    cited = before[-1].chunk
    history = (Turn("user", "refund"), Turn("assistant", "", documents=frozenset({cited.document})))
    question = asked("refund of it", history=history)
    leaning, alone = (
        [each.chunk for each in retrieve(replace(question, leans=leans), stack).candidates]
        for leans in (True, False)
    )
    assert leaning.index(cited) < alone.index(cited)


def test_keywords_are_trusted_as_far_as_they_cover_the_question() -> None:
    sparse = Bm25Encoder()
    question = sparse.query("rotate signing secret")

    def hit(text: str) -> Hit:
        return Hit(
            Chunk("1", "w", "s", "d", "s/d", 1, title="T", heading_path=(), text=text, position=0),
            9.0,
        )

    whole = keyword_trust(sparse, [hit("rotate the signing secret")], question, "en")
    part = keyword_trust(sparse, [hit("a secret garden")], question, "en")
    assert whole == 1.0
    assert 0 < part < whole
    assert keyword_trust(sparse, [], question, "en") == 0.0


def test_what_one_search_found_is_scored_by_the_other_as_well() -> None:
    def chunk(id: str) -> Chunk:
        return Chunk(id, "w", "s", "d", "s/d", 1, title="T", heading_path=(), text=id, position=0)

    chunks = {id: chunk(id) for id in ("both", "meaning", "words", "neither")}
    cosine = {"both": 0.5, "meaning": 0.6, "words": 0.1}
    bm25 = {"both": 9.0, "meaning": 1.0, "words": 10.0}
    ranked = rank(chunks, cosine, bm25, dict.fromkeys(chunks, 1), asked(), 1.0)
    assert [c.chunk.id for c in ranked] == ["both", "words", "meaning", "neither"]
    assert ranked[0].fused == pytest.approx(0.5 / 0.6 + 0.9)
    assert ranked[-1].fused == 0.0
    assert [c.chunk.id for c in rank(chunks, cosine, {}, dict.fromkeys(chunks, 1), asked())][
        :2
    ] == [
        "meaning",
        "both",
    ]
    assert rank({}, {}, {}, {}, asked()) == ()


def test_a_passage_below_the_end_of_one_list_keeps_its_score(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every candidate that holds a term of the question has its keyword score, and all a cosine."""
    monkeypatch.setattr(import_module("services.answer.search.retrieve"), "DEPTH", 1)
    found = retrieve(asked("refund"), stack)  # each search finds another page
    assert len(found.candidates) == 2
    terms = set(found.keywords.indices)
    for candidate in found.candidates:
        assert candidate.dense != 0
        holds = terms & stack.sparse.terms(candidate.chunk.embedded_text, "en")
        assert bool(candidate.keywords) == bool(holds)
