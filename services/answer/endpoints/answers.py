"""GET /v1/answers/{id}: everything that took part in an answer; its events, from any point on."""

from fastapi import APIRouter
from sqlalchemy.orm import selectinload
from starlette.responses import Response

from services.answer.endpoints.chat import STREAM, LastEventId, resumed
from services.answer.endpoints.deps import CallerDep, PartsDep, RunsDep
from services.answer.endpoints.problems import declare
from services.answer.schemas import AnswerRecord
from twofold.errors import NotFound
from twofold.ledger.models import Answer

router = APIRouter(tags=["answers"])


@router.get(
    "/v1/answers/{answer_id}",
    summary="Read an answer's record",
    responses=declare(404),
)
def read_answer(answer_id: str, parts: PartsDep, caller: CallerDep) -> AnswerRecord:
    with parts.stack.ledger.session() as session:
        row = session.get(Answer, answer_id, options=[selectinload(Answer.citations)])
        if row is None or row.workspace != caller.workspace or not caller.sees(row.audience):
            raise NotFound(f"There is no answer {answer_id!r}.")
        return AnswerRecord.of(row)


@router.get(
    "/v1/answers/{answer_id}/events",
    response_class=Response,
    summary="Resume the stream of an answer",
    responses={200: STREAM, **declare(404, 502)},
)
async def resume(
    answer_id: str, runs: RunsDep, caller: CallerDep, last_event_id: LastEventId = None
) -> Response:
    """While an answer is made for an Idempotency-Key, and once it is recorded."""
    return await resumed(await runs.follow(answer_id, caller), last_event_id)
