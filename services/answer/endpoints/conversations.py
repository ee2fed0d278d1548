"""GET and DELETE /v1/conversations/{id}."""

from fastapi import APIRouter
from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from services.answer import privacy
from services.answer.endpoints.deps import CallerDep, PartsDep, RunsDep
from services.answer.endpoints.problems import declare
from services.answer.keys import Caller
from services.answer.schemas import ChatAnswer, ConversationOut, TurnOut
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Conversation, Feedback

router = APIRouter(tags=["conversations"])


@router.get(
    "/v1/conversations/{conversation_id}",
    summary="Read a conversation back, with its citations",
    responses=declare(404),
)
def read_conversation(conversation_id: str, parts: PartsDep, caller: CallerDep) -> ConversationOut:
    with parts.stack.ledger.session() as session:
        _find(session, caller, conversation_id)
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
    privacy.delete_conversation(parts.stack.ledger, caller.workspace, conversation_id)
    runs.forget(conversation_id)


def _find(session: Session, caller: Caller, id: str) -> None:
    found = session.get(Conversation, id)
    if found is None or found.workspace != caller.workspace:
        raise NotFound(f"There is no conversation {id!r}.")


def _ratings(session: Session, conversation_id: str) -> dict[str, str]:
    """Answer id -> its latest rating."""
    rows = session.execute(
        select(Feedback.answer_id, Feedback.rating)
        .join(Answer, Answer.id == Feedback.answer_id)
        .where(Answer.conversation_id == conversation_id)
        .order_by(Feedback.id)
    )
    return {row.answer_id: row.rating for row in rows}
