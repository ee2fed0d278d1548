"""A conversation's memory: what was said before, as far as the asker may see it."""

import asyncio
from collections.abc import Iterator

import pytest

from services.answer.contract import Ask, Turn
from services.answer.pipeline import Parts, ask_once, understand
from tests.ingestion.helpers import WORKSPACE
from tests.services.answer.asking import QUESTION, knowing
from twofold.errors import NotFound

STAFF = frozenset({"customer", "internal"})
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
    assert asked == Turn("user", QUESTION)
    assert (answered.role, answered.action) == ("assistant", "ANSWER")
    assert "12 hours" in answered.text


def test_a_conversation_of_another_workspace_is_none(parts: Parts) -> None:
    conversation = said(parts, QUESTION, None)
    with pytest.raises(NotFound):
        understand(Ask("And?", "elsewhere", conversation_id=conversation), parts)
