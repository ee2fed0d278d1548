"""GET /v1/answers/{id}: everything that took part in an answer."""

from fastapi import APIRouter
from sqlalchemy.orm import selectinload

from services.answer.endpoints.deps import PartsDep
from services.answer.endpoints.problems import declare
from services.answer.schemas import AnswerRecord
from twofold.errors import NotFound
from twofold.ledger.models import Answer

router = APIRouter(tags=["answers"])


@router.get(
    "/v1/answers/{answer_id}",
    summary="Read an answer's record",
    responses=declare(404, 422, 500),
)
def read_answer(answer_id: str, parts: PartsDep) -> AnswerRecord:
    with parts.stack.ledger.session() as session:
        row = session.get(Answer, answer_id, options=[selectinload(Answer.citations)])
        if row is None or row.workspace != parts.stack.settings.workspace:
            raise NotFound(f"There is no answer {answer_id!r}.")
        return AnswerRecord.of(row)
