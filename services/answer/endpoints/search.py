"""POST /v1/search: search alone, with the score of each stage."""

from fastapi import APIRouter

from services.answer import pipeline
from services.answer.contract import Ask
from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.schemas import CandidateOut, SearchOut, SearchRequest
from services.http.problems import declare

router = APIRouter(tags=["search"])


@router.post(
    "/v1/search",
    summary="Find passages without answering",
    responses=declare(502),
)
async def search(body: SearchRequest, parts: PartsDep, caller: CallerDep) -> SearchOut:
    caller.check_audiences(body.audiences)
    ask = Ask(
        message=body.query,
        workspace=caller.workspace,
        audiences=body.audiences,
        locale=body.locale,
        as_of=body.moment,
    )
    searched = await pipeline.find(ask, parts)
    question, found = searched.question, searched.found
    return SearchOut(
        query=question.asked,
        standalone=question.standalone,
        candidates=[CandidateOut.of(each) for each in found.candidates[: body.limit]],
    )
