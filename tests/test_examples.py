"""The example company is sound: what the eval suite asks for really stands in its documents."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

HOME = Path(__file__).parent.parent / "examples" / "brackwater"
HELP_CENTER = HOME / "help-center"
SUITES = sorted((HOME / "eval").glob("*.yaml"))


@cache
def _documents() -> dict[str, str]:
    return {
        path.relative_to(HELP_CENTER).as_posix(): path.read_text(encoding="utf-8")
        for path in HELP_CENTER.rglob("*.md")
    }


def _normal(text: str) -> str:
    return " ".join(re.sub(r"\*\*|`", "", text).split()).lower()


def _cases() -> list[dict[str, Any]]:
    return [case for path in SUITES for case in yaml.safe_load(path.read_text(encoding="utf-8"))]


def test_the_help_center_is_as_large_and_varied_as_promised() -> None:
    documents = _documents()
    kinds = [re.search(r"^kind: (\w+)", text, re.MULTILINE) for text in documents.values()]
    counts = {kind: sum(bool(m and m[1] == kind) for m in kinds) for kind in
              ("article", "release_note", "policy")}  # fmt: skip
    assert counts["article"] >= 70
    assert counts["release_note"] >= 15
    assert counts["policy"] >= 12
    assert sum("audience: [internal]" in text for text in documents.values()) >= 5
    assert sum("locale: de" in text for text in documents.values()) >= 5


def test_the_suite_is_as_large_and_varied_as_promised() -> None:
    cases = _cases()
    assert len(cases) >= 150
    assert len({case["id"] for case in cases}) == len(cases)
    tags = {tag for case in cases for tag in case["tags"]}
    assert tags >= {"no-overlap", "unanswerable", "unclear", "must-escalate", "permission",
                    "time-bound", "multi-turn"}  # fmt: skip


@pytest.mark.parametrize("case", _cases(), ids=lambda case: case["id"])
def test_gold_documents_exist_and_hold_the_key_facts(case: dict[str, Any]) -> None:
    documents = _documents()
    gold = case["expect"].get("documents", [])
    assert set(gold) <= documents.keys()
    assert bool(gold) == (case["expect"]["action"] == "ANSWER")
    text = " ".join(_normal(documents[name]) for name in gold)
    for fact in case["expect"].get("facts", []):
        spellings = [fact] if isinstance(fact, str) else fact
        assert any(_normal(spelling) in text for spelling in spellings), fact
