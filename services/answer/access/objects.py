"""Whose the ledger's objects are: the one place that says what a caller may see and go on with.

An object is a caller's where all of this holds: it is of its workspace; it was asked for with its
key, or with one of the same name before it (the scope `admin` has what was asked with any key); the
conversation's customer is the one that is named; and its audiences are among the caller's. What is
not a caller's does not exist for it.
"""

from collections.abc import Iterable
from typing import Protocol

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, selectinload

from services.answer.access.keys import Caller
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Conversation, Handoff


class Asker(Protocol):
    """Who wants something of a conversation: a Caller, a question, a request for a person."""

    @property
    def workspace(self) -> str: ...
    @property
    def owner(self) -> str: ...
    @property
    def owns_all(self) -> bool: ...


def owned(by: Asker) -> ColumnElement[bool]:
    """Returns a condition on conversations that only the asker's meet."""
    mine = Conversation.workspace == by.workspace
    return mine if by.owns_all else mine & (Conversation.owner == by.owner)


def find_conversation(
    session: Session, by: Asker, id: str, customer: str | None = None
) -> Conversation:
    """Raises NotFound for a conversation of nobody, of another key or of another customer."""
    found = session.scalar(select(Conversation).where(Conversation.id == id, owned(by)))
    if found is None or not _same_customer(found, by, customer):
        raise NotFound(
            f"There is no conversation {id!r} of this key and customer. Leave `conversation_id` out"
            " to start one; where it has a `customer`, name that."
        )
    return found


def find_answer(session: Session, caller: Caller, id: str) -> Answer:
    """Returns the answer with its citations. Raises NotFound where the caller may not see it."""
    found = session.scalar(
        select(Answer)
        .join(Conversation, Conversation.id == Answer.conversation_id)
        .where(Answer.id == id, owned(caller))
        .options(selectinload(Answer.citations))
    )
    if found is None or not caller.sees(found.audience):
        raise NotFound(f"There is no answer {id!r}.")
    return found


def visible(session: Session, caller: Caller, answers: Iterable[Answer]) -> list[Answer]:
    """Returns those of `answers` that the caller may see."""
    rows = [each for each in answers if caller.sees(each.audience)]
    if caller.owns_all:
        return rows
    ids = {each.conversation_id for each in rows}
    mine = set(
        session.scalars(select(Conversation.id).where(Conversation.id.in_(ids), owned(caller)))
    )
    return [each for each in rows if each.conversation_id in mine]


def find_handoff(session: Session, caller: Caller, id: str) -> Handoff:
    """Returns a handoff of the workspace, whoever asked for it: people take it over. Raises
    NotFound."""
    found = session.get(Handoff, id)
    answer = session.get(Answer, found.answer_id) if found and found.answer_id else None
    hidden = answer is not None and not caller.sees(answer.audience)
    if found is None or found.workspace != caller.workspace or hidden:
        raise NotFound(f"There is no handoff {id!r}.")
    return found


def _same_customer(found: Conversation, by: Asker, customer: str | None) -> bool:
    """Returns whether `customer` may go on with a conversation; one without a name takes the
    first name given."""
    if found.customer is None or found.customer == customer:
        return True
    return customer is None and by.owns_all
