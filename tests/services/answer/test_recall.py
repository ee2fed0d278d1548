"""A conversation's memory: what was said before, as far as the asker may see it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from services.answer.contract import Ask, Turn
from services.answer.decide.decider import Decider
from services.answer.generate.ladder import Ladder
from services.answer.pipeline import Parts, ask_once, understand
from tests.ingestion.helpers import WORKSPACE
from tests.services.answer.asking import QUESTION, knowing
from twofold.errors import NotFound
from twofold.policy import HousePolicy

STAFF = frozenset({"customer", "internal"})
PERSON = "Could I please speak to a real human?"
HANDED = ("support", "person_requested")
OTHER = "When are invoices issued?"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("recall")) as parts:
        yield parts


def said(parts: Parts, message: str, conversation: str | None, *audiences: str) -> str:
    ask = Ask(message, WORKSPACE, frozenset(audiences), conversation_id=conversation)
    return asyncio.run(ask_once(ask, parts)).conversation_id


def memory(parts: Parts, conversation: str, *audiences: str) -> tuple[Turn, ...]:
    ask = Ask("And then?", WORKSPACE, frozenset(audiences), conversation_id=conversation)
    return understand(ask, parts).history


def questions(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.text for turn in turns if turn.role == "user"]


def test_what_was_answered_for_staff_is_no_memory_for_a_customer(parts: Parts) -> None:
    conversation = said(parts, QUESTION, None)
    said(parts, OTHER, conversation, *STAFF)
    assert questions(memory(parts, conversation)) == [QUESTION]
    assert questions(memory(parts, conversation, "customer")) == [QUESTION]
    assert questions(memory(parts, conversation, *STAFF)) == [QUESTION, OTHER]


def test_memory_holds_both_sides_and_what_each_answer_did(parts: Parts) -> None:
    conversation = said(parts, QUESTION, None)
    asked, answered = memory(parts, conversation)
    assert asked == Turn("user", QUESTION, standalone=QUESTION)
    assert (answered.role, answered.action) == ("assistant", "ANSWER")
    assert "12 hours" in answered.text
    assert len(answered.documents) == 1


def test_a_conversation_of_another_workspace_is_none(parts: Parts) -> None:
    conversation = said(parts, QUESTION, None)
    with pytest.raises(NotFound):
        understand(Ask("And?", "elsewhere", conversation_id=conversation), parts)


def test_a_reworded_house_policy_loses_no_pending_consent(parts: Parts) -> None:
    asks_first = parts.house.reasons["person_requested"].model_copy(update={"consent": True})
    say = parts.house.templates["en"]
    house = parts.house.model_copy(
        update={"reasons": parts.house.reasons | {"person_requested": asks_first}}
    )
    reworded = house.model_copy(
        update={"templates": {"en": say.model_copy(update={"consent": "Shall {team} write?"})}}
    )
    asked = asyncio.run(ask_once(Ask(PERSON, WORKSPACE), under(parts, house)))
    assert (asked.action, "over from here" in asked.text) == ("CLARIFY", True)
    yes = Ask("yes please", WORKSPACE, conversation_id=asked.conversation_id)
    assert asyncio.run(ask_once(yes, under(parts, reworded))).escalation == HANDED
    # A caller that keeps its own history names the answer, or is known by its text.
    for answer_id in (asked.answer_id, None):
        own = (Turn("user", PERSON), Turn("assistant", asked.text, answer_id=answer_id))
        again = asyncio.run(
            ask_once(Ask("yes please", WORKSPACE, history=own), under(parts, reworded))
        )
        assert again.escalation == HANDED
    foreign = (Turn("user", PERSON), Turn("assistant", asked.text, answer_id=asked.answer_id))
    alien = Ask("yes please", "elsewhere", history=foreign)
    assert asyncio.run(ask_once(alien, under(parts, reworded))).escalation != HANDED


def under(parts: Parts, house: HousePolicy) -> Parts:
    decider = Decider(house, parts.stack.embedder)
    return replace(parts, house=house, decider=decider, ladder=Ladder(house, decider))
