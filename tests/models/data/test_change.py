"""Copies with other numbers: alike in passages, question and reply, no new contradiction."""

import pytest

from models.data.change import changed
from models.data.rows import Document, Row
from models.suite.suite import CaseTurn

TEXT = """The River plan costs $249 a month and keeps logs for 30 days, since 2026.

1. Wait two hours.
2. Retry 3 times; see RFC-7807, v2 and 2026-06-01.
"""


def row(text: str = TEXT, target: str = "", **more: object) -> Row:
    document = Document(
        n=1, document="help/a.md", version=1, chunk="c", title="Plans", heading_path=(),
        kind="article", text=text,
    )  # fmt: skip
    values = {
        "id": "suite:a", "origin": "suite", "ref": "a", "messages": (), "documents": (document,),
        "target": f"ANSWER\n{target}", "history": (), "question": "Is it $249?", "locale": "en",
        "audience": "public", "profile": "tuned", "prompt": "p", "house": "h", "gold": (1,),
    }  # fmt: skip
    return Row.model_validate(values | more)


def test_a_number_is_changed_everywhere_it_stands() -> None:
    before = row(target="River costs $249 and keeps logs for 30 days. [1]",
                 facts=(("$249",), ("30 days", "a month")),
                 history=(CaseTurn(role="user", text="Not 30?"),))  # fmt: skip
    after = changed(before, 1, seed=7)
    assert after is not None
    (price,), (days,) = after.facts
    assert price not in ("$249", "")
    assert days not in ("30 days", "")
    assert f"costs {price} a month and keeps logs for {days}, since 2026" in after.documents[0].text
    assert after.text == f"River costs {price} and keeps logs for {days}. [1]"
    assert after.question == f"Is it {price}?"
    assert after.history[0].text == f"Not {days.split()[0]}?"
    assert (after.id, after.made, after.parent) == ("suite:a~changed-1", "changed", "suite:a")
    for kept in ("1. Wait", "2. Retry", "RFC-7807, v2 and 2026-06-01", "since 2026"):
        assert kept in after.documents[0].text


def test_a_number_written_out_stays_written_out() -> None:
    after = changed(row(target="Wait two hours. [1]"), 1, seed=7)
    assert after is not None
    word = after.text.split()[1]
    assert word != "two"
    assert word.isalpha()
    assert f"1. Wait {word} hours." in after.documents[0].text


def test_a_new_number_is_never_one_that_stands_there() -> None:
    for copy in range(200):
        after = changed(row(target="Retry 3 times. [1]"), copy, seed=7)
        assert after is not None
        number = after.text.split()[1]
        assert number not in ("3", "30", "249", "2")


def test_equal_arguments_make_equal_copies_and_others_differ() -> None:
    before = row(target="River costs $249. [1]")
    assert changed(before, 1, seed=7) == changed(before, 1, seed=7)
    assert len({changed(before, n, seed=7).text for n in range(5)}) > 3  # type: ignore[union-attr]


def test_a_fact_that_may_be_spelt_out_follows_its_number() -> None:
    before = row(target="Logs are kept for 30 days, or 12. [1]", facts=(("12", "twelve"),))
    for copy in range(9):
        after = changed(before, copy, seed=7)
        assert after is not None
        assert "twelve" not in after.facts[0]
        assert after.facts[0][0] in after.text


def test_a_number_with_its_unit_is_changed_and_a_name_is_not() -> None:
    text = "River holds 9GB for 24h on H200 with sha256, ports 3-5 and API v18.2."
    before = row(text=text, target="River holds 9GB for 24h. [1]", facts=(("9GB",),))
    after = changed(before, 1, seed=7)
    assert after is not None
    (size,) = after.facts[0]
    assert size != "9GB"
    assert size.endswith("GB")
    assert f"River holds {size} for " in after.documents[0].text
    assert "24h" not in after.documents[0].text
    assert "on H200 with sha256, ports 3-5 and API v18.2." in after.documents[0].text


def test_a_number_that_is_written_in_two_ways_stays() -> None:
    text = "A run holds 1,200 rows: 1200 rows are many, and 40 columns."
    after = changed(row(text=text, target="It holds 1,200 rows and 40 columns. [1]"), 1, seed=7)
    assert after is not None
    assert "1,200 rows: 1200 rows" in after.documents[0].text
    assert "40" not in after.text
    assert changed(row(text=text, target="It holds 1200 rows. [1]"), 1, seed=7) is None


@pytest.mark.parametrize("target", ["It is kept. [1]", "Since 2026. [1]", "Wait 1 day. [1]"])
def test_a_reply_without_a_number_to_change_has_no_copy(target: str) -> None:
    assert changed(row(target=target), 1, seed=7) is None
