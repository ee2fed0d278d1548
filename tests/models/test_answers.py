"""Asking a suite and scoring what came back, over HTTP to a service with known answers."""

import asyncio
from contextlib import nullcontext
from datetime import date
from typing import Any

import pytest

from models.evaluate.answers import AnswerReport, Outcome, ask_all, indexed, score
from models.suite.client import AnswerClient
from models.suite.suite import Case
from tests.models.fakes import FakeService
from twofold.errors import UpstreamError

GOLD = "hc/secret.md"


def _case(id: str, action: str = "ANSWER", **more: Any) -> Case:
    expect: dict[str, Any] = {"action": action}
    if action == "ANSWER":
        expect |= {"documents": ["secret.md"], "facts": [["12 hours", "twelve hours"], "both"]}
    if action == "ESCALATE":
        expect |= {"team": "legal", "reason": "legal_threat"}
    return Case.model_validate({"id": id, "question": id, "expect": expect, "tags": ["t"], **more})


def _cite(document: str, quote: str = "Both work for 12 hours.") -> dict[str, Any]:
    return {"n": 1, "document": document, "version": 1, "quote": quote, "title": "", "url": ""}


RIGHT = {"text": "Both work for **12 hours**. [1]", "citations": [_cite(GOLD)]}
VERSIONS = {(GOLD, 1): "# Secret\n\nBoth work\nfor 12 hours.", ("hc/other.md", 1): "Other."}


def _ask(service: FakeService, cases: list[Case], **options: Any) -> list[Outcome]:
    async def run() -> list[Outcome]:
        async with service.http() as http:
            return await ask_all(AnswerClient(http), cases, progress=lambda _done: None, **options)

    return asyncio.run(run())


def _score(answers: dict[str, Any], cases: list[Case]) -> AnswerReport:
    return score(_ask(FakeService(answers, versions=VERSIONS), cases))


def test_a_right_answer_scores_everywhere() -> None:
    report = _score({"a": RIGHT}, [_case("a")])
    values = {name: found.value for name, found in report.metrics.items() if found.n}
    assert values == {
        "action": 1, "gold_cited": 1, "citation_precision": 1, "facts": 1, "all_facts": 1,
        "quotes_true": 1, "over_escalated": 0,
    }  # fmt: skip


def test_half_of_the_facts_and_half_of_the_citations() -> None:
    half = {"text": "It is twelve hours.", "citations": [_cite(GOLD), _cite("hc/other.md", "Oh")]}
    found = _score({"a": half}, [_case("a")]).metrics
    assert found["facts"].value == 0.5
    assert found["all_facts"].value == 0
    assert found["citation_precision"].value == 0.5
    assert found["gold_cited"].value == 1
    assert found["quotes_true"].value == 0.5


def test_a_quote_of_a_version_that_cannot_be_read_is_not_counted() -> None:
    unknown = RIGHT | {"citations": [_cite("hc/unknown.md")]}
    assert _score({"a": unknown}, [_case("a")]).metrics["quotes_true"].n == 0


def test_escalations_too_many_and_too_few() -> None:
    escalated = {"action": "ESCALATE", "escalation": {"team": "legal", "reason": "other"}}
    cases = [_case("a"), _case("b", "ESCALATE"), _case("c", "ESCALATE"), _case("d", "DECLINE")]
    answers = {"a": escalated, "b": escalated, "c": RIGHT, "d": {"action": "DECLINE"}}
    report = _score(answers, cases)
    assert report.metrics["action"].value == 0.5
    assert report.metrics["over_escalated"].value == 0.5
    assert report.metrics["under_escalated"].value == 0.5
    assert report.metrics["escalation_team"].value == 1
    assert report.metrics["escalation_reason"].value == 0
    assert report.confusion[("ESCALATE", "ANSWER")] == 1
    assert report.by_action["DECLINE"]["action"].value == 1


def test_what_is_sent_is_the_case_and_nothing_that_gives_the_answer_away() -> None:
    case = _case(
        "a", audience="customer", locale="de", as_of=date(2026, 2, 1),
        history=[{"role": "user", "text": "hi"}],
    )  # fmt: skip
    service = FakeService({"a": RIGHT}, versions=VERSIONS)
    _ask(service, [case])
    body = {
        "message": "a",
        "audience": "customer",
        "locale": "de",
        "history": [{"role": "user", "text": "hi"}],
        "evaluation": True,
    }
    assert service.asked[0].pop("customer").startswith("evaluation-")
    assert service.asked == [body]
    _ask(service, [case], pass_as_of=True)
    assert service.asked[1].pop("customer").startswith("evaluation-")
    assert service.asked[1] == body | {"as_of": "2026-02-01"}


@pytest.mark.parametrize("known", [RIGHT, None])
def test_what_was_asked_is_forgotten_even_if_it_was_not_answered(known: dict[str, Any]) -> None:
    service = FakeService({"a": known} if known else {}, versions=VERSIONS)
    with nullcontext() if known else pytest.raises(UpstreamError):
        _ask(service, [_case("a")])
    assert service.forgotten == [service.asked[0]["customer"]]


@pytest.mark.parametrize("deletion", [403, 404, 500])
def test_figures_come_although_nothing_could_be_deleted(
    deletion: int, capsys: pytest.CaptureFixture[str]
) -> None:
    service = FakeService({"a": RIGHT}, versions=VERSIONS, deletion=deletion)
    assert len(_ask(service, [_case("a")])) == 1
    told = capsys.readouterr()
    assert ("stay in the ledger" in told.out + told.err) == (deletion != 404)


def test_outcomes_keep_the_order_of_the_suite() -> None:
    cases = [_case(id) for id in "abcdef"]
    outcomes = _ask(FakeService(dict.fromkeys("abcdef", RIGHT)), cases, concurrency=4)
    assert [outcome.case.id for outcome in outcomes] == list("abcdef")


def test_a_refused_question_is_named() -> None:
    with pytest.raises(UpstreamError, match=r"'a' was not answered.*422: The question is empty"):
        _ask(FakeService({}), [_case("a")])


@pytest.mark.parametrize(("texts", "there"), [({"secret": "x"}, True), ({"other": "x"}, False)])
def test_whether_the_index_holds_the_gold_document(texts: dict[str, str], there: bool) -> None:
    service = FakeService({"a": {}}, texts=texts)
    (outcome,) = _ask(service, [_case("a")])

    async def run() -> bool | None:
        async with service.http() as http:
            return await indexed(AnswerClient(http), outcome)

    assert asyncio.run(run()) is there


def test_the_report_is_plain_json() -> None:
    data = _score({"a": RIGHT}, [_case("a")]).data()
    assert data["metrics"]["facts"] == {"value": 1.0, "ci": [0.025, 1.0], "n": 1}
    assert data["confusion"] == [{"expected": "ANSWER", "got": "ANSWER", "cases": 1}]
