"""GET /v1/answers/{id}: all that took part in an answer, its passages, and its events."""

from fastapi import APIRouter
from sqlalchemy import select
from starlette.responses import Response

from services.answer.access.keys import Caller
from services.answer.access.objects import find_answer
from services.answer.endpoints.chat import STREAM, LastEventId, resumed
from services.answer.endpoints.deps import CallerDep, PartsDep, RunsDep
from services.answer.pipeline import Parts
from services.answer.schemas import AnswerRecord, PackedOut, PassageOut
from services.http.problems import declare
from twofold.index.contract import Scope
from twofold.ledger.models import Answer, Feedback
from twofold.ledger.service import Diagnosed

router = APIRouter(tags=["answers"])


@router.get(
    "/v1/answers/{answer_id}",
    summary="Read an answer's record",
    responses=declare(404),
)
def read_answer(answer_id: str, parts: PartsDep, caller: CallerDep) -> AnswerRecord:
    with parts.stack.ledger.session() as session:
        row = find_answer(session, caller, answer_id)
        rated = select(Feedback).where(Feedback.answer_id == row.id)
        latest = session.scalar(rated.order_by(Feedback.id.desc()).limit(1))
        return AnswerRecord.of(row, latest, session.get(Diagnosed, row.id))


@router.get(
    "/v1/answers/{answer_id}/packed",
    summary="Read the passages that an answer was made from",
    responses=declare(404),
)
def read_packed(answer_id: str, parts: PartsDep, caller: CallerDep) -> PackedOut:
    row = _find(answer_id, parts, caller)
    scope = Scope(row.workspace, int(row.as_of), frozenset(row.audience))
    versions = {seen["chunk"]: seen["version"] for seen in row.retrieved}
    chunks = {chunk.id: chunk for chunk in parts.stack.index.retrieve(row.packed)}
    return PackedOut(
        answer_id=row.id,
        packed=len(row.packed),
        passages=[
            PassageOut(
                n=n,
                chunk=id,
                document=chunks[id].key,
                version=versions[id],
                title=chunks[id].title,
                heading_path=list(chunks[id].heading_path),
                kind=chunks[id].kind,
                text=chunks[id].text,
            )
            for n, id in enumerate(row.packed, start=1)
            if id in chunks and scope.admits(chunks[id])
        ],
    )


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


@router.post(
    "/v1/answers/{answer_id}/stop",
    status_code=204,
    summary="End an answer where it is",
    responses=declare(404),
)
async def stop(answer_id: str, runs: RunsDep, caller: CallerDep) -> None:
    """Of one that is made for an Idempotency-Key: its model's call ends, and what was said is what
    is recorded. Any other ends when its reader leaves."""
    await runs.stop(answer_id, caller)


def _find(answer_id: str, parts: Parts, caller: Caller) -> Answer:
    with parts.stack.ledger.session() as session:
        return find_answer(session, caller, answer_id)
