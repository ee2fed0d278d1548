"""The commands, run as a person runs them, on a suite of five questions."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from models.evaluate.local import LOCAL
from tests.models.fakes import FakeLocal, FakeService
from twofold.commands import build

SUITE = """
- {id: right, question: right, expect: {action: ANSWER, documents: [gold.md], facts: [once]}}
- {id: wrong, question: wrong, expect: {action: ANSWER, documents: [gold.md], facts: [once]}}
- {id: legal, question: legal, expect: {action: ESCALATE, team: legal, reason: legal_threat}}
- {id: vague, question: vague, expect: {action: CLARIFY}}
- {id: poem, question: poem, expect: {action: DECLINE}}
"""
CITED = {
    "n": 1,
    "document": "hc/gold.md",
    "version": 1,
    "quote": "only once",
    "title": "",
    "url": "",
}
ANSWERS: dict[str, dict[str, Any]] = {
    "right": {"text": "It is shown once. [1]", "citations": [CITED]},
    "wrong": {"text": "Twice.", "retrieved": [("gold", "hc/gold.md")], "packed": ["gold"]},
    "legal": {"action": "ESCALATE", "escalation": {"team": "legal", "reason": "legal_threat"}},
    "vague": {"action": "CLARIFY"},
    "poem": {"action": "DECLINE"},
}


@pytest.fixture
def service() -> FakeService:
    versions = {("hc/gold.md", 1): "It is shown only once."}
    return FakeService(ANSWERS, texts={"gold": "It is shown only once."}, versions=versions)


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return path


def _run(*arguments: str | Path, service: FakeService | None = None) -> Result:
    handed = {LOCAL: lambda _: FakeLocal(service)} if service else {}
    return CliRunner().invoke(build(), [str(argument) for argument in arguments], obj=handed)


def _last(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout.splitlines()[-1])


def test_answers_as_json(service: FakeService, suite: Path) -> None:
    data = _last(_run("eval", "answers", suite, "--json", service=service))
    assert data["cases"] == len(service.asked) == 5
    assert data["metrics"]["action"]["value"] == 1
    assert data["metrics"]["gold_cited"]["value"] == 0.5
    assert data["metrics"]["quotes_true"]["value"] == 1
    assert data["causes"] == {"behaviour/selection": 1}


def test_answers_as_tables_then_the_diagnosis(
    service: FakeService, suite: Path, tmp_path: Path
) -> None:
    failures = tmp_path / "failed.jsonl"
    shown = _run("eval", "answers", suite, "--failures", failures, service=service)
    assert "5 questions" in shown.output
    assert f"twofold eval failures {failures}" in shown.output
    assert [json.loads(line)["id"] for line in failures.read_text().splitlines()] == ["wrong"]
    assert "selection" in _run("eval", "failures", failures).output
    assert (
        _last(_run("eval", "failures", failures, "--json"))["findings"][0]["layer"] == "behaviour"
    )


def test_limit_and_split_ask_fewer(service: FakeService, suite: Path) -> None:
    assert (
        _last(_run("eval", "answers", suite, "--json", "--limit", "2", service=service))["cases"]
        == 2
    )
    halves = [
        _last(_run("eval", "answers", suite, "--json", "--split", half, service=service))["cases"]
        for half in ("tune", "report")
    ]
    assert sum(halves) == 5


def test_a_missing_suite_and_a_foreign_run_file_are_told(tmp_path: Path) -> None:
    result = _run("eval", "answers", tmp_path / "none")
    assert result.exit_code == 2
    assert "There is no suite at" in result.stderr
    (tmp_path / "run.jsonl").write_text("{}")
    assert "line 1 is no failed answer" in _run("eval", "failures", tmp_path / "run.jsonl").stderr
    assert "--failures" in _run("eval", "failures", tmp_path / "none.jsonl").stderr


def test_retrieval_in_the_agreed_form(service: FakeService, tmp_path: Path) -> None:
    (tmp_path / "corpus.jsonl").write_text(
        '{"id": "a", "title": "A", "text": "x"}\n{"id": "b", "title": "B", "text": "y"}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"id": "q", "text": "x"}\n{"id": "r", "text": "y"}\n')
    (tmp_path / "qrels.tsv").write_text("q\t0\ta\t1\n")
    data = _last(_run("eval", "retrieval", tmp_path, "--json", service=service))
    assert data["queries"] == data["unlabelled"] == 1
    assert list(data["runs"]) == ["bm25", "dense", "fusion", "full"]
    metrics = ("recall@1", "recall@5", "recall@10", "ndcg@5", "ndcg@10", "mrr")
    assert set(data["runs"]["full"]) == {*metrics, *(f"{name}_ci" for name in metrics)}
    assert data["runs"]["full"]["mrr"] == 1
    turned = _last(
        _run("eval", "retrieval", tmp_path, "--rewrite", "history", "--json", service=service)
    )
    assert turned["runs"]["full"]["mrr"] == 0.5
    assert "1 query on 2 documents" in _run("eval", "retrieval", tmp_path, service=service).output


def test_scope(service: FakeService, tmp_path: Path) -> None:
    for part in ("train", "val", "test"):
        inside = {"text": "hi", "intent": "greeting", "in_scope": True}
        outside = {"text": "outside", "intent": "oos", "in_scope": False}
        (tmp_path / f"{part}.jsonl").write_text(json.dumps(inside))
        (tmp_path / f"oos_{part}.jsonl").write_text(json.dumps(outside))
    data = _last(_run("eval", "scope", tmp_path, "--json", service=service))
    assert data["auroc"] == 1
    assert data["recall"]["value"] == 1
    assert "BERT" in _run("eval", "scope", tmp_path, service=service).output
