"""/v1/approved-answers: answers that people pinned to a question."""

from fastapi import APIRouter, Depends

from services.answer.approved import store
from services.answer.approved.schemas import ApprovedOut, ApprovedsOut, ApproveRequest
from services.answer.endpoints.deps import CallerDep, PartsDep, own_workspace
from services.http.problems import declare

router = APIRouter(tags=["approved answers"], dependencies=[Depends(own_workspace)])


@router.post(
    "/v1/approved-answers",
    status_code=201,
    summary="Pin an answer to a question",
    responses=declare(404, 409),
)
def approve(body: ApproveRequest, parts: PartsDep, caller: CallerDep) -> ApprovedOut:
    """A question that means the same gets it word for word. It is suspended the moment a document
    that it cites changes or goes. One for the same question takes the place of an earlier one."""
    locale = parts.house.locales[0]
    return ApprovedOut.of(store.approve(parts.stack, caller, body.approval(), locale))


@router.get(
    "/v1/approved-answers",
    summary="Approved answers, and why some are suspended",
    responses=declare(),
)
def read_approved(parts: PartsDep, caller: CallerDep) -> ApprovedsOut:
    return ApprovedsOut(answers=list(map(ApprovedOut.of, store.listed(parts.stack, caller))))


@router.delete(
    "/v1/approved-answers/{approved_id}",
    status_code=204,
    summary="Withdraw an approved answer",
    responses=declare(404),
)
def withdraw(approved_id: str, parts: PartsDep, caller: CallerDep) -> None:
    store.withdraw(parts.stack.ledger, caller, approved_id)
