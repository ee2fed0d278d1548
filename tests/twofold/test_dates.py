"""One reader of dates: however a day is written, it is the same day, and a verb is no month."""

import calendar
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.text.claims import claims, differing
from twofold.text.dates import cut, read

ENGLISH = calendar.month_name[1:]
GERMAN_LISTED = "Januar Februar März April Mai Juni Juli August September Oktober November Dezember"
GERMAN = GERMAN_LISTED.split()
DAYS = st.integers(0, 36_523).map(lambda days: date(1950, 1, 1) + timedelta(days))


def ways(day: date) -> list[str]:
    english, german = ENGLISH[day.month - 1], GERMAN[day.month - 1]
    end = {1: "st", 2: "nd", 3: "rd"}.get(day.day, "th")
    return [
        day.isoformat(), f"{day.day} {english} {day.year}", f"{english} {day.day}, {day.year}",
        f"{english.lower()} {day.day} {day.year}", f"the {day.day}{end} of {english}, {day.year}",
        f"{day.day}. {german} {day.year}", f"{english[:3]} {day.day:02}, {day.year}",
        f"{day.day} {english[:3]}. {day.year}",
    ]  # fmt: skip


@given(DAYS)
def test_every_way_to_write_a_day_names_the_same_day(day: date) -> None:
    for text in ways(day):
        assert [str(each) for each in read(f"It ends on {text}.")] == [day.isoformat()], text


@given(DAYS)
def test_a_day_and_a_month_without_a_year_are_themselves(day: date) -> None:
    english, german = ENGLISH[day.month - 1], GERMAN[day.month - 1]
    for text in (f"{day.day} {english}", f"{english} {day.day}", f"{day.day}. {german}"):
        assert [str(each) for each in read(f"from {text} on")] == [f"{day:%m-%d}"], text
    for text in (f"{english} {day.year}", f"{german} {day.year}", f"{english} of {day.year}"):
        assert [str(each) for each in read(f"since {text}")] == [f"{day:%Y-%m}"], text
    assert [str(each) for each in read(f"since {english}")] == [f"{day:%m}"]


def test_a_moment_names_its_day() -> None:
    assert [str(each) for each in read("restored to 2026-07-08T09:14:00Z")] == ["2026-07-08"]


@given(st.lists(DAYS, max_size=5), st.sampled_from([" and ", "; then on ", ".\nFrom "]))
def test_every_date_is_found_in_order_and_cut_out(days: list[date], between: str) -> None:
    text = between.join(way for day in days for way in ways(day)[:1])
    found = list(read(text))
    assert [str(each) for each in found] == [day.isoformat() for day in days]
    assert not any(character.isdigit() for character in cut(text, found))


@given(st.text(alphabet="0123456789-., JuneMaymarchof", max_size=100))
def test_dates_stand_in_order(text: str) -> None:
    end = 0
    for each in read(text):
        assert end <= each.start < each.end <= len(text)
        end = each.end


@pytest.mark.parametrize(
    "text",
    [
        "You may 2 times", "May I ask?", "March on.", "in step 5 may differ", "version 2.1.2026",
        "2026-13-01", "2026-06-45", "the marches", "TLS 1.2, 80-443", "a decimal of 2026",
        "You MAY use it", "id 12026-06-010",
    ],
)  # fmt: skip
def test_what_is_no_date(text: str) -> None:
    assert list(read(text)) == []


def test_pages_that_name_the_same_day_in_two_ways_agree() -> None:
    one, other, later = (
        next(claim for _, claim in claims([text], "en"))
        for text in (
            "The refund period of annual plans ends on 1 June 2026.",
            "The refund period of annual plans ends on June 1st, 2026.",
            "The refund period of annual plans ends on 2026-06-02.",
        )
    )
    assert differing(one, other) == []
    assert differing(one, later) == ["date"]
