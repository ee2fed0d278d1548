"""The figures that README quotes are those that were measured."""

import json

from benchmarks.harness import RESULTS
from tools.figures import README, written


def test_the_table_is_what_the_results_say() -> None:
    text = README.read_text("utf-8")
    assert text == written(text), "run: make figures"


def test_every_result_says_how_it_was_measured() -> None:
    for path in RESULTS.glob("*.json"):
        kept = json.loads(path.read_text("utf-8"))
        assert all(kept[name] for name in ("command", "machine", "date", "result")), path.name
