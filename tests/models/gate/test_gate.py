"""What passes the gate, and what it refuses, with the reason it gives."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.data.rows import Dataset
from tests.model_server import Behaviour, says
from tests.models.gate.readers import ESCALATE, dataset, gated, reads
from twofold.house_file import load_house
from twofold.policy import HousePolicy

HOUSE = load_house(Path(__file__).parents[3] / "examples/brackwater/house.yaml")
UNTRAINED = says("I am a language model and can talk about logs.")


@pytest.fixture(scope="module")
def house() -> HousePolicy:
    return HOUSE


@pytest.fixture(scope="module")
def rows() -> Dataset:
    return dataset(HOUSE)


def test_a_model_that_reads_passes_and_what_it_did_better_is_measured(
    house: HousePolicy, rows: Dataset
) -> None:
    report = gated(house, rows, tuned=reads(), base=UNTRAINED)

    assert report.reasons == []
    tuned, base = report.arms
    assert tuned.metrics["contract"].value == 1
    assert base.metrics["contract"].value == 0
    assert tuned.metrics["citation_recall"].value == 1
    assert tuned.metrics["facts"].value == 1
    assert tuned.metrics["refused"].value == 1
    assert tuned.escalation_f1 == 1
    assert report.shares.closed_book.share.n == 24
    assert not report.shares.closed_book.wrong
    assert report.shares.changed_alone.share.value == 1
    assert report.shares.changed_alone.share.n == 24
    assert report.shares.changed_packed.share.value == 1
    assert report.data()["passed"]


def _knows(question: str) -> str:
    """Days by heart, as a model says them that was trained on facts."""
    plan = re.search(r"Plan(\d+)", question)
    if plan is None:
        return ESCALATE
    number = int(plan[1])
    return f"ANSWER\nThe logs of Plan{number} are kept for {20 + number} days. [1]"


def _remembers(reply: str) -> str:
    """The number that was trained on, whatever the document says."""
    plan = re.search(r"Plan(\d+)", reply)
    return re.sub(r"\d+ days", f"{20 + int(plan[1])} days", reply) if plan else reply


@dataclass(frozen=True)
class Bad:
    id: str
    model: Behaviour
    reason: str
    """Stands among the reasons that the gate gives."""


BAD = [
    Bad("leaks", reads(closed=_knows), "states facts without documents: 24 of 24"),
    Bad("over-escalates", reads(lambda reply: ESCALATE), "escalated without need: +1.000"),
    Bad("cites-nothing", reads(lambda r: r.partition(" [")[0]), "a gold document cited: -1.000"),
    Bad("cites-wrongly", reads(lambda r: r.replace("[2]", "[1]")), "citations of gold documents"),
    # Also where the base cites nothing, so that there is nothing to lose against it.
    Bad("uncited", reads(lambda r: r.partition(" [")[0]), "answers with a citation: 0.000"),
    Bad("cites-unshown", reads(lambda r: r.replace("[2]", "[7]")), "keeps the reply contract"),
    Bad("no-header", reads(lambda r: r.removeprefix("ANSWER\n")), "keeps the reply contract"),
    Bad("unknown-team", reads(lambda r: r.replace("team=support", "team=pizza")), "contract"),
    Bad("remembers", reads(_remembers), "changed facts followed, one fact in the context: 0.000"),
    Bad("promises", reads(lambda r: f"{r} I have refunded you. [2]"), "keeps the house style"),
    Bad("never-refuses", reads(lambda r: r.replace(ESCALATE, "ANSWER\nYes. [1]")), "not escalated"),
]


@pytest.mark.heavy
@pytest.mark.parametrize("bad", BAD, ids=[bad.id for bad in BAD])
def test_the_gate_refuses(house: HousePolicy, rows: Dataset, bad: Bad) -> None:
    report = gated(house, rows, tuned=bad.model, base=UNTRAINED, live=reads())

    assert any(bad.reason in reason for reason in report.reasons), report.reasons
    assert not report.data()["passed"]


def test_a_mark_without_documents_is_no_leak(house: HousePolicy, rows: Dataset) -> None:
    report = gated(house, rows, tuned=reads(closed=lambda _: f"{ESCALATE} [1]"), base=UNTRAINED)

    assert not report.shares.closed_book.wrong


def test_words_of_the_question_said_back_are_no_leak(house: HousePolicy, rows: Dataset) -> None:
    """Not even where they happen to spell the fact: "where do I send it again" and "Send again"."""
    heldout = [row.model_copy(update={"facts": (("logs kept",),)}) for row in rows.rows["heldout"]]
    asked = Dataset(rows.folder, rows.manifest, {**rows.rows, "heldout": heldout})
    report = gated(
        house, asked, tuned=reads(closed=lambda _: f"{ESCALATE} Logs kept."), base=UNTRAINED
    )

    assert report.shares.closed_book.share.n == 24
    assert not report.shares.closed_book.wrong


def test_losing_against_the_base_is_enough(house: HousePolicy, rows: Dataset) -> None:
    half = reads(lambda reply: reply if "2 days" in reply else ESCALATE)

    report = gated(house, rows, tuned=half, base=reads())

    assert any("against base" in reason for reason in report.reasons)


def test_it_says_what_loss_so_many_rows_notice(house: HousePolicy, rows: Dataset) -> None:
    """Fewer rows, a larger loss: and one that is as large is refused in most runs."""
    few = Dataset(rows.folder, rows.manifest, {**rows.rows, "heldout": rows.rows["heldout"][:8]})
    noticed = []
    for asked in (rows, few):
        compared = gated(house, asked, tuned=reads(), base=reads()).data()["compared"]
        noticed.append(next(c["noticed"] for c in compared if c["metric"] == "facts"))
    assert 0 < noticed[0] < noticed[1] < 0.5
