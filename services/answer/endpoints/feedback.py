"""POST /v1/feedback: what a person thought of an answer."""

import time

from fastapi import APIRouter

from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.endpoints.problems import declare
from services.answer.schemas import FeedbackOut, FeedbackRequest
from twofold.errors import NotFound
from twofold.ledger.models import Answer, Feedback

router = APIRouter(tags=["feedback"])


@router.post(
    "/v1/feedback",
    status_code=201,
    summary="Rate an answer",
    responses=declare(404),
)
def rate(body: FeedbackRequest, parts: PartsDep, caller: CallerDep) -> FeedbackOut:
    with parts.stack.ledger.session() as session:
        row = session.get(Answer, body.answer_id)
        if row is None or row.workspace != caller.workspace:
            raise NotFound(f"There is no answer {body.answer_id!r} to rate.")
        session.add(
            Feedback(
                answer_id=row.id, rating=body.rating, comment=body.comment, created_at=time.time()
            )
        )
    return FeedbackOut(answer_id=body.answer_id, rating=body.rating)
