"""A question for a thing as such is answered by the page, the section or the row called so."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask, Candidate, Question
from services.answer.pipeline import Parts, ask_once
from services.answer.search import search
from services.answer.search.expand import synonyms
from services.answer.search.topics import named, subject
from services.answer.search.units import cut
from tests.services.answer.test_compose_verify import candidate
from tests.services.standalone.serving import needs_weights
from twofold.clients.reader import Reader
from twofold.index.contract import Kind, Scope
from twofold.settings import Settings
from twofold.stack import open_stack


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


PAGES = {
    "sla.md": "# Service level agreement\n\nRiver is available 99.9% of a month.\n",
    "status.md": "# Status page\n\n## Claims\n\nUse **Billing** for an SLA claim in 30 days.\n",
    "plans.md": "# Plans\n\n| | Creek | River |\n|---|---|---|\n| Price per month | $49 | $249 |\n"
    "| Seats | 10 | 50 |\n",
    "overage.md": "# Overage charges\n\n| Plan | Each further 1,000 |\n|---|---|\n"
    "| Creek | $0.40 |\n| River | $0.25 |\n",
    "close.md": "# Close or delete\n\n## Close\n\nClosing an account keeps its data 60 days.\n\n"
    "## Delete\n\nDeleting an account erases its data at once.\n",
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    home = tmp_path_factory.mktemp("topics")
    (home / "pages").mkdir()
    for name, text in PAGES.items():
        (home / "pages" / name).write_text(text, "utf-8")
    with open_stack(Settings(home=home / "home", threads=1, deadline_s=120)) as stack:
        sync(stack, stack.settings.workspace, Folder("help", home / "pages"))
        with closing(open_parts(stack)) as opened:
            yield opened


@needs_weights
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("question", "told", "untold"),
    [
        ("Do you have an SLA?", ["99.9%"], ["Billing"]),
        ("How much is Creek?", ["$49"], ["$0.40"]),
    ],
)  # fmt: skip
def test_first_questions_are_answered(
    question: str, told: list[str], untold: list[str], parts: Parts
) -> None:
    text = asyncio.run(ask_once(Ask(question, "default"), parts)).text
    assert all(each in text for each in told), text
    assert not any(each in text for each in untold), text


class OneSided(Reader):
    """Holds a piece for an answer to a question that names its own side alone."""

    def __init__(self) -> None:
        pass

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        sides = [side for side in ("closing", "deleting") if side in question]
        sure = (len(sides) == 1 and sides[0].title() in piece for piece in pieces)
        return np.array([3.0 if each else -3.0 for each in sure], np.float32)


@needs_weights
@pytest.mark.heavy
def test_two_things_to_be_told_apart_are_searched_for_one_by_one(parts: Parts) -> None:
    text = "What is the difference between closing and deleting an account?"
    question = Question(text, text, "en", Scope("default", int(time.time()), frozenset()), None)
    found = search(question, replace(parts.stack, reader=OneSided()))
    assert [part.asked for part in found.question.parts] == [
        "What is closing an account?",
        "What is deleting an account?",
    ]
    silent = search(question, replace(parts.stack, reader=None))
    assert not silent.question.parts


class Doubting(Reader):
    """Holds nothing for an answer, and nothing for hopeless."""

    def __init__(self) -> None:
        pass

    def odds(self, question: str, pieces: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.full(len(pieces), -1.0, np.float32)


@needs_weights
@pytest.mark.heavy
@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("What is the difference between plans and overage?", 2),
        ("What is the difference between lunch and dinner?", 0),
    ],
)
def test_pages_that_are_called_as_the_two_things_are_answer_each(
    text: str, apart: int, parts: Parts
) -> None:
    question = Question(text, text, "en", Scope("default", int(time.time()), frozenset()), None)
    found = search(question, replace(parts.stack, reader=Doubting()))
    assert len(found.question.parts) == apart
