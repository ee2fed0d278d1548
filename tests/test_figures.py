"""The figures that README and docs quote are those that were measured."""

import json
from pathlib import Path

import pytest

from benchmarks.harness import RESULTS
from tools.figures import OF_ONE, PAGES, TABLE, TRUST, trusted, written


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_are_what_the_results_say(page: Path) -> None:
    text = page.read_text("utf-8")
    assert TABLE.search(text)
    assert text == written(text), "run: make figures"


def test_the_diagnosis_says_of_itself_what_was_measured_last() -> None:
    text = TRUST.read_text("utf-8")
    assert text == trusted(text), "run: make figures"


def test_every_table_stands_somewhere() -> None:
    shown = [at[2] for page in PAGES for at in TABLE.finditer(page.read_text("utf-8"))]
    assert sorted(shown) == sorted([*OF_ONE, "readme", "weak", "what"])


def test_every_result_says_how_it_was_measured() -> None:
    for path in RESULTS.glob("*.json"):
        kept = json.loads(path.read_text("utf-8"))
        assert all(kept[name] for name in ("command", "machine", "date", "result")), path.name
        words = kept["command"].split()
        assert not any(word.startswith(("/", "http://127.")) for word in words), path.name
