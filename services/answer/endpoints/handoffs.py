"""/v1/handoffs: the outbox, asking for a person, and what people replied."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from services.answer.access import idempotency
from services.answer.access.objects import find_handoff
from services.answer.endpoints.deps import After, CallerDep, Limit, PartsDep
from services.answer.handoffs import outbox
from services.answer.handoffs import replies as handoff_replies
from services.answer.handoffs.schemas import (
    HandoffOut,
    HandoffRequest,
    HandoffsOut,
    HandoffState,
    RepliesOut,
    ReplyOut,
    ReplyRequest,
)
from services.http.problems import declare
from twofold.errors import InvalidInput

router = APIRouter(tags=["handoffs"])


@router.get("/v1/handoffs", summary="What was handed to people, newest first", responses=declare())
def read_handoffs(
    parts: PartsDep,
    caller: CallerDep,
    state: HandoffState | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    since: Annotated[float, Query(ge=0, description="Made at or after; epoch seconds.")] = 0,
) -> HandoffsOut:
    ledger, house = parts.stack.ledger, parts.house
    found = outbox.find(ledger, house, caller.workspace, state, limit, caller.sees, since)
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
        str | None, Header(description="Where there is no conversation yet: what is one request.")
    ] = None,
) -> HandoffOut:
    if not (body.conversation_id or body.message.strip() or idempotency_key):
        raise InvalidInput(
            "Nobody could tell what this is about. Send a `message`, or the `conversation_id` that"
            " a person is to take over."
        )
    key = idempotency_key
    if key is not None:
        key = ":".join(idempotency.slot(caller.workspace, caller.key, key))
    ledger, house = parts.stack.ledger, parts.house
    wanted = body.person_request(caller, key, parts.stack.settings.max_question_chars)
    id, new = outbox.request(ledger, house, wanted)
    if not new:
        response.status_code = 200
    return HandoffOut.of(outbox.find_one(ledger, house, id, caller.sees))


@router.get(
    "/v1/handoffs/replies", summary="What people replied, oldest first", responses=declare()
)
def read_replies(
    parts: PartsDep, caller: CallerDep, after: After = 0, limit: Limit = 200
) -> RepliesOut:
    found = handoff_replies.kept(parts.stack.ledger, caller, after, limit)
    return RepliesOut(replies=[ReplyOut.of(each) for each in found])


@router.get("/v1/handoffs/{handoff_id}", summary="One hand-over", responses=declare(404))
def read_handoff(handoff_id: str, parts: PartsDep, caller: CallerDep) -> HandoffOut:
    ledger = parts.stack.ledger
    with ledger.session() as session:
        find_handoff(session, caller, handoff_id)
    return HandoffOut.of(outbox.find_one(ledger, parts.house, handoff_id, caller.sees))


@router.post(
    "/v1/handoffs/{handoff_id}/close", summary="Settle a hand-over", responses=declare(404)
)
def close_handoff(handoff_id: str, parts: PartsDep, caller: CallerDep) -> HandoffOut:
    """Without a reply that is kept. Asking for a person again opens it again."""
    ledger = parts.stack.ledger
    with ledger.session() as session:
        outbox.close(find_handoff(session, caller, handoff_id))
    return HandoffOut.of(outbox.find_one(ledger, parts.house, handoff_id, caller.sees))


@router.post(
    "/v1/handoffs/{handoff_id}/reply",
    status_code=201,
    summary="Keep what a person replied",
    responses=declare(404),
)
def keep_reply(handoff_id: str, body: ReplyRequest, parts: PartsDep, caller: CallerDep) -> ReplyOut:
    """Behaviour learns from it (`twofold dataset build --agents`); it is not sent anywhere."""
    ledger, house = parts.stack.ledger, parts.house
    return ReplyOut.of(handoff_replies.keep(ledger, house, caller, handoff_id, body.wrote()))
