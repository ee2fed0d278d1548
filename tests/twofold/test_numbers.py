"""One reader of numbers: however a number is written, it is the same number, and a name is none."""

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold.text.claims import alike, claims, differing
from twofold.text.numbers import numbers, read, worded


@dataclass(frozen=True)
class Written:
    text: str
    values: set[str]
    locale: str = "en"


WRITTEN = [
    Written("holds 9GB for 24h, answers in 100ms", {"9", "24", "100"}),
    Written("10k rows, 1.5M events, 2 million users", {"10000", "1500000", "2000000"}),
    Written("since v18.2 and release 2.1.0", {"18.2", "2.1.0"}),
    Written("$1,200.00, EUR10, 49.90 EUR, 99.99%", {"1200", "10", "49.9", "99.99"}),
    Written("10.000 Euro, 1,5 Mio. Aufrufe, 3,25 %", {"10000", "1500000", "3.25"}, "de"),
    Written("10.000 EUR", {"10"}, "en"),
    Written("1.000.000 rows", {"1000000"}),
    Written("1'000 and 2’500", {"1000", "2500"}, "de-CH"),
    Written("1 000 euros, 12\u202f500\u202f000", {"1000", "12500000"}, "fr"),
    Written("１２ and ٣٠ and ٣٫٥ and ١٬٠٠٠", {"12", "30", "3.5", "1000"}, "ar"),
    Written("1,00,000 rupees", {"100000"}),
    Written("open 10:30, on 1.2.2026, at 192.168.1.1", {"10:30", "1.2.2026", "192.168.1.1"}),
    Written("ports 80,443,8080", {"80", "443", "8080"}),
    Written("call 555 123 4567", {"555", "123", "4567"}),
    Written("in 2024 100 users", {"2024", "100"}),
    Written("2FA, sha256, abc123, x_1, OAuth2, H200, B2B", set()),
    Written("Python 3.10 is not 3.1", {"3.10", "3.1"}),
    Written("the 12-hour overlap", {"12"}),
]  # fmt: skip


@pytest.mark.parametrize("case", WRITTEN, ids=lambda case: case.text)
def test_numbers(case: Written) -> None:
    assert numbers(case.text, case.locale) == case.values


def test_a_number_has_its_unit_and_place() -> None:
    text = "It holds 9GB at $5 or 7 %."
    assert [(n.value, n.unit, text[n.start : n.end]) for n in read(text)] == [
        ("9", "GB", "9"), ("5", "$", "5"), ("7", "%", "7"),
    ]  # fmt: skip


SUMS = ("${}", "$ {}", "USD {}", "usd {}", "{} USD", "{}$", "{} dollars", "{}-dollar", "US${}")


@given(st.decimals(0, 10**6, places=2), st.sampled_from(SUMS), st.sampled_from(SUMS))
def test_every_way_to_write_a_sum_is_the_same_sum(amount: Decimal, way: str, other: str) -> None:
    one, two = (list(read(f"It costs {each.format(amount)} a month.")) for each in (way, other))
    assert [(n.value, n.currency) for n in one] == [(n.value, n.currency) for n in two]
    assert [Decimal(n.value) for n in one] == [amount]
    assert one[0].currency == "USD"


@pytest.mark.parametrize(
    ("text", "sums"),
    [
        ("2.5k USD, $3k and $ 4 k", [("2500", "USD"), ("3000", "USD"), ("4000", "USD")]),
        ("1.5 million euros, 2 Mio. EUR", [("1500000", "EUR"), ("2000000", "EUR")]),
        ("5 € 500 MB", [("5", "EUR"), ("500", "")]),
        ("£7, 8 CHF, ¥9 and 10", [("7", "GBP"), ("8", "CHF"), ("9", "JPY"), ("10", "")]),
        ("Euros2Go, 12 dollarise, 7%", [("12", ""), ("7", "")]),
    ],
)  # fmt: skip
def test_sums(text: str, sums: list[tuple[str, str]]) -> None:
    assert [(n.value, n.currency) for n in read(text)] == sums


@given(st.text(alphabet="019.,' kM$€%USDeuro-", max_size=60), st.sampled_from(["en", "de"]))
def test_the_whole_of_a_number_encloses_it_and_meets_no_other(text: str, locale: str) -> None:
    end = 0
    for number in read(text, locale):
        assert end <= number.first <= number.start < number.end <= number.last <= len(text)
        assert number.unit in text[number.first : number.last]
        end = number.last


def test_small_numbers_are_read_as_words_where_asked() -> None:
    assert worded("Twelve hours, zwei Tage, one more") == {"12", "2"}


def grouped(value: int, sign: str) -> str:
    return f"{value:,}".replace(",", sign)


AMOUNTS = st.integers(0, 10**9 - 1)
"""Four groups with points between them are an address."""


@given(AMOUNTS)
def test_every_way_to_part_thousands_gives_the_same_value(value: int) -> None:
    ways = [(",", "en"), (".", "de"), ("'", "de-CH"), ("\u00a0", "fr"), ("\u202f", "pl")]
    for sign, locale in ways:
        assert numbers(f"about {grouped(value, sign)} rows", locale) == {str(value)}


@given(AMOUNTS, st.integers(1, 9), st.sampled_from(["en", "de"]))
def test_decimals_are_read_by_language(whole: int, tenth: int, locale: str) -> None:
    point, sign = (",", ".") if locale == "de" else (".", ",")
    written = f"{grouped(whole, sign)}{point}{tenth}"
    assert numbers(written, locale) == {f"{whole}.{tenth}"}


@given(AMOUNTS, st.sampled_from([0xFF10, 0x0660, 0x06F0, 0x0966]))
def test_digits_of_other_scripts_are_digits(value: int, zero: int) -> None:
    assert numbers("".join(chr(zero + int(digit)) for digit in str(value))) == {str(value)}


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=20), st.sampled_from(["; ", " and ", "\n"])
)
def test_every_number_is_found_once_and_no_other(values: list[int], between: str) -> None:
    assert [n.value for n in read(between.join(map(str, values)))] == list(map(str, values))


@given(st.text(alphabet="0123456789.,:' \u00a0kMGBv$€%x", max_size=200))
def test_numbers_stand_in_order_and_are_spans_of_digits(text: str) -> None:
    end = 0
    for number in read(text):
        assert end <= number.start < number.end
        assert text[number.start].isdigit()
        assert text[number.end - 1].isdigit()
        end = number.end


@pytest.mark.parametrize(
    ("one", "two", "locale", "units"),
    [
        ("Ein Lauf fasst höchstens 10.000 Euro Guthaben im Monat.",
         "Ein Lauf fasst höchstens 10 Euro Guthaben im Monat.", "de", ["eur"]),
        ("Brook stores up to 7GB of files per project.",
         "Brook stores up to 9 GB of files per project.", "en", ["gb"]),
        ("Exports of a project hold 1.5M rows in one file.",
         "Exports of a project hold 1,500,000 rows in one file.", "en", []),
    ],
)  # fmt: skip
def test_claims_disagree_by_value_however_it_is_written(
    one: str, two: str, locale: str, units: list[str]
) -> None:
    (a,), (b,) = ([claim for _, claim in claims([text], locale)] for text in (one, two))
    assert alike(a, b)
    assert differing(a, b) == units
