"""GET /v1/questions: what was asked lately, what came of it, and what was found about it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import func, or_, select, tuple_
from sqlalchemy.orm import selectinload

from services.answer.access.objects import owned
from services.answer.diagnoses import EVALUATION
from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.record import FAILED
from services.answer.schemas import Aftermath, ChatAnswer
from services.http.problems import declare
from twofold.ledger.models import Answer, Conversation, Feedback
from twofold.ledger.service import Diagnosed

router = APIRouter(tags=["answers"])


class AskedOut(Aftermath):
    created_at: float = Field(description="Epoch seconds.")
    question: str
    standalone: str
    audience: list[str]
    locale: str
    answerable: float | None = Field(
        description="The probability that the sources hold the answer, as the decision had it."
    )
    searched: bool = Field(description="False where the sources could not be searched.")
    answer: ChatAnswer


class QuestionsOut(BaseModel):
    questions: list[AskedOut] = Field(description="Oldest first, or `newest`.")


@router.get("/v1/questions", summary="What was asked, and what came of it", responses=declare())
def read_questions(
    parts: PartsDep,
    caller: CallerDep,
    since: Annotated[float, Query(ge=0, description="Asked at or after; epoch seconds.")] = 0,
    after: Annotated[
        str,
        Query(
            pattern=r"^[0-9a-f-]{0,36}$",
            description="Only what comes behind the answer of this id, in the order asked for.",
        ),
    ] = "",
    until: Annotated[
        float | None, Query(ge=0, description="Asked at or before; epoch seconds.")
    ] = None,
    rating: Annotated[
        Literal["up", "down"] | None, Query(description="Only what was rated so, the last time.")
    ] = None,
    newest: Annotated[bool, Query(description="Newest first.")] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> QuestionsOut:
    """What evals asked is left out: it is nobody's question."""
    latest = select(func.max(Feedback.id)).group_by(Feedback.answer_id)
    customer = Conversation.customer
    query = (
        select(Answer, Feedback, Diagnosed)
        .join(Conversation, Conversation.id == Answer.conversation_id)
        .outerjoin(Feedback, (Feedback.answer_id == Answer.id) & Feedback.id.in_(latest))
        .outerjoin(Diagnosed, Diagnosed.answer_id == Answer.id)
        .where(owned(caller), Answer.workspace == caller.workspace, Answer.created_at >= since)
        .where(or_(customer.is_(None), ~customer.startswith(EVALUATION)))
        .order_by(*(each.desc() if newest else each for each in (Answer.created_at, Answer.id)))
        .options(selectinload(Answer.citations))
    )
    if rating is not None:
        query = query.where(Feedback.rating == rating)
    if until is not None:
        query = query.where(Answer.created_at <= until)
    shown: list[AskedOut] = []
    with parts.stack.ledger.session() as session:
        if after and (last := session.get(Answer, after)) is not None:
            here, there = tuple_(Answer.created_at, Answer.id), (last.created_at, last.id)
            query = query.where(here < there if newest else here > there)
        # The limit counts what the caller may see: a shorter page would look like the last one.
        for answer, feedback, diagnosed in session.execute(query.execution_options(yield_per=200)):
            if caller.sees(answer.audience):
                shown.append(_out(answer, feedback, diagnosed))
            if len(shown) == limit:
                break
    return QuestionsOut(questions=shown)


def _out(answer: Answer, feedback: Feedback | None, diagnosed: Diagnosed | None) -> AskedOut:
    return AskedOut(
        created_at=answer.created_at,
        question=answer.question,
        standalone=answer.standalone,
        audience=answer.audience,
        locale=answer.locale,
        answerable=answer.signals.get("evidence", {}).get("answerable"),
        searched=FAILED not in answer.signals,
        answer=ChatAnswer.of_row(answer),
        **Aftermath.seen(feedback, diagnosed),
    )
