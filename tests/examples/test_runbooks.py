"""The second example house is sound: its pages, its policy, and what its suite asks for."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from models.evaluate.answers import Outcome, ask_all
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case, load_suite
from services.standalone.evals import Local
from twofold.house_file import load_house
from twofold.settings import Settings

HOME = Path(__file__).parents[2] / "examples" / "runbooks"
PAGES = HOME / "help-center"
CASES = load_suite(HOME / "eval")


def test_the_handbook_and_its_suite_are_as_large_and_varied_as_promised() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in PAGES.rglob("*.md")}
    assert len(pages) >= 25
    assert sum("audience: [engineer]" in text for text in pages.values()) == len(pages) - 1
    assert len(CASES) >= 60
    assert set(Counter(case.expect.action for case in CASES)) == {
        "ANSWER", "CLARIFY", "ESCALATE", "DECLINE",
    }  # fmt: skip
    tags = {tag for case in CASES for tag in case.tags}
    assert tags >= {"incident", "permission", "time-bound", "multi-turn", "unanswerable"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_gold_pages_are_for_the_asker_and_hold_the_facts(case: Case) -> None:
    gold = [(PAGES / name).read_text(encoding="utf-8") for name in case.expect.documents]
    for page in gold:
        assert f"audience: [{case.audience}]" in page
    for fact in case.expect.spellings:
        assert says(" ".join(gold), fact), fact


def test_every_hand_over_is_one_that_the_house_knows() -> None:
    house = load_house(HOME / "house.yaml")
    for case in CASES:
        if case.expect.action == "ESCALATE":
            assert case.expect.reason is not None
            assert house.reasons[case.expect.reason].team == case.expect.team, case.id
    assert "outage_report" not in house.reasons


@pytest.mark.heavy
def test_an_engineer_is_answered_and_the_public_is_not(tmp_path: Path) -> None:
    asked = [case for case in CASES if case.id in ("rb-rollback-unlock", "rb-perm-public")]
    outcomes = asyncio.run(_ask(asked, tmp_path / "home"))
    assert [outcome.problems for outcome in outcomes] == [[], []]


async def _ask(asked: list[Case], home: Path) -> list[Outcome]:
    settings = Settings(home=home, house=HOME / "house.yaml")
    async with Local(settings).service() as http:
        return await ask_all(AnswerClient(http), asked, progress=lambda _: None)
