"""A question for a thing as such is answered by the page, the section or the row called so."""

from dataclasses import replace

import pytest

from services.answer.contract import Candidate
from services.answer.search.expand import synonyms
from services.answer.search.topics import named, subject
from services.answer.search.units import cut
from tests.services.answer.test_compose_verify import candidate
from twofold.index.contract import Kind


@pytest.mark.parametrize(
    ("question", "thing"),
    [
        ("Do you have an SLA?", "SLA"),
        ("hi, does relay offer single sign-on", "single sign-on"),
        ("is there a status page yet?", "status page"),
        ("What is the dead letter shelf?", "dead letter shelf"),
        ("whats your rate limit", "rate limit"),
        ("what plans do you have?", "plans"),
        ("what does the audit log do?", "audit log"),
        ("Habt ihr SSO?", "SSO"),
        ("Gibt es eine Statusseite?", "Statusseite"),
        ("Was ist ein Webhook?", "Webhook"),
        ("Do you have discounts for schools?", ""),
        ("is there a way to pause it", ""),
        ("what is the limit of events per second on River", ""),
        ("how do I set up SSO?", ""),
        ("Do you know when it will work again?", ""),
    ],
)
def test_the_thing_that_is_asked_for(question: str, thing: str) -> None:
    assert subject(question) == thing


def page(title: str, text: str, *headings: str, kind: Kind = "article") -> Candidate:
    found = candidate(text, title.lower().replace(" ", "-"))
    chunk = replace(found.chunk, title=title, heading_path=headings, kind=kind)
    return replace(found, chunk=chunk)


def pieces_for(question: str, *found: Candidate) -> list[str]:
    return [text.splitlines()[-1] for text in named(question, cut(found), synonyms())]


SLA = page("Service level agreement", "We promise 99.9% on River. Credits are claimed.")
SSO = page("Set up single sign-on with Okta", "It is part of River. You need the Owner role.")
GUESTS = page("Invite members", "If SSO is enforced, guests are invited by hand.", "Guests and SSO")
PLANS = page("Plans", "| | Creek | River |\n|---|---|---|\n| SSO and audit log | no | yes |"
             "\n| Single sign-on URL | a | b |\n| Read SSO settings | no | yes |")  # fmt: skip


def test_it_is_called_so_by_its_words_its_initials_or_other_words_for_it() -> None:
    assert pieces_for("Do you have a service level agreement?", SLA, SSO) == [
        "We promise 99.9% on River."
    ]
    assert pieces_for("Is there an SLA?", SLA, SSO) == ["We promise 99.9% on River."]
    assert pieces_for("Do you offer SSO?", SLA, SSO, GUESTS) == ["It is part of River."]
    assert pieces_for("Do you offer saunas?", SLA, SSO, GUESTS, PLANS) == []


def test_a_row_of_yes_and_no_stands_for_its_thing_and_no_other_row() -> None:
    (row,) = pieces_for("Do you have an audit log?", PLANS)
    assert "SSO and audit log" in row
    assert pieces_for("What is an audit log?", PLANS) == []
    rows = pieces_for("Do you have SSO?", PLANS)
    assert not any("URL" in each or "Read" in each for each in rows)


def test_what_a_page_says_of_itself_is_left_out_and_all_of_a_table_that_opens_it_taken() -> None:
    opening = page("Uptime", "This agreement holds from 1 March on. It replaces another.")
    table = page(
        "Uptime", "| Plan | Month |\n|---|---|\n| River | 99.9% |\n| Delta | 99.99% |", "1"
    )
    found = pieces_for("Is there an uptime?", opening, table)
    assert [each.split("; ")[0] for each in found] == ["Plan: River", "Plan: Delta"]


def test_news_of_a_thing_does_not_stand_for_it() -> None:
    note = page("SSO", "Released on 3 May.", kind="release_note")
    assert pieces_for("Do you have SSO?", note) == []


def test_what_a_thing_is_says_the_sentence_that_defines_it() -> None:
    lanes = page("Ordered lanes", "Order is not guaranteed. A lane is a queue inside one project.")
    assert "A lane is a queue inside one project." in pieces_for("What is an ordered lane?", lanes)
    assert pieces_for("Do you have ordered lanes?", lanes) == ["Order is not guaranteed."]


@pytest.mark.parametrize(
    "question", ["How much is Creek?", "what does creek cost", "price of Creek"]
)
def test_the_price_of_a_thing_stands_in_its_column_or_its_row(question: str) -> None:
    across = page("Plans", "| | Creek | River |\n|---|---|---|\n| Price per month | $49 | $249 |"
                  "\n| Seats | 10 | 50 |")  # fmt: skip
    down = page("Overage", "| Plan | Price | Example |\n|---|---|---|\n| Creek | $0.40 | $40 |"
                "\n| River | $0.25 | $25 |")  # fmt: skip
    found = pieces_for(question, across, down)
    assert [each.split(";")[0] for each in found] == ["Price per month", "Plan: Creek"]
    assert pieces_for("how much is a seat", across, down) == []
