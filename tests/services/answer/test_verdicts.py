"""A reply opens with Yes or No only where its source says so of the very thing that is asked."""

from dataclasses import replace

import pytest

from services.answer.contract import Candidate
from services.answer.generate import asked
from services.answer.generate.composer import compose
from services.answer.generate.sentences import Sentences
from services.answer.search.match import Match
from services.answer.search.units import cut
from tests.services.answer.test_compose_verify import asking, candidate, searched, terms_of

PLAIN = [
    ("can i move a project to another workspace", "A project cannot be moved directly.", "no"),
    ("do you connect to ipv6 endpoints?", "We do not connect to endpoints with IPv6.", "no"),
    ("can SCIM change the owner?", "The owner is never changed by SCIM.", "no"),
    ("is there an app for my tablet?", "There is no app for phones.", "no"),
    ("do you sign a HIPAA agreement", "We do not offer a HIPAA associate agreement.", "no"),
    ("is it possible to schedule price changes", "It does not support scheduling a price.", "no"),
    ("do we have to rotate the keys?", "You do not have to rotate keys.", "no"),
    ("is commercial use ok on the free plan", "Commercial use is allowed.", "yes"),
    ("can a viewer see the logs?", "Viewers can see logs at any time.", "yes"),
    ("can i delete a project?", "You can delete a project.", "yes"),
    # Of something else, for some cases alone, or not whether it is so.
    ("can i delete a project?", "Deleted projects cannot be restored.", ""),
    ("can i change the region?", "You can change the region, the name cannot be changed.", ""),
    ("is there a Windows installer?", "There is no Windows support.", ""),
    ("do you offer phone support?", "We do not offer support on weekends.", ""),
    ("can we pay by card?", "You do not have to pay by card.", ""),
    ("do we have to rotate the keys?", "Keys cannot be rotated.", ""),
    ("are secrets exported?", "Secrets are not exported unless an Owner asks.", ""),
    ("may we have two free accounts?", "You may have no more than two free accounts.", ""),
    ("can a viewer delete a project?", "Owners can delete a project.", ""),
    ("can i delete a project?", "You can delete a project only within a day.", ""),
    ("can i delete a project?", "You can delete a project as an Owner.", ""),
    ("is ordered delivery supported?", "Ordered delivery is supported on River.", ""),
    ("do i need a seat to see the logs?", "You can see the logs.", ""),
    ("is it free or do we pay for it?", "You do not pay for it.", ""),
    ("can i have two owners?", "A workspace has an owner; other roles can be given to two.", ""),
    ("how can i delete a project?", "You can delete a project.", ""),
    ("can't i delete a project?", "You can delete a project.", ""),
]


@pytest.mark.parametrize(("question", "sentence", "verdict"), PLAIN)
def test_a_sentence_says_yes_or_no_of_what_is_asked_alone(
    question: str, sentence: str, verdict: str
) -> None:
    assert asked.plain_verdict(asked.read(question), sentence) == verdict


ROLES = ("Action", "Owner", "Viewer")
SEATS = ("Who", "Uses a seat?")


@pytest.mark.parametrize(
    ("question", "head", "cells", "verdict"),
    [
        ("can a viewer see payloads?", ROLES, ("See payloads", "yes", "no"), "no"),
        ("can owners see payloads?", ROLES, ("See payloads", "yes", "no"), "yes"),
        ("can a member see payloads?", ROLES, ("See payloads", "yes", "no"), ""),
        (
            "does an open invitation use a seat?",
            SEATS,
            ("Open invitation", "yes, for a day"),
            "yes",
        ),
        ("does an open invitation use a seat?", SEATS, ("Open invitation", "not yet"), "no"),
        ("does an open invitation use a seat?", SEATS, ("Open invitation", "yes, but one"), ""),
        ("does an open invitation use a seat?", SEATS, ("Open invitation", "one for each"), ""),
        ("who uses a seat?", SEATS, ("Open invitation", "yes"), ""),
    ],
)
def test_a_row_says_it_in_the_column_that_is_asked_for(
    question: str, head: tuple[str, ...], cells: tuple[str, ...], verdict: str
) -> None:
    assert asked.row_verdict(asked.read(question), head, cells) == verdict


def told(question: str, found: list[Candidate], odds: float) -> str:
    """What is told where the reader holds every piece for an answer with these odds."""
    whole = searched(found, asking(question), terms_of(question, found))
    pieces = {text: Match(0.6, odds) for page in cut(found) for text in page.headed}
    return compose(replace(whole, matched={question: pieces}), Sentences(), 120).text


@pytest.mark.parametrize(("odds", "opening"), [(2.0, "No. A project"), (-2.0, "A project")])
def test_a_denial_opens_the_reply_where_the_reader_holds_it_for_the_answer(
    odds: float, opening: str
) -> None:
    found = [candidate("A project cannot be moved to a new place at all.", "moving")]
    assert told("can we move the project to an office", found, odds).startswith(opening)


TABLE = """| Action | Owner | Viewer |
|---|---|---|
| See deliveries | yes | yes |
| See payloads | yes | no |"""


def test_a_table_stands_below_its_yes_or_no() -> None:
    text = told("can a viewer see payloads?", [candidate(TABLE, "roles")], 2.0)
    assert text.startswith("No.\n\n| Action | Viewer |\n")
    assert "deliveries" not in text


def test_a_yes_is_not_read_from_any_leave_that_is_near() -> None:
    found = [candidate("A workspace has an owner; other roles can be given to two.", "roles")]
    assert told("can a workspace have two owners with other roles", found, 2.0)[:3] != "Yes"


def test_an_item_stands_below_its_yes_or_no() -> None:
    found = [candidate("- Manual snapshots are not available on Pro.\n- Logs are.", "snapshots")]
    said = told("are manual snapshots available on pro?", found, 2.0)
    assert said.startswith("No.\n\n- Manual snapshots")
