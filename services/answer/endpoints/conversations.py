"""GET and DELETE /v1/conversations/{id}."""

from fastapi import APIRouter
from sqlalchemy import delete, select
from sqlalchemy.orm import Session, selectinload

from services.answer.endpoints.deps import PartsDep
from services.answer.endpoints.problems import declare
from services.answer.schemas import ChatAnswer, ConversationOut, TurnOut
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Conversation, Feedback

router = APIRouter(tags=["conversations"])


@router.get(
    "/v1/conversations/{conversation_id}",
    summary="Read a conversation back, with its citations",
    responses=declare(404, 422, 500),
)
def read_conversation(conversation_id: str, parts: PartsDep) -> ConversationOut:
    with parts.stack.ledger.session() as session:
        _find(session, parts, conversation_id)
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
        ]
    return ConversationOut(conversation_id=conversation_id, turns=turns)


@router.delete(
    "/v1/conversations/{conversation_id}",
    status_code=204,
    summary="Delete a conversation and everything recorded in it",
    responses=declare(404, 422, 500),
)
def delete_conversation(conversation_id: str, parts: PartsDep) -> None:
    with parts.stack.ledger.session() as session:
        _find(session, parts, conversation_id)
        session.execute(delete(Conversation).where(Conversation.id == conversation_id))


def _find(session: Session, parts: PartsDep, id: str) -> None:
    found = session.get(Conversation, id)
    if found is None or found.workspace != parts.stack.settings.workspace:
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
