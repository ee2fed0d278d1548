"""What to do first: four made situations, two that cannot be told, and gains from flips alone."""

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from models.diagnosis.assemble import FEW, assemble
from models.diagnosis.page import render_html, render_markdown, render_terminal
from models.diagnosis.verdicts import (
    LAYERS,
    REMEDIES,
    Advice,
    Cause,
    Counterfactual,
    DiagnosedCase,
    Diagnosis,
    Remedy,
    Verdict,
)
from models.stats import detectable, estimate, mcnemar

Failed = tuple[Cause, Counterfactual | None]
STALE: Failed = ("stale", "other_version")
MISSING: Failed = ("not_in_sources", "sources_checked")
UNSEEN: Failed = ("not_retrieved", "found")
SLOPPY: Failed = ("ignored_evidence", "gold_context")
FORM: Failed = ("format", "record")
UNKNOWN: Failed = ("unknown", None)
WRONG: Failed = ("suite_wrong", "sources_checked")


def _made(failed: Sequence[Failed], n: int = 40, remedy: Remedy | None = None) -> Diagnosis:
    cases = [
        DiagnosedCase(id=f"c{i}", question="q", cluster=f"c{i}", passed=i >= len(failed))
        for i in range(n)
    ]
    verdicts = [
        Verdict(
            case=f"c{i}", layer=LAYERS[cause], cause=cause, flipped_by=by, confidence=0.9,
            evidence="e", remedy=remedy or REMEDIES[cause], document=f"help/{cause}.md",
        )
        for i, (cause, by) in enumerate(failed)
    ]  # fmt: skip
    return assemble("made", cases, verdicts, at=0.0)


@pytest.mark.parametrize(
    ("failed", "advice"),
    [
        ([STALE] * 7 + [MISSING] * 3, "retrieval"),
        ([SLOPPY] * 6 + [FORM] * 4, "fine_tuning"),
        ([STALE] * 5 + [SLOPPY] * 5, "both"),
        ([], "nothing"),
        ([SLOPPY], "nothing"),
        ([STALE, SLOPPY, FORM, MISSING], "cannot_tell"),
        ([SLOPPY] * FEW, "cannot_tell"),
        ([STALE] * FEW, "cannot_tell"),
        ([SLOPPY] * (FEW + 1), "fine_tuning"),
        ([STALE] * (FEW + 1), "retrieval"),
        ([STALE] * 3 + [SLOPPY] * 2 + [UNKNOWN] * 8, "cannot_tell"),
        ([WRONG] * 5 + [STALE], "suite"),
    ],
)
def test_made_situations(failed: list[Failed], advice: Advice) -> None:
    found = _made(failed).recommendation
    assert found.advice == advice
    if advice == "retrieval":
        assert "Training mends none" in found.text
    if advice == "cannot_tell" and UNKNOWN in failed:
        assert any("8 cases fail" in each for each in found.unsure)


def test_what_the_prompt_mends_is_no_reason_to_train() -> None:
    found = _made([SLOPPY] * 10, remedy="fix_prompt")
    assert found.recommendation.advice == "prompt"
    assert "before any training" in found.fixes[0].text


def test_where_no_model_is_asked_nothing_is_trained() -> None:
    found = _made([SLOPPY] * 10, remedy="no_training")
    assert found.recommendation.advice == "no_training"
    assert "serve a model, word the page" in found.recommendation.text
    for shown in _pages(found):
        assert "Serve a model, or word the pages" in shown
        assert "Fine-tune" not in shown
        assert "Train the reply maker" not in shown


def test_what_the_house_policy_mends_is_no_prompts_fault() -> None:
    found = _made([("over_escalation", "told_to_answer")] * 10)
    assert found.recommendation.advice == "policy"
    assert all("Adjust the house policy" in shown for shown in _pages(found))


def test_of_few_failures_it_is_said_how_many_it_takes() -> None:
    assert estimate([1.0] * FEW, range(FEW)).low < 1 / 2 < estimate([1.0] * 6, range(6)).low
    found = _made([SLOPPY], n=1)
    assert found.recommendation.advice == "cannot_tell"
    assert "1 explained failure cannot tell: it takes 6" in found.recommendation.text
    for shown in _pages(found):
        assert "It cannot be told yet" in shown
        assert "Fine-tune" not in shown


def _pages(found: Diagnosis) -> list[str]:
    out = io.StringIO()
    render_terminal(Console(file=out, width=10_000), found)
    return [render_html(found), render_markdown(found), out.getvalue()]


def test_before_training_it_is_said_what_the_composer_gets_right() -> None:
    said = _made([("ignored_evidence", "composer")] * 6 + [SLOPPY] * 4).recommendation
    assert said.advice == "fine_tuning"
    assert said.text.endswith("The composer, which needs no training, gets 6 of them right.")
    assert "composer" not in _made([SLOPPY] * 10).recommendation.text


def test_gains_are_counted_over_flips_and_nothing_else() -> None:
    found = _made([UNSEEN] * 4 + [MISSING] * 6)
    first, second = found.fixes
    assert (first.cause, first.flipped, first.gain.value) == ("not_retrieved", 4, 0.1)
    assert first.gain.ci[0] is not None
    assert (second.cause, second.flipped, second.gain.value) == ("not_in_sources", 0, 0.0)
    assert "was not tried: 6 at most" in second.text
    assert "help/not_in_sources.md" in second.text


def test_a_small_suite_says_what_it_cannot_show() -> None:
    assert any(
        "too small to show it" in each for each in _made([STALE] * 3, n=12).recommendation.unsure
    )
    assert (_made([STALE] * 3, n=12).detectable or 0) > (_made([STALE] * 3, n=300).detectable or 1)


@pytest.mark.heavy
def test_the_tests_are_the_textbook_ones() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(6, 0) == pytest.approx(2 / 64)
    assert mcnemar(10, 3) == mcnemar(3, 10)
    assert detectable(0.5, 1) is None
    assert detectable(0.5, 200) == pytest.approx(0.14, abs=0.001)
