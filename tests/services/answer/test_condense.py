"""Follow-ups stand alone, and the day a question asks about is read from its words."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.answer.condense import as_of_in, condense
from services.answer.contract import Turn

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
HISTORY = (
    Turn("user", "How many endpoints does Creek have?"),
    Turn("assistant", "Creek has 25 endpoints. [1]"),
)


@pytest.mark.parametrize("message", ["and on River?", "Does it cost extra?", "und bei River?"])
def test_a_follow_up_carries_what_it_leans_on(message: str) -> None:
    assert condense(message, HISTORY) == f"{HISTORY[0].text}\n{message}"


def test_a_question_of_its_own_is_left_alone() -> None:
    message = "Please explain to me how workspace owners rotate API keys without any downtime"
    assert condense(message, HISTORY) == message


def test_without_history_nothing_is_added() -> None:
    assert condense("and on River?", ()) == "and on River?"


@dataclass(frozen=True)
class Dated:
    text: str
    day: str | None


@pytest.mark.parametrize(
    "case",
    [
        Dated("Which refund policy applied on 1 March 2026?", "2026-03-01"),
        Dated("what was the SLA as of 2025-12-31", "2025-12-31"),
        Dated("What did Creek cost in May 2026?", "2026-05-15"),
        Dated("Could I send marketing mail before July 2026? Was it valid?", "2026-06-30"),
        Dated("Welche Frist galt am 3. Februar 2026?", "2026-02-03"),
        Dated("price of River on 31 December 2025??", "2025-12-31"),
        Dated("What is new since March 2026?", None),
        Dated("What was it on February 30, 2026?", None),
        Dated("What changes on 1 June 2026?", None),
        Dated("How long were logs kept?", None),
        Dated("Will it apply on 1 March 2027?", None),
    ],
    ids=lambda case: case.text,
)
def test_the_day_asked_about(case: Dated) -> None:
    moment = as_of_in(case.text, NOW)
    day = None if moment is None else datetime.fromtimestamp(moment, UTC).date().isoformat()
    assert day == case.day
