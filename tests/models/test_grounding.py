"""`twofold eval grounding`: any labelled answers, no home, and clear words about bad input."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twofold.commands import build

CONTEXT = "Rolling a signing secret keeps both secrets valid for 12 hours."
TRUE = "Both secrets stay valid for 12 hours."
ROWS = [
    {"id": "a", "contexts": [CONTEXT], "label": 1, "answer": TRUE},
    {"id": "b", "contexts": ["Other.", CONTEXT], "answer": "They do. Both secrets stay valid for 12"
     " hours after rolling a signing secret. [2]", "label": 1},
    {"id": "c", "contexts": [CONTEXT], "label": 0, "answer": TRUE.replace("12", "24")},
    {"id": "d", "contexts": [CONTEXT], "label": 0, "answer": "Dolphins sleep half awake at sea."},
]  # fmt: skip


def run(path: Path, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(build(), ["eval", "grounding", str(path), *options])
    return result.exit_code, result.output


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_figures_and_scores(tmp_path: Path) -> None:
    scores = tmp_path / "scores.jsonl"
    code, output = run(write(tmp_path / "rows.jsonl", ROWS), "--json", "--scores", str(scores))
    assert code == 0
    found = json.loads(output.splitlines()[-1])
    assert (found["n"], found["auroc"], found["bad_answers_caught"]) == (4, 1.0, 1.0)
    assert found["good_sentences_removed"] == pytest.approx(1 / 3, abs=1e-3)
    assert len(found["auroc_ci"]) == 2
    lines = [json.loads(line) for line in scores.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == ["a", "b", "c", "d"]
    assert lines[2]["sentences"][0]["problem"] == "number"
    assert lines[0]["score"] > lines[3]["score"]


def test_what_says_nothing_is_not_judged(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {"id": "e", "contexts": [CONTEXT], "answer": "The passages do not say.", "label": 1},
    ]
    scores = tmp_path / "scores.jsonl"
    run(write(tmp_path / "rows.jsonl", rows), "--scores", str(scores))
    last = json.loads(scores.read_text(encoding="utf-8").splitlines()[-1])
    assert (last["score"], last["sentences"]) == (1.0, [])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"id": "a", "contexts": "text", "answer": "b", "label": 1}, "`contexts` must be a list"),
        ({"id": "a", "contexts": ["x"], "label": 1}, "`answer` must be a text"),
        ({"id": "a", "contexts": ["x"], "answer": "b", "label": 2}, "`label` must be 1"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: dict[str, object], said: str) -> None:
    code, output = run(write(tmp_path / "rows.jsonl", [row]))
    assert code != 0
    assert said in output
    assert "line 1" in output
