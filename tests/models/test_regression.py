"""The regression gate: baseline, change, exit code, and a summary that no question can bend."""

import json
import re
from pathlib import Path
from typing import Any

import cmarkgfm
import pytest
from typer.testing import CliRunner, Result

from models.evaluate.local import LOCAL
from models.evaluate.regression import RegressionCase, RegressionRun, compare, markdown
from models.markdown import plain
from tests.models.fakes import FakeLocal, FakeService
from twofold.commands import build
from twofold.errors import InvalidInput

SUITE = "\n".join(
    f"- {{id: q{n}, question: q{n}, expect: {{action: ANSWER, documents: [a.md], facts: [once]}}}}"
    for n in range(8)
)
CITED = {"n": 1, "document": "hc/a.md", "version": 1, "quote": "x", "title": "", "url": ""}
GOOD = {"text": "once [1]", "citations": [CITED]}
BAD = {"text": "twice [1]", "citations": [CITED]}


def _answers(bad: int, text: str = "twice [1]") -> dict[str, Any]:
    return {f"q{n}": ({**BAD, "text": text} if n < bad else GOOD) for n in range(8)}


def _gate(folder: Path, bad: int, *options: str) -> Result:
    (folder / "suite.yaml").write_text(SUITE)
    arguments = ["eval", "gate", str(folder / "suite.yaml"), "--baseline", str(folder / "b.json")]
    handed = {LOCAL: lambda _: FakeLocal(FakeService(_answers(bad)))}
    return CliRunner().invoke(build(), [*arguments, *options], obj=handed)


def test_a_change_that_breaks_many_answers_is_refused(tmp_path: Path) -> None:
    written = _gate(tmp_path, 0, "--write")
    assert written.exit_code == 0
    assert "of 8 questions 8 pass" in written.output
    same = _gate(tmp_path, 0, "--json")
    assert same.exit_code == 0
    assert json.loads(same.stdout.splitlines()[-1])["changed"] == []
    broken = _gate(tmp_path, 6, "--json", "--markdown", str(tmp_path / "pr.md"))
    assert broken.exit_code == 1
    found = json.loads(broken.stdout.splitlines()[-1])
    assert (found["worse"], found["better"], found["noise"]) == (6, 0, False)
    assert found["p"] == pytest.approx(2 / 2**6)
    summary = (tmp_path / "pr.md").read_text()
    assert "❌" in summary
    assert "Got worse (6)" in summary
    assert "fact missing: 'once'" in summary


def test_noise_passes_unless_no_question_may_get_worse(tmp_path: Path) -> None:
    _gate(tmp_path, 0, "--write")
    noisy = _gate(tmp_path, 1)
    assert noisy.exit_code == 0
    assert "not to be told from noise" in noisy.output
    strict = _gate(tmp_path, 1, "--allow-worse", "0")
    assert strict.exit_code == 1
    assert "1 got worse, and 0 may" in strict.output


def test_a_missing_and_a_foreign_baseline_are_told(tmp_path: Path) -> None:
    missing = _gate(tmp_path, 0)
    assert missing.exit_code == 2
    assert "--write" in missing.stderr
    (tmp_path / "b.json").write_text('{"at": 1}')
    assert _gate(tmp_path, 0).exit_code == 2


def _run(**asked: tuple[str, bool]) -> RegressionRun:
    return RegressionRun(
        at="2026-11-01T00:00:00+00:00",
        asked={
            id: RegressionCase(
                case=case, question=id, cluster=id, problems=() if ok else ("wrong",),
                action="ANSWER", text="t",
            )
            for id, (case, ok) in asked.items()
        },
    )  # fmt: skip


def test_what_is_asked_otherwise_is_no_regression() -> None:
    gate = compare(
        _run(a=("1", True), b=("1", True), gone=("1", True)),
        _run(a=("1", True), b=("2", False), new=("1", False)),
    )
    assert (gate.compared, gate.added, gate.removed) == (1, ("new",), ("gone",))
    assert gate.asked_otherwise == ("b",)
    assert not gate.failed
    with pytest.raises(InvalidInput, match="another suite"):
        compare(_run(a=("1", True)), _run(b=("1", True)))


EVIL = (
    "`x` <img src=x onerror=y> | [a](javascript:z) @everyone #1 http://bad.example"
    " www.bad.example **b** ~~c~~ &lt;\n# H"
)


def test_a_question_cannot_write_markup_into_the_summary() -> None:
    shown = cmarkgfm.github_flavored_markdown_to_html(f"| q |\n|---|\n| {plain(EVIL)} |\n")
    assert re.findall(r"<(?!/?(?:table|thead|tbody|tr|th|td)\b)", shown) == []
    assert shown.count("<td") == 1
    assert "onerror=y" in shown
    assert "@everyone" not in shown
    gate = compare(_run(**{EVIL: ("1", True)}), _run(**{EVIL: ("1", False)}))
    assert "<img" not in cmarkgfm.github_flavored_markdown_to_html(markdown(gate))
