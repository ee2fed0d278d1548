"""`eval answerability` and `eval sufficiency`: files, figures, and the product below."""

import asyncio
import json
from pathlib import Path

import pytest

from models.evaluate import answerability, sufficiency
from models.evaluate.answerability import (
    AnswerabilityCase,
    AnswerabilityResult,
    ask_all,
    load_asked,
)
from models.evaluate.labelled import load_corpus
from models.evaluate.sufficiency import Given, load_given
from models.suite.client import AnswerClient
from services.standalone.evals import Local
from tests.services.standalone.serving import needs_weights
from twofold.errors import InvalidInput, NotFound
from twofold.settings import Settings

CORPUS = """\
{"id": "keys", "title": "API keys", "text": "A rotated API key keeps working for 24 hours."}
{"id": "seats", "title": "Seats", "text": "The Creek plan has ten seats for your team."}
{"id": "refunds", "title": "Refunds", "text": "Money comes back within ten business days."}
"""
QUERIES = """\
{"id": "q1", "text": "how long does a rotated api key keep working", "answerable": true}
{"id": "q2", "text": "and how many seats?", "answerable": true,
 "history": [{"role": "user", "text": "the Creek plan"}, {"role": "agent", "text": "Yes?"}]}
{"id": "q3", "text": "which fonts does the Kafka connector use", "answerable": false}
{"id": "q4", "text": "nobody knows"}
""".replace("true,\n", "true,")


def _silent(*_: object) -> None:
    pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "corpus.jsonl").write_text(CORPUS)
    (tmp_path / "queries.jsonl").write_text(QUERIES)
    return tmp_path


def test_queries_that_do_not_say_are_left_out(folder: Path) -> None:
    asked = load_asked(folder)
    assert [question.answerable for question in asked] == [True, True, False]
    assert [turn.role for turn in asked[1].history] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"id": "q", "text": "x"}', "No query in .* says whether it is answerable"),
        ('{"id": "q", "text": "x", "answerable": "no"}', "line 1: `answerable` is neither"),
        ('{"id": "q", "answerable": true}', "line 1 has no 'text'"),
    ],
)
def test_queries_that_cannot_be_asked_are_named(folder: Path, line: str, says: str) -> None:
    (folder / "queries.jsonl").write_text(line)
    with pytest.raises(InvalidInput, match=says):
        load_asked(folder)


def test_a_folder_without_queries_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"queries\.jsonl"):
        load_asked(tmp_path)


def test_actions_are_counted_by_what_was_true() -> None:
    asked = [
        AnswerabilityCase("a", (), True),
        AnswerabilityCase("b", (), True),
        AnswerabilityCase("c", (), False),
    ]
    answered = [
        AnswerabilityResult("ANSWER", 0.9),
        AnswerabilityResult("ESCALATE", 0.2),
        AnswerabilityResult("ANSWER", 0.4),
    ]
    found = answerability.report(asked, answered).data()
    assert found["auroc"] == 0.5
    assert (found["n"], found["answerable"], found["unanswerable"]) == (
        3, {"ANSWER": 1, "ESCALATE": 1}, {"ANSWER": 1},
    )  # fmt: skip
    assert set(found) == {"n", "auroc", "auroc_ci", "answerable", "unanswerable"}


def test_passages_are_strings_or_objects_with_a_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    rows = [
        {"question": "a?", "passages": ["one", {"title": "T", "text": "two"}], "label": 1},
        {"question": "b?", "passages": [], "label": 0, "history": [{"role": "user", "text": "c"}]},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    first, second = load_given(file)
    assert (first.passages, first.label) == (("one", "T\ntwo"), True)
    assert (second.passages, second.label, second.history[0].text) == ((), False, "c")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "a?", "passages": ["x"], "label": "yes"}, "`label` is 1"),
        ({"question": "a?", "passages": "x", "label": 1}, "no `passages`"),
        ({"question": "a?", "passages": [3], "label": 1}, "no `passages`"),
        ({"passages": ["x"], "label": 1}, "no 'question'"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(
    tmp_path: Path, row: dict[str, object], says: str
) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row))
    with pytest.raises(InvalidInput, match=f"line 1.*{says}"):
        load_given(file)


def test_sufficiency_is_reported_as_its_users_read_it() -> None:
    given = [Given("q", (), ("p",), label) for label in (True, True, False, False)]
    found = sufficiency.report(given, [0.9, 0.8, 0.1, 0.85]).data()
    assert (found["n"], found["auroc"], found["caught_at_95_kept"]) == (4, 0.75, 0.5)
    assert set(found) == {"n", "auroc", "auroc_ci", "caught_at_95_kept"}


@pytest.mark.heavy
@needs_weights
def test_the_service_is_surer_of_what_its_corpus_holds(folder: Path) -> None:
    local, asked = Local(Settings(home=folder / "home")), load_asked(folder)

    async def ask() -> list[AnswerabilityResult]:
        async with local.corpus(load_corpus(folder), "en", _silent) as http:
            return await ask_all(AnswerClient(http), asked, "en", _silent)

    first, second = asyncio.run(ask()), asyncio.run(ask())
    assert first == second
    assert min(each.p_answerable for each in first[:2]) > first[2].p_answerable
    assert (first[0].action, first[2].action != "ANSWER") == ("ANSWER", True)


@pytest.mark.heavy
@needs_weights
def test_passages_that_answer_are_told_from_related_ones(folder: Path) -> None:
    question = "how long does a rotated api key keep working?"
    good = "A rotated API key keeps working for 24 hours."
    related = "API keys belong to a project. Only its owners see them."
    other = "Money comes back within ten business days."
    passages = [(good, related), (related, other), (other,), ()]
    rows = [Given(question, (), each, good in each) for each in passages]
    local = Local(Settings(home=folder / "home"))
    scores = local.sufficient(rows, "en", _silent)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > scores[1] > scores[2]
