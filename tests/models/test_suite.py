"""A suite that is wrong says where, in which case, and what to do."""

import json
from pathlib import Path

import pytest

from models.suite.suite import load_suite
from twofold.errors import InvalidInput, NotFound

EXAMPLES = Path(__file__).parents[2] / "examples" / "brackwater" / "eval"
GOOD = """
- id: a
  question: How long?
  expect: {action: ANSWER, documents: [x.md], facts: [["12 hours", "twelve hours"], "once"]}
  tags: [fact]
- id: b
  question: I will sue
  expect: {action: ESCALATE, team: legal, reason: legal_threat}
"""
BROKEN = {
    "not yaml": ("- id: [", "not valid YAML"),
    "not a list": ("id: a", "must be a list of cases"),
    "not a case": ("- hello", "case 1 is no case"),
    "no id": ("- {question: q, expect: {action: CLARIFY}}", r"\(without id\): id: .*required"),
    "no expectation": ("- {id: a, question: q}", r"case 1 \(a\): expect: "),
    "unknown action": (
        "- {id: a, question: q, expect: {action: REPLY}}", r"\(a\): expect.action: .*'ANSWER'",
    ),
    "misspelt key": (
        "- {id: a, question: q, tag: [x], expect: {action: CLARIFY}}", r"tag: .*check its spelling",
    ),
    "fact is a number": (
        "- {id: a, question: q, expect: {action: ANSWER, documents: [x], facts: [25]}}",
        r"expect.facts.0.*in quotes",
    ),
    "answer without document": (
        "- {id: a, question: q, expect: {action: ANSWER}}", "an ANSWER needs `documents`",
    ),
    "escalation without reason": (
        "- {id: a, question: q, expect: {action: ESCALATE, team: legal}}", "`team` and `reason`",
    ),
    "reason without escalation": (
        "- {id: a, question: q, expect: {action: DECLINE, team: x, reason: y}}", "only with it",
    ),
    "facts without answer": (
        "- {id: a, question: q, expect: {action: DECLINE, facts: [x]}}", "go with ANSWER",
    ),
}  # fmt: skip


def test_cases_are_read_with_what_they_expect(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(GOOD)
    first, second = load_suite(tmp_path)
    assert first.expect.spellings == (("12 hours", "twelve hours"), ("once",))
    assert first.cluster == "x.md"
    assert second.cluster == "case:b"
    assert second.expect.reason == "legal_threat"


def test_jsonl_is_read_too(tmp_path: Path) -> None:
    case = {"id": "a", "question": "q", "expect": {"action": "CLARIFY"}}
    path = tmp_path / "suite.jsonl"
    path.write_text(json.dumps(case) + "\n")
    assert [case.id for case in load_suite(path)] == ["a"]


@pytest.mark.parametrize(("text", "error"), BROKEN.values(), ids=BROKEN)
def test_a_broken_suite_says_where_and_what(tmp_path: Path, text: str, error: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=error) as caught:
        load_suite(path)
    assert str(path) in caught.value.message


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "suite.jsonl"
    path.write_text("\n{")
    with pytest.raises(InvalidInput, match="line 2 is not JSON"):
        load_suite(path)


def test_an_id_is_taken_once_across_files(tmp_path: Path) -> None:
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(GOOD)
    with pytest.raises(InvalidInput, match=r"two\.yaml: id 'a' is taken already in .*one\.yaml"):
        load_suite(tmp_path)


def test_a_missing_suite_and_an_empty_folder_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no suite at"):
        load_suite(tmp_path / "nothing")
    with pytest.raises(InvalidInput, match="right folder"):
        load_suite(tmp_path)


def test_other_files_and_other_encodings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "suite.csv").write_text("a")
    with pytest.raises(InvalidInput, match="is no suite"):
        load_suite(tmp_path / "suite.csv")
    (tmp_path / "suite.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InvalidInput, match="is not UTF-8"):
        load_suite(tmp_path / "suite.yaml")


@pytest.mark.heavy
def test_the_halves_of_the_example_suite_are_the_whole() -> None:
    both = {case.id for half in ("tune", "report") for case in load_suite(EXAMPLES, half)}  # type: ignore[arg-type]
    assert both == {case.id for case in load_suite(EXAMPLES)}
    tune, report = (load_suite(EXAMPLES, half) for half in ("tune", "report"))
    assert not {case.id for case in tune} & {case.id for case in report}
