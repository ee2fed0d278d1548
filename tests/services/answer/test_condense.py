"""Follow-ups stand alone, and the day a question asks about is read from its words."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.answer.contract import Turn
from services.answer.search.asks import asks, bare, of_two_things, sides_of
from services.answer.search.condense import as_of_in, chosen, condense, leans, weigh
from services.answer.search.expand import respelt, synonyms

NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
HISTORY = (
    Turn("user", "How many endpoints does Creek have?"),
    Turn("assistant", "Creek has 25 endpoints. [1]"),
)


def test_a_follow_up_carries_what_it_leans_on() -> None:
    assert condense("and on River?", HISTORY) == f"{HISTORY[0].text}\nand on River?"
    assert condense("and on River?", ()) == "and on River?"


def test_it_carries_what_the_turn_before_leaned_on_and_no_more() -> None:
    knows = (
        Turn("user", "How do I cancel?", standalone="How do I cancel?"),
        Turn("user", "Price of Creek?", standalone="Price of Creek?"),
        Turn("user", "and River?", standalone="Price of River?"),
    )
    assert condense("per year?", knows) == "Price of River?\nper year?"
    assert condense("and River?", knows[:2]) == "Price of Creek?\nand River?"
    long = Turn("user", "d", standalone="a\nb\nc\nd")
    assert condense("e", (*knows, long)) == "a\nc\nd\ne"


@pytest.mark.parametrize(
    ("message", "gain", "leaning"),
    [
        ("and on River?", 0.1, True),
        ("Does it cost extra?", 0.0, True),
        ("which plan do I need for that?", 0.0, True),
        ("und bei River?", 0.1, True),
        ("and who can transfer the workspace", -0.1, False),
        ("Is there a nonprofit discount?", -0.07, False),
        ("paid out in cash?", 0.15, True),
        ("who is eligible?", 0.3, True),
        ("and rotate API keys?", -0.3, True),
        ("Boss is out. Our admin can send it for him right?", 0.0, True),
        ("do our hooks keep their ids over there", 0.0, True),
        ("does our history come along too?", 0.0, True),
        ("Is there a discount for schools", 0.0, False),
        ("how much max", -0.3, True),
        ("what's the limit", -0.3, False),
        ("Please explain to me how workspace owners rotate API keys", 0.02, False),
    ],
)
def test_evidence_says_whether_a_message_leans(message: str, gain: float, leaning: bool) -> None:
    assert leans(message, gain) == leaning


def test_what_was_said_when_handing_over_is_not_searched_for() -> None:
    answered, cited = Turn("assistant", "12 hours. [1]", "ANSWER"), frozenset({"secrets"})
    handed = Turn("assistant", "I am passing it to our support team.", "ESCALATE")
    told = handed._replace(text="Both for 12 hours. [1]", documents=cited)
    said = weigh("and then?", (Turn("user", "How long?"), answered, handed, told))
    assert [each.text for each in said] == ["and then?", "How long?", told.text, answered.text]


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("pagerduty", "Send alerts to PagerDuty"),
        ("Invite members", "Invite members"),
        ("the second one", "Invite members"),
        ("something else", None),
    ],
)
def test_an_offered_choice_is_understood(message: str, title: str | None) -> None:
    offered = ("Send alerts to PagerDuty", "Invite members")
    asked = Turn("assistant", "Which one?", "CLARIFY", choices=offered)
    assert chosen(message, (Turn("user", "alerts"), asked)) == title
    assert chosen(message, HISTORY) is None


@pytest.mark.parametrize(
    ("message", "apart"),
    [
        ("How long is it valid and how many can I send?", 2),
        ("Is it different on Delta? And what does it cost?", 2),
        ("when is it renewed, do you remind us?", 2),
        ("Our server was down. How do I replay?", 1),
        ("can I reset it myself or not", 1),
        ("Wie lange gilt er und wie viele gehen?", 2),
        ("How long is it valid, how many can I send?", 2),
        ("What is the limit on Creek? And River?", 2),
        ("Two things: 1) which regions are there 2) do you support IPv6?", 2),
        ("- what is a lane\n- how many do I get", 2),
        ("Brook has 2. How many can I add?", 1),
        ("How do I send a) events b) batches", 1),
        ("if we drop a token how fast is it dead, and whats the most we can have", 2),
        ("I want the bills by mail, and also our address is wrong, can that be fixed", 2),
        ("we need all bills, also I want to add a card", 2),
        ("how long is it kept, how big can it get", 2),
        ("when we upgrade, can we keep the price", 1),
        ("what I changed is gone. is it lost?", 1),
        ("we have ten people and two are ill, also one left. how do I free a seat", 1),
        ("2 q's about the log: how far does it go back, and would I see who read it", 2),
        ("is there an installer? also after how long do I need to log in again", 2),
        ("how many rules are too many? and same q for coupon codes", 2),
        ("how do I export it and have it sent to my boss", 1),
        ("it fails with this message: could not write file. How do I fix it?", 1),
        ("What do I need to connect the shop and to do backups each night?", 1),
    ],
)
def test_questions_of_one_message_are_told_apart(message: str, apart: int) -> None:
    assert len(asks(message)) == apart


@pytest.mark.parametrize(
    ("message", "halves"),
    [
        ("how much room is there for tags and for lists?",
         ("how much room is there for tags", "how much room is there for lists")),
        ("log retention on Creek compared to River",
         ("log retention on Creek", "log retention on River")),
        ("what do I get on the small deal next to the big deal",
         ("what do I get on the small deal", "what do I get on the big deal")),
        ("how many seats and endpoints come with Creek",
         ("how many seats come with Creek", "how many endpoints come with Creek")),
        ("what does it mean and how do I end it", ()),
        ("what is at the end, and which address do I write to", ()),
    ],
)  # fmt: skip
def test_one_verb_may_ask_of_two_things(message: str, halves: tuple[str, ...]) -> None:
    assert of_two_things(message) == halves


def test_a_word_that_only_joins_two_questions_is_in_neither() -> None:
    said = "Is there an app? And what is the oldest Safari? also which Edge works"
    assert asks(said) == ("Is there an app?", "what is the oldest Safari?", "which Edge works")
    assert asks("Is there an app? And if I pay?")[1] == "And if I pay?"


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


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("no wait, first tell me the price of River", "the price of River"),
        ("Hello, quick one: does the shelf cost extra?", "does the shelf cost extra?"),
        ("Could you tell me how long logs are kept?", "how long logs are kept?"),
        ("no webhook arrives at our endpoint", "no webhook arrives at our endpoint"),
        ("first delivery failed, what now", "first delivery failed, what now"),
        ("ok, thanks!", "ok, thanks!"),
        ("and on River?", "and on River?"),
    ],
)
def test_what_leads_into_a_question_is_no_part_of_it(message: str, asked: str) -> None:
    assert bare(message) == asked


@pytest.mark.parametrize(
    ("typed", "locale", "meant"),
    [
        ("Wie kuendige ich?", "de", "Wie kündige ich?"),
        ("Aendern der Adresse", "de-AT", "Ändern der Adresse"),
        ("neue Frauen, bequem", "de", "neue Frauen, bequem"),
        ("queue and blue", "en", "queue and blue"),
    ],
)
def test_german_is_also_looked_for_with_its_umlauts(typed: str, locale: str, meant: str) -> None:
    assert respelt(typed, locale) == meant


def test_a_house_has_words_of_its_own() -> None:
    house = synonyms((("gate", "sluice"),))
    assert "sluice" in house.beside("How do I open the gate?")
    assert "refund" in house.beside("do I get my money back")
    assert "sluice" not in synonyms().beside("How do I open the gate?")


@pytest.mark.parametrize(
    ("message", "questions"),
    [
        ("our endpoint says paused and nobody touched it?? why would that happen", 1),
        ("the same webhook came twice, is it lost? Is that a bug?", 1),
        ("gibt es hier ein Limit? warum ist das so?", 1),
        ("why is it slow? and how do i fix it", 2),
        ("do you log that call? how can i do that", 2),
        ("what is the price? is that per month?", 2),
    ],
)
def test_what_asks_of_what_was_just_told_is_no_second_question(
    message: str, questions: int
) -> None:
    assert len(asks(message)) == questions


@pytest.mark.parametrize(
    "message",
    [
        "one more thing. can we put it onto the same box?",
        "ok. separately, how do they pay?",
        "andere Frage: wie lange dauert es?",
    ],
)
def test_who_says_that_he_turns_to_something_else_leans_only_on_clear_evidence(
    message: str,
) -> None:
    assert not leans(message, 0.05)
    assert leans(message, 0.3)


@pytest.mark.parametrize(
    ("message", "sides"),
    [
        (
            "whats the difference between cancelling and deleting a workspace, looks the same",
            (
                "whats cancelling a workspace, looks the same",
                "whats deleting a workspace, looks the same",
            ),
        ),
        (
            "slack or pagerduty for alerts? how do they differ",
            ("slack for alerts? how do they differ", "pagerduty for alerts? how do they differ"),
        ),
        (
            "how do backups on pro production compare to the starter plan?",
            ("how do backups on pro production?", "how do backups on the starter plan?"),
        ),
        (
            "whats different in the defaults of the python client vs the node one",
            (
                "whats different in the defaults of the python client",
                "whats different in the defaults of the node one",
            ),
        ),
        (
            "if I enter a fixed price or a percentage for it, what happens in each case",
            (
                "if I enter a fixed price for it, what happens in each case",
                "if I enter a percentage for it, what happens in each case",
            ),
        ),
        ("600 different items go into one cart and then the checkout dies", ()),
        ("can I use Slack or PagerDuty?", ()),
        ("what is the difference?", ()),
    ],
)
def test_two_things_to_be_told_apart_are_asked_of_one_by_one(
    message: str, sides: tuple[str, ...]
) -> None:
    assert sides_of(message) == sides
