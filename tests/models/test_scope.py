import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluate.local import Scoped
from models.evaluate.scope import FILES, OUTSIDE, Judged, auroc, load_scope, report
from twofold.errors import InvalidInput, NotFound

SCORES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_auroc_counts_pairs_in_order_and_half_of_the_ties() -> None:
    assert auroc([0.1, 0.2], [0.3, 0.4]) == 1
    assert auroc([0.3, 0.4], [0.1, 0.2]) == 0
    assert auroc([0.5], [0.5]) == 0.5
    assert auroc([0.1, 0.4], [0.3, 0.5]) == 0.75


@given(SCORES, SCORES)
def test_auroc_is_the_share_of_pairs_in_order(low: list[float], high: list[float]) -> None:
    pairs = [1.0 if b > a else 0.5 if b == a else 0.0 for a in low for b in high]
    assert auroc(low, high) == pytest.approx(sum(pairs) / len(pairs))


def test_the_threshold_comes_from_validation_and_is_judged_on_test() -> None:
    val = [Judged("a", Scoped("a", n / 100)) for n in range(1, 101)]
    test = [
        Judged("a", Scoped("a", 0.1)),
        Judged("a", Scoped("b", 0.1)),
        Judged("a", Scoped("a", 0.99)),
        Judged(OUTSIDE, Scoped("a", 0.97)),
        Judged(OUTSIDE, Scoped("a", 0.5)),
    ]
    found = report(val, test)
    assert found.threshold == pytest.approx(0.96)
    assert found.recall.value == 0.5
    assert found.kept.value == pytest.approx(2 / 3)
    assert found.accuracy.value == pytest.approx(1 / 3)
    assert (found.inside, found.outside) == (3, 2)
    assert found.data()["published"]["BERT, oos-threshold"]["recall"] == 0.523


def test_files_are_read_and_broken_ones_named(tmp_path: Path) -> None:
    row = {"text": "hi", "intent": "greeting", "in_scope": True}
    for name in (name for names in FILES.values() for name in names):
        scoped = row | {"in_scope": not name.startswith("oos")}
        (tmp_path / name).write_text(json.dumps(scoped) + "\n")
    assert [row.label for row in load_scope(tmp_path)["test"]] == ["greeting", OUTSIDE]
    (tmp_path / "val.jsonl").write_text("\n{}")
    with pytest.raises(InvalidInput, match=r"val\.jsonl: line 2 is not an object with text"):
        load_scope(tmp_path)
    (tmp_path / "val.jsonl").unlink()
    with pytest.raises(NotFound, match=r"val\.jsonl\. The folder needs"):
        load_scope(tmp_path)
