import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.suite.facts import normal, says

SAID = {
    "plain": ("It keeps for 12 hours.", "12 hours"),
    "case": ("Twelve Hours", "twelve hours"),
    "emphasis": ("It is **12** _hours_.", "12 hours"),
    "citation mark between": ("It is 12 hours [1].", "12 hours."),
    "thousands comma": ("up to 50,000 deliveries", "50000"),
    "thousands comma in the fact": ("up to 50000 deliveries", "50,000"),
    "thin space": ("up to 50\u202f000 deliveries", "50,000"),
    "no-break space": ("12\u00a0hours", "12 hours"),
    "line break": ("12\nhours", "12 hours"),
    "table cell": ("| Creek | 25 |", "25"),
    "code": ("answers `202 Accepted`.", "202 Accepted"),
    "snake case": ("the code `invalid_event_type`", "invalid_event_type"),
    "link": ("see [the status page](https://x.example/y)", "the status page"),
    "typographic quotes": ("it\u2019s \u201cfine\u201d", 'it\'s "fine"'),
    "pattern characters": ("subscribe to `invoice.*`", "invoice.*"),
    "money": ("It costs $2,490 a year", "$2,490"),
}
NOT_SAID = {
    "longer number": ("250 deliveries", "25"),
    "end of a number": ("125 deliveries", "25"),
    "thousands": ("25,000 deliveries", "25"),
    "decimal": ("5.5 hours", "5"),
    "other half of a decimal": ("1.25 hours", "25"),
    "part of a word": ("an Administrator", "Admin"),
    "a mark is no fact": ("It keeps for long [3].", "3"),
}


@pytest.mark.parametrize(("text", "fact"), SAID.values(), ids=SAID)
def test_says(text: str, fact: str) -> None:
    assert says(text, [fact])


@pytest.mark.parametrize(("text", "fact"), NOT_SAID.values(), ids=NOT_SAID)
def test_does_not_say(text: str, fact: str) -> None:
    assert not says(text, [fact])


def test_any_spelling_will_do() -> None:
    assert says("twelve hours", ["12 hours", "twelve hours"])


@given(st.text())
def test_normal_text_is_normal(text: str) -> None:
    assert normal(text) == " ".join(normal(text).split())
