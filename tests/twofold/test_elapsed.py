"""What was to come when it was written, and is past, is told from what holds."""

from datetime import date

import pytest

from twofold.text.elapsed import elapsed

TODAY = date(2026, 11, 1)
WRITTEN = date(2025, 11, 11)


def said(text: str, written: date | None = None, *, news: bool = False) -> dict[str, date]:
    found = elapsed(text, written, TODAY, news=news)
    return {text[each.span.start : each.span.end]: each.day for each in found}


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Version 1 will be switched off on 31 March 2026.", date(2026, 3, 31)),
        ("The next release is planned for 13 January 2026.", date(2026, 1, 13)),
        ("A fix will come with 2.3.6, scheduled for Q4 2020.", date(2020, 12, 31)),
        ("The move will happen from June 6th to June 15th, 2022.", date(2022, 6, 15)),
        ("It will keep working until 30 June 2026.", date(2026, 6, 30)),
        ("**NEXT UPDATE**: October 11th, 2022.", date(2022, 10, 11)),
        ("Der Wechsel ist für den 3. Mai 2026 geplant.", date(2026, 5, 3)),
    ],
)
def test_words_tell_what_was_to_come(text: str, day: date) -> None:
    assert said(text) == {text: day}
    # The day has not passed for who asks about an earlier one.
    assert elapsed(text, None, day) == []


@pytest.mark.parametrize(
    "text",
    [
        "Since 30 September 2026 deliveries will carry one header.",
        "As of April 1, 2020, every user will need an account.",
        "Logs from before 1 June 2026 will not come back.",
        "Version 1 was switched off on 31 March 2026.",
        "Old prices will hold until 31 May 2027.",
        "Both are sent until 31 January 2027.",
        "You will see a dialog.",
    ],
)
def test_what_holds_or_is_told_as_past_is_left_alone(text: str) -> None:
    assert said(text) == {}
    assert said(text, date(2026, 10, 20)) == {}


@pytest.mark.parametrize(
    "text",
    [
        "On 1 February 2026 the SMS factor is removed for everybody.",
        "Add an app before 1 February 2026.",
        "API v1 answers until 31 March 2026.",
        "It will no longer be sent from 30 September 2026.",
    ],
)
def test_the_day_of_the_page_tells_what_was_to_come(text: str) -> None:
    assert list(said(text, WRITTEN)) == [text]
    assert said(text, date(2026, 10, 30)) == {}


def test_from_a_day_on_something_is_so_still() -> None:
    assert said("From 1 December 2025 nobody can add a phone number.", WRITTEN) == {}


def test_what_leans_on_a_passed_day_passed_with_it() -> None:
    text = (
        "We are moving all environments. The moves will happen on 6 June 2022."
        " You will receive a mail. Press **Move** to begin."
    )
    assert [each.split()[1] for each in said(text)] == ["moves", "will", "are"]
    assert set(said(text).values()) == {date(2022, 6, 6)}


def test_a_section_of_news_is_one_piece() -> None:
    text = "SMS codes are deprecated. On 1 February 2026 they are removed. We do this for safety."
    assert len(said(text, WRITTEN)) == 1
    assert len(said(text, WRITTEN, news=True)) == 3


def test_a_year_that_is_not_told_is_not_guessed() -> None:
    assert said("The workshop will be held on January 26.") == {}
