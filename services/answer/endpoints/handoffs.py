"""/v1/handoffs: the outbox, asking for a person, and what people replied."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from services.answer import handoff_replies, handoffs, replays
from services.answer.endpoints.deps import After, CallerDep, Limit, PartsDep
from services.answer.endpoints.problems import declare
from services.answer.handoff_schemas import (
    HandoffOut,
    HandoffRequest,
    HandoffsOut,
    HandoffState,
    RepliesOut,
    ReplyOut,
    ReplyRequest,
)

router = APIRouter(tags=["handoffs"])


@router.get("/v1/handoffs", summary="What was handed to people, newest first", responses=declare())
def read_handoffs(
    parts: PartsDep,
    caller: CallerDep,
    state: HandoffState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> HandoffsOut:
    ledger, house = parts.stack.ledger, parts.house
    found = handoffs.find(ledger, house, caller.workspace, state, limit)
    return HandoffsOut(handoffs=[HandoffOut.of(each) for each in found])


@router.post(
    "/v1/handoffs",
    status_code=201,
    summary="Ask for a person",
    responses={
        200: {"model": HandoffOut, "description": "It was asked for before"},
        **declare(404),
    },
)
def ask_for_a_person(
    body: HandoffRequest,
    parts: PartsDep,
    caller: CallerDep,
    response: Response,
    idempotency_key: Annotated[
        str | None, Header(description="Where there is no conversation yet: what is one wish.")
    ] = None,
) -> HandoffOut:
    key = idempotency_key
    if key is not None:
        key = ":".join(replays.slot(caller.workspace, caller.key, key))
    ledger, house = parts.stack.ledger, parts.house
    wish = body.wish(caller.workspace, key, parts.stack.settings.max_question_chars)
    id, new = handoffs.request(ledger, house, wish)
    if not new:
        response.status_code = 200
    return HandoffOut.of(handoffs.find(ledger, house, caller.workspace, id=id)[0])


@router.get(
    "/v1/handoffs/replies", summary="What people replied, oldest first", responses=declare()
)
def read_replies(
    parts: PartsDep, caller: CallerDep, after: After = 0, limit: Limit = 200
) -> RepliesOut:
    found = handoff_replies.kept(parts.stack.ledger, caller.workspace, after, limit)
    return RepliesOut(replies=[ReplyOut.of(each) for each in found])


@router.post(
    "/v1/handoffs/{handoff_id}/reply",
    status_code=201,
    summary="Keep what a person replied",
    responses=declare(404),
)
def keep_reply(handoff_id: str, body: ReplyRequest, parts: PartsDep, caller: CallerDep) -> ReplyOut:
    """Behaviour learns from it (`twofold dataset build --agents`); it is not sent anywhere."""
    ledger, house = parts.stack.ledger, parts.house
    return ReplyOut.of(
        handoff_replies.keep(ledger, house, caller.workspace, handoff_id, body.wrote())
    )
