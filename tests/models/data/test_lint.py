"""What lint finds and what it leaves alone: planted faults among clean rows, and single cases."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from models.data.lint import RowFinding, lint
from models.data.lint.gone import Live, VersionRef
from models.data.lint.length import by_tokenizer, estimated
from models.data.rows import Row
from models.data.vary import rendered
from tests.models.data.planting import World, build_world, dataset_of, measure
from tests.models.data.test_change import row
from tests.services.standalone.serving import needs_weights
from twofold.errors import InvalidInput
from twofold.house_file import load_house
from twofold.prompt import prompt_digest

HOUSE = load_house(Path(__file__).parents[3] / "examples" / "brackwater" / "house.yaml")
TEXT = """The River plan costs $249 a month and keeps logs for 30 days. A refund needs a request
within fourteen days, that is 2 weeks, and takes up to 10 business days from 1 June 2026.

| Plan | Seats |
|---|---|
| Creek | 10 |

Run `bw listen` as **Test mode** says, or write to help@brackwater.example. Owners set `max_rate`.
"""


def case(target: str, text: str = TEXT, number: int = 1, **more: object) -> Row:
    """A row that is clean but for what it is given."""
    made = row(text, f"{target} [1]" if "\n" not in target else "", **more)
    made = made.model_copy(
        update={
            "id": f"suite:c{number}",
            "ref": f"c{number}",
            "prompt": prompt_digest(HOUSE, "tuned"),
            "house": HOUSE.digest,
            **({"target": target} if "\n" in target else {}),
        }
    )
    return rendered(made, HOUSE)


def found(
    *train: Row,
    held: Sequence[Row] = (),
    heldout: Sequence[Row] = (),
    live: Live | None = None,
    most: int = 4096,
    wanted: dict[str, float] | None = None,
) -> list[RowFinding]:
    dataset = dataset_of(HOUSE, {"train": train, "eval": held, "heldout": heldout}, wanted or {})
    return lint(
        dataset, HOUSE, live=live, count=estimated, most_tokens=most, progress=lambda *at: None
    )


# --- planted faults -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build_world(tmp_path_factory.mktemp("lint"), copies=24, cases=120)


@needs_weights
@pytest.mark.heavy
def test_planted_faults_are_found_and_clean_rows_left_alone(world: World) -> None:
    result = measure(world, 1000, seed=5, per_kind=8)
    assert result.planted.total() >= 200
    assert result.clean >= 1000
    assert result.recall >= 0.95, result.planted - result.found
    assert result.false_alarms <= 0.03, result.alarmed


# --- facts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        "River costs $249 a month.",
        "River costs 249 USD each month.",
        "River costs 249 dollars a month.",
        "River costs USD 249.00 a month.",
        "The refund takes two weeks and up to ten business days.",
        "Logs are kept for 30 days on River plans.",
        "From June 1 a refund takes 10 business days.",
        "From 1 June a refund takes 10 business days.",
        "Creek has 10 seats as a plan.",
        "Run `bw listen` in **Test mode** for it.",
        "Requests go to help@brackwater.example in writing.",
        "Owners can set `max_rate`.",
    ],
)
def test_what_stands_in_the_passages_is_no_leak(said: str) -> None:
    assert [each.reason for each in found(case(said)) if each.concern == "leak"] == []


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("River costs $250 a month.", "$250"),
        ("River costs €249 a month.", "€249"),
        ("Logs are kept for 31 days.", "31"),
        ("Logs are kept for seven days.", "7"),
        ("It needs 30% of the days.", "30%"),
        ("The refund takes days from 2 June 2026.", "2 June 2026"),
        ("Write to sales@brackwater.example for a refund.", "sales@brackwater.example"),
        ("See https://app.brackwater.example/x for a refund.", "https://app.brackwater.example/x"),
        ("Run `bw tunnel` for a refund.", "bw tunnel"),
        ("A refund needs min_rate as well.", "min_rate"),
        ("A refund of the Delta plan needs a request.", "Delta"),
        ("A refund needs a request, as in Reykjavik.", "Reykjavik"),
        ("A refund needs a request and an audit log.", "audit log"),
    ],
)
def test_what_stands_nowhere_is_a_leak(said: str, fact: str) -> None:
    reasons = [each.reason for each in found(case(said)) if each.concern == "leak"]
    assert any(repr(fact) in reason for reason in reasons), reasons


def test_german_nouns_are_no_names_and_german_numbers_are_numbers() -> None:
    text = "Eine Erstattung dauert zwei Wochen, der Tarif kostet 249 USD."
    good = case("Die Erstattung des Tarifs dauert zwei Wochen.", text, locale="de")
    bad = case("Die Erstattung des Tarifs dauert drei Wochen.", text, locale="de")
    assert [each.concern for each in found(good)] == []
    assert "leak" in {each.concern for each in found(bad)}


# --- replies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("Sure!\nLogs are kept for 30 days. [1]", "is no header"),
        ("ESCALATE\nA person takes over.", "is no header"),
        ("ESCALATE [team=legal reason=bad_mood]\nA person takes over.", "no reason 'bad_mood'"),
        ("ESCALATE [team=sales reason=legal_threat]\nA person.", "is for legal, not for sales"),
        ("CLARIFY\n", "says nothing"),
        ("ANSWER\nGreat question: logs are kept for 30 days. [1]", "house bans"),
        ("ANSWER\nI have refunded your plan within 30 days. [1]", "promises"),
        ("ANSWER\nThe plan keeps logs for days. [1]" + " [1]" * 130, "the house allows 120"),
        ("ANSWER\nLogs of the plan are kept for 30 days.", "nothing is cited"),
        ("ANSWER\nLogs of the plan are kept for 30 days. [2]", r"cites \[2\], and was shown 1"),
        ("ANSWER\nInvoices travel by carrier pigeon over mountains. [1]", "does not hold"),
        ("ANSWER\nSee https://else.test/a for logs of the plan. [1]", "host that the house"),
    ],
)
def test_a_broken_reply_is_found(target: str, reason: str) -> None:
    reasons = [each.reason for each in found(case(target)) if each.concern == "policy"]
    assert any(re.search(reason, each) for each in reasons), reasons


@pytest.mark.parametrize("target", ["DECLINE", "ESCALATE [team=legal reason=legal_threat]"])
def test_a_reply_that_the_house_has_the_words_for_needs_none(target: str) -> None:
    made = case("Logs are kept for 30 days.").model_copy(update={"target": target})
    assert found(made) == []


def test_a_good_reply_is_left_alone() -> None:
    table = "| Plan | Seats |\n|---|---|\n| Creek | 10 |"
    target = f"ANSWER\nYes. Logs are kept for 30 days on River. [1]\n\n{table}\n\n[1]"
    assert found(case(target)) == []


# --- prompts, splits, versions ------------------------------------------------------------------


def test_a_finding_names_file_line_row_and_fix() -> None:
    good, bad = case("Logs are kept for 30 days."), case("Logs are kept for 31 days.", number=2)
    other = bad.model_copy(update={"question": "Another question altogether, is it not?"})
    first = found(good, rendered(other, HOUSE))[0]
    assert (first.file, first.line, first.id) == ("train.jsonl", 2, "suite:c2")
    assert first.fix
    assert first.data()["concern"] == first.concern


def test_a_prompt_that_is_not_todays_is_drift() -> None:
    good = case("Logs are kept for 30 days.")
    longer = good.documents[0].model_copy(update={"text": f"{TEXT} More."})
    for edit in ({"prompt": "old"}, {"house": "old"}, {"documents": (longer,)},
                 {"messages": good.messages[:1]}, {"question": "Other?"},
                 {"documents": (good.documents[0].model_copy(update={"n": 2}),)}):  # fmt: skip
        assert "drift" in {each.concern for each in found(good.model_copy(update=edit))}, edit


def test_a_second_row_with_one_prompt_is_a_duplicate() -> None:
    one = case("Logs are kept for 30 days.")
    two = case("A refund needs a request.", number=2)
    (finding,) = found(one, two)
    assert (finding.concern, finding.line) == ("duplicate", 2)
    assert "asks for another reply" in finding.reason


def test_held_out_rows_may_share_documents_but_nothing_else() -> None:
    one = case("Logs are kept for 30 days.")
    apart = rendered(case("A refund needs a request.", number=2).model_copy(
        update={"question": "Must I ask for money in writing, or does a call do as well?"}
    ), HOUSE)  # fmt: skip
    assert {each.concern for each in found(one, held=[apart])} == {"crossing"}
    assert found(one, heldout=[apart]) == []
    assert "crossing" in {each.concern for each in found(one, heldout=[one])}


def test_a_version_that_answers_no_more_is_gone() -> None:
    one = case("Logs are kept for 30 days.")
    assert found(one, live={VersionRef("help/a.md", 1): True}) == []
    for live in ({VersionRef("help/a.md", 1): False}, {}):
        assert [each.concern for each in found(one, live=live)] == ["gone"]


def test_what_is_too_long_or_personal_is_found(tmp_path: Path) -> None:
    one = case("Logs are kept for 30 days.")
    assert [each.concern for each in found(one, most=50)] == ["length"]
    said = rendered(one.model_copy(update={"question": "I am jo@example.org. Logs?"}), HOUSE)
    assert [each.concern for each in found(said)] == ["personal"]
    with pytest.raises(InvalidInput, match=r"no tokenizer\.json"):
        by_tokenizer(tmp_path / "tokenizer.json")


def test_shares_far_from_what_was_wanted_are_found() -> None:
    rows = [rendered(case("Logs are kept for 30 days.", number=n).model_copy(
        update={"question": f"Question number {n}?"}), HOUSE) for n in range(4)]  # fmt: skip
    findings = found(*rows, wanted={"escalate": 0.2})
    assert [(each.file, each.concern) for each in findings] == [("manifest.json", "balance")]
    assert [each.concern for each in found()] == ["balance"]
