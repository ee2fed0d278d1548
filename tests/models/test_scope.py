import json
from pathlib import Path

import pytest

from models.evaluate.local import Scoped
from models.evaluate.scope import FILES, OUTSIDE, JudgedText, load_scope, report
from twofold.errors import InvalidInput, NotFound


def test_the_threshold_comes_from_validation_and_is_judged_on_test() -> None:
    val = [JudgedText("a", Scoped("a", n / 100)) for n in range(1, 101)]
    test = [
        JudgedText("a", Scoped("a", 0.1)),
        JudgedText("a", Scoped("b", 0.1)),
        JudgedText("a", Scoped("a", 0.99)),
        JudgedText(OUTSIDE, Scoped("a", 0.97)),
        JudgedText(OUTSIDE, Scoped("a", 0.5)),
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
