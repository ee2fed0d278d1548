"""Verdicts as data: closed sets that belong together, and JSON both ways."""

from typing import get_args

from models.diagnosis.verdicts import (
    LAYERS,
    MEANINGS,
    REMEDIES,
    Cause,
    Diagnosis,
    Figure,
    Recommendation,
    Verdict,
    remedy_of,
)
from models.stats import estimate

CAUSES = set(get_args(Cause))


def test_every_cause_has_its_layer_its_meaning_and_its_remedy() -> None:
    assert set(LAYERS) == set(MEANINGS) == set(REMEDIES) == CAUSES


def test_no_training_is_named_for_a_fact_and_no_retrieval_for_a_tone() -> None:
    for cause, remedy in REMEDIES.items():
        if LAYERS[cause] == "knowledge":
            assert remedy != "fine_tune"
        if LAYERS[cause] == "behaviour":
            assert remedy in ("fine_tune", "adjust_policy", "fix_prompt")
        assert remedy_of(cause, modelled=True) == remedy
        assert remedy_of(cause, modelled=False) != "fine_tune"


def test_a_diagnosis_goes_to_json_and_back() -> None:
    verdict = Verdict(
        case="a", layer="knowledge", cause="hidden", flipped_by="made_visible", confidence=0.9,
        evidence="for staff alone",
    )  # fmt: skip
    whole = Diagnosis(
        suite="s",
        at=0.0,
        passed=Figure.of(estimate([1.0, 0.0], ["x", "y"])),
        detectable=None,
        cases=(),
        verdicts=(verdict,),
        fixes=(),
        recommendation=Recommendation(advice="retrieval", text="Release the page."),
    )
    assert Diagnosis.model_validate_json(whole.model_dump_json()) == whole
    assert whole.by_layer() == {"knowledge": (verdict,)}


def test_a_figure_without_values_is_null() -> None:
    assert Figure.of(estimate([], [])).model_dump(mode="json") == {
        "value": None, "ci": [None, None], "n": 0,
    }  # fmt: skip
