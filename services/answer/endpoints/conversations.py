"""GET and DELETE /v1/conversations/{id}."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from services.answer.access import privacy
from services.answer.access.objects import find_conversation
from services.answer.endpoints.deps import CallerDep, PartsDep, RunsDep
from services.answer.schemas import MAX_CUSTOMER, ChatAnswer, ConversationOut, TurnOut
from services.http.problems import declare
from twofold.ledger.models import Answer, Feedback
from twofold.ledger.tombstones import conversation_mark

router = APIRouter(tags=["conversations"])


@router.get(
    "/v1/conversations/{conversation_id}",
    summary="Read a conversation back, with its citations",
    responses=declare(404),
)
def read_conversation(
    conversation_id: str,
    parts: PartsDep,
    caller: CallerDep,
    customer: Annotated[
        str | None, Query(max_length=MAX_CUSTOMER, description="Whose it is, where it has one.")
    ] = None,
) -> ConversationOut:
    with parts.stack.ledger.session() as session:
        find_conversation(session, caller, conversation_id, customer)
        rows = session.scalars(
            select(Answer)
            .where(Answer.conversation_id == conversation_id)
            .order_by(Answer.created_at)
            .options(selectinload(Answer.citations))
        ).all()
        ratings = _ratings(session, conversation_id)
        turns = [
            TurnOut(
                question=row.question,
                created_at=row.created_at,
                answer=ChatAnswer.of_row(row),
                rating=ratings.get(row.id),
            )
            for row in rows
            if caller.sees(row.audience)
        ]
    return ConversationOut(conversation_id=conversation_id, turns=turns)


@router.delete(
    "/v1/conversations/{conversation_id}",
    status_code=204,
    summary="Delete a conversation and everything recorded in it",
    responses=declare(404),
)
def delete_conversation(
    conversation_id: str, parts: PartsDep, runs: RunsDep, caller: CallerDep
) -> None:
    """What is on its way in it ends."""
    try:
        privacy.delete_conversation(parts.stack.ledger, caller.workspace, conversation_id)
    finally:
        parts.flights.end([conversation_mark(caller.workspace, conversation_id)])
    runs.forget(conversation_id)


def _ratings(session: Session, conversation_id: str) -> dict[str, str]:
    """Returns the latest rating of each answer id."""
    rows = session.execute(
        select(Feedback.answer_id, Feedback.rating)
        .join(Answer, Answer.id == Feedback.answer_id)
        .where(Answer.conversation_id == conversation_id)
        .order_by(Feedback.id)
    )
    return {row.answer_id: row.rating for row in rows}
