"""What people may ask for: to see what is kept of them, and to have it gone. And what expires."""

import threading
import time
from collections.abc import Sequence
from typing import Any, Final

import structlog
from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session, selectinload

from services.answer.access import idempotency
from twofold.errors import NotFound
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Conversation, Feedback, Handoff
from twofold.ledger.service import HandoffReply, Replay
from twofold.ledger.tombstones import bury, conversation_mark, customer_mark, forget_old
from twofold.ledger.widget import Item, Site, Thread, Visitor
from twofold.redact import redact

BATCH: Final = 500
PURGE_EVERY_S: Final = 3600.0

_log = structlog.get_logger("twofold.privacy")


def delete_conversation(ledger: Ledger, workspace: str, id: str) -> None:
    """Deletes a conversation with its answers, feedback, handoffs and their deliveries; an
    answer being made in it is not written any more. Raises NotFound."""
    mine = (Conversation.id == id, Conversation.workspace == workspace)
    if not _delete(ledger, mine, [conversation_mark(workspace, id)]):
        raise NotFound(f"There is no conversation {id!r}.")


def delete_customer(ledger: Ledger, workspace: str, customer: str) -> list[str]:
    """Deletes every conversation of a customer and returns their ids. Raises NotFound where
    there is none."""
    visits = _delete_visits(ledger, workspace, customer)
    mine = (Conversation.customer == customer, Conversation.workspace == workspace)
    gone = _delete(ledger, mine, [customer_mark(workspace, customer)])
    if visits and not gone:
        ledger.scrub()
    if not gone and not visits:
        raise NotFound("There is nothing kept of that customer.")
    return gone


def export_customer(
    ledger: Ledger, workspace: str, customer: str, redacted: bool
) -> dict[str, Any]:
    """Returns everything kept of a customer, with numbers and addresses masked where `redacted`."""
    with ledger.session() as session:
        conversations = session.scalars(
            select(Conversation)
            .where(Conversation.workspace == workspace, Conversation.customer == customer)
            .order_by(Conversation.created_at)
        ).all()
        found = [_exported(session, each) for each in conversations]
    if not found:
        raise NotFound("There is nothing kept of that customer.")
    whole = {"customer": customer, "conversations": found}
    return _masked(whole) if redacted else whole


def _delete_visits(ledger: Ledger, workspace: str, customer: str) -> int:
    """Deletes the widget's visitors of that name with their threads, and returns how many there
    were."""
    sites = select(Site.id).where(Site.workspace == workspace)
    with ledger.session() as session:
        gone = session.execute(
            delete(Visitor).where(Visitor.customer == customer, Visitor.site_id.in_(sites)),
            execution_options={"synchronize_session": False},
        )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def purge(ledger: Ledger, days: float) -> int:
    """Deletes conversations untouched for `days` (0 keeps them), and idempotency keys too old to
    be replayed; returns how many conversations."""
    idempotency.expire(ledger)
    with ledger.session() as session:
        forget_old(session)
    ledger.scrub()
    if not days:
        return 0
    return len(_delete(ledger, [Conversation.last_at < time.time() - days * 86_400]))


def keep_purging(ledger: Ledger, days: float, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            if gone := purge(ledger, days):
                _log.info("retention", conversations=gone)
        except Exception as error:
            _log.error("the purge failed", exc_info=error)
        stop.wait(PURGE_EVERY_S)


def _delete(
    ledger: Ledger, which: Sequence[ColumnElement[bool]], marks: Sequence[str] = ()
) -> list[str]:
    """Deletes the conversations and returns their ids; nothing of them is left in the ledger's
    files, either."""
    gone: list[str] = []
    while True:
        with ledger.session() as session:
            if marks:
                bury(session, marks)
            ids = list(session.scalars(select(Conversation.id).where(*which).limit(BATCH)))
            answers = select(Answer.id).where(Answer.conversation_id.in_(ids))
            session.execute(
                delete(Replay).where(Replay.answer_id.in_(answers)),
                execution_options={"synchronize_session": False},
            )
            session.execute(delete(Conversation).where(Conversation.id.in_(ids)))
        gone += ids
        if len(ids) < BATCH:
            break
    if gone and not ledger.scrub():
        _log.warning("what was deleted stays in the ledger's log until nobody reads it")
    return gone


def _exported(session: Session, conversation: Conversation) -> dict[str, Any]:
    answers = session.scalars(
        select(Answer)
        .where(Answer.conversation_id == conversation.id)
        .order_by(Answer.created_at)
        .options(selectinload(Answer.citations))
    ).all()
    ratings = session.scalars(
        select(Feedback)
        .where(Feedback.answer_id.in_([each.id for each in answers]))
        .order_by(Feedback.id)
    ).all()
    handoffs = session.scalars(
        select(Handoff).where(Handoff.conversation_id == conversation.id)
    ).all()
    replies = session.scalars(
        select(HandoffReply)
        .where(HandoffReply.handoff_id.in_([each.id for each in handoffs]))
        .order_by(HandoffReply.id)
    ).all()
    messages = session.scalars(
        select(Item)
        .join(Thread, Thread.id == Item.thread_id)
        .where(Thread.conversation_id == conversation.id, Item.kind == "message")
        .order_by(Item.at)
    ).all()
    return {
        "conversation_id": conversation.id,
        "created_at": conversation.created_at,
        "turns": [
            {
                "answer_id": row.id,
                "created_at": row.created_at,
                "question": row.question,
                "action": row.action,
                "text": row.text,
                "sources": [citation.document for citation in row.citations],
                "feedback": [
                    {"rating": each.rating, "comment": each.comment, "created_at": each.created_at}
                    for each in ratings
                    if each.answer_id == row.id
                ],
            }
            for row in answers
        ],
        "messages": [
            {"by": each.by, "name": each.name, "text": each.text, "created_at": each.at}
            for each in messages
        ],
        "handoffs": [
            {
                "id": h.id,
                "team": h.team,
                "reason": h.reason,
                "text": h.packet.get("question", ""),
                "created_at": h.created_at,
                "replies": [
                    {"text": each.text, "created_at": each.created_at}
                    for each in replies
                    if each.handoff_id == h.id
                ],
            }
            for h in handoffs
        ],
    }


_WRITTEN: Final = ("question", "text", "comment")


def _masked(value: Any) -> Any:
    if isinstance(value, list):
        return [_masked(each) for each in value]
    if isinstance(value, dict):
        return {
            key: redact(each) if key in _WRITTEN else _masked(each) for key, each in value.items()
        }
    return value
