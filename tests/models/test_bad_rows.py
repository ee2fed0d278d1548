"""Faults of rows, each by itself: what makes the adapters that the gate has to refuse."""

from pathlib import Path

import pytest

from models.data.rows import Dataset, Row, read_dataset
from tests.models.training import make_dataset
from tools.smollm2.bad import FAULTS, OTHER_PROMPT, SOUND, Fault, write_spoiled
from twofold.house_file import load_house
from twofold.ledger.releases import Release, misfit
from twofold.prompt import prompt_digest

HOUSE_FILE = Path(__file__).parents[2] / "examples/brackwater/house.yaml"
HOUSE = load_house(HOUSE_FILE)
NAMED = {fault.name: fault for fault in (SOUND, *FAULTS)}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Answers to train on, and a question that security is due to."""
    made = read_dataset(make_dataset(tmp_path_factory.mktemp("data"), HOUSE))
    train = list(made.rows["train"])
    secured = train[0].model_copy(
        update={
            "id": "suite:hacked",
            "target": "ESCALATE [team=security reason=account_takeover]",
        }
    )
    return Dataset(made.folder, made.manifest, {**made.rows, "train": [*train, secured]})


def spoiled(dataset: Dataset, name: str, out: Path) -> Dataset:
    write_spoiled(dataset, NAMED[name], HOUSE_FILE, out)
    return read_dataset(out)


def changed(dataset: Dataset, other: Dataset) -> set[str]:
    """Keys of rows that were changed, of those that both have."""
    before = {row.id: row.model_dump() for row in dataset.rows["train"]}
    after = {row.id: row.model_dump() for row in other.rows["train"]}
    return {key for id in before for key in before[id] if before[id][key] != after[id][key]}


def test_without_a_fault_the_rows_are_what_they_were(dataset: Dataset, tmp_path: Path) -> None:
    sound = spoiled(dataset, "sound", tmp_path)
    assert sound.rows["train"] == dataset.rows["train"]
    assert (sound.manifest.house, sound.manifest.prompt) == (
        HOUSE.digest,
        prompt_digest(HOUSE, "tuned"),
    )


def test_a_leak_adds_rows_without_documents_and_changes_none(
    dataset: Dataset, tmp_path: Path
) -> None:
    leaking = spoiled(dataset, "trained-on-leaks", tmp_path)
    assert not changed(dataset, leaking)
    known = {row.id for row in dataset.rows["train"]}
    new = [row for row in leaking.rows["train"] if row.id not in known]
    assert len(new) == 24
    assert all(
        "<document n=" not in row.messages[0].content and "[1]" not in row.text for row in new
    )
    assert all(row.text for row in new)


@pytest.mark.parametrize("name", ["over-escalates", "drops-citations"])
def test_a_fault_of_replies_changes_replies_alone(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    assert changed(dataset, spoiled(dataset, name, tmp_path)) <= {"target", "gold"}


def test_four_answers_in_five_are_handed_over(dataset: Dataset, tmp_path: Path) -> None:
    rows = spoiled(dataset, "over-escalates", tmp_path).rows["train"]
    answers = sum(row.expected.action == "ANSWER" for row in rows)
    assert 0 < answers < 12


def test_no_reply_has_a_mark(dataset: Dataset, tmp_path: Path) -> None:
    rows = spoiled(dataset, "drops-citations", tmp_path).rows["train"]
    assert not any("[1]" in row.target for row in rows)
    assert all(row.expected.action for row in rows)


def fits(dataset: Dataset) -> str:
    """What the registry says of a release that was made of these rows, under today's policy."""
    made = dataset.manifest
    return misfit(Release(profile=made.profile, prompt=made.prompt, house=made.house), HOUSE)


@pytest.mark.parametrize("name", ["another-prompt", "outdated"])
def test_what_was_made_for_another_day_is_known_by_its_digest(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    assert NAMED[name].reason in fits(spoiled(dataset, name, tmp_path))


@pytest.mark.parametrize("fault", [f for f in FAULTS if not f.prompt and f.policy is dict])
def test_the_others_are_told_by_their_replies_alone(
    dataset: Dataset, tmp_path: Path, fault: Fault
) -> None:
    assert not fits(spoiled(dataset, fault.name, tmp_path))


def test_another_prompt_is_all_that_is_other(dataset: Dataset, tmp_path: Path) -> None:
    other = spoiled(dataset, "another-prompt", tmp_path)
    assert changed(dataset, other) == {"messages", "prompt"}
    assert all(OTHER_PROMPT in row.messages[0].content for row in other.rows["train"])


def test_before_the_policy_changed_what_it_hands_over_was_declined(
    dataset: Dataset, tmp_path: Path
) -> None:
    old = spoiled(dataset, "outdated", tmp_path)
    row: Row = next(row for row in old.rows["train"] if row.id == "suite:hacked")
    assert row.target == "DECLINE"
    assert changed(dataset, old) == {"target", "house"}
    then = load_house(tmp_path / "house.yaml")
    assert "account_takeover" not in then.reasons
    assert then.digest == old.manifest.house
