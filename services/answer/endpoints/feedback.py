"""/v1/feedback: what people thought of answers."""

import time
from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import func, select, true

from services.answer.access.objects import find_answer, owned
from services.answer.endpoints.deps import After, CallerDep, Limit, PartsDep
from services.answer.schemas import FeedbackOut, FeedbackRequest, RatedOut, Rating, RatingsOut
from services.http.problems import declare
from twofold.ledger.models import Answer, Conversation, Feedback

router = APIRouter(tags=["feedback"])


@router.post(
    "/v1/feedback",
    status_code=201,
    summary="Rate an answer",
    responses=declare(404),
)
def rate(body: FeedbackRequest, parts: PartsDep, caller: CallerDep) -> FeedbackOut:
    with parts.stack.ledger.session() as session:
        row = find_answer(session, caller, body.answer_id)
        session.add(
            Feedback(
                answer_id=row.id, rating=body.rating, comment=body.comment, created_at=time.time()
            )
        )
    return FeedbackOut(answer_id=body.answer_id, rating=body.rating)


@router.get(
    "/v1/feedback",
    summary="Answers by their latest rating, in the order they were rated",
    responses=declare(),
)
def ratings(
    parts: PartsDep,
    caller: CallerDep,
    rating: Annotated[
        Rating | None, Query(description="Only those; by default both kinds.")
    ] = None,
    after: After = 0,
    limit: Limit = 200,
) -> RatingsOut:
    """An answer that was rated up, and not down since, is one that people approved of."""
    latest = select(func.max(Feedback.id)).group_by(Feedback.answer_id)
    with parts.stack.ledger.session() as session:
        rated = session.execute(
            select(Feedback, Answer.audience)
            .join(Answer, Answer.id == Feedback.answer_id)
            .join(Conversation, Conversation.id == Answer.conversation_id)
            .where(owned(caller), Feedback.id.in_(latest), Feedback.id > after)
            .where(true() if rating is None else Feedback.rating == rating)
            .order_by(Feedback.id)
            .execution_options(yield_per=limit)
        )
        # The limit counts what the caller may see: a shorter page would look like the last one.
        seen = (RatedOut.of(row) for row, audience in rated if caller.sees(audience))
        return RatingsOut(ratings=list(islice(seen, limit)))
