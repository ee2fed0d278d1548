"""GET /v1/answers?document=…: answers that a change affects, and what would be said today."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from services.answer import affected
from services.answer.access.keys import Caller
from services.answer.access.objects import visible
from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.pipeline import Parts
from services.answer.schemas import ChatAnswer
from services.http.problems import declare
from twofold.errors import NotFound
from twofold.ledger.models import Answer

MOST_REPLAYED = 50

router = APIRouter(tags=["answers"])


class NowOut(BaseModel):
    action: str
    text: str
    documents: list[str] = Field(description="What it cites.")
    changes: list[str] = Field(description="What differs: action, numbers, days, documents.")


class AffectedOut(BaseModel):
    question: str
    created_at: float = Field(description="Epoch seconds.")
    versions: list[int] = Field(description="Of the document, as the answer cited it.")
    answer: ChatAnswer
    now: NowOut | None = Field(description="With `replay`: what the question gets today.")


class AffectedsOut(BaseModel):
    document: str
    before_version: int | None = Field(description="None where the document is gone.")
    replayed: int
    answers: list[AffectedOut] = Field(description="Newest first.")


@router.get(
    "/v1/answers",
    summary="Answers that cited a document before it changed",
    responses=declare(404, 502, 503),
)
async def read_affected(
    parts: PartsDep,
    caller: CallerDep,
    document: Annotated[str, Query(description="`source/path`, the path alone, or the id.")],
    before_version: Annotated[
        int | None, Query(ge=1, le=2**31, description="The live version when left out.")
    ] = None,
    replay: Annotated[
        bool, Query(description="Ask again, and give only those whose meaning changed.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> AffectedsOut:
    """Asking again records nothing; it takes the newest 50 at most."""
    if caller.workspace != parts.stack.settings.workspace and replay:
        raise NotFound(f"The knowledge of workspace {caller.workspace!r} is not kept here.")
    found, seen = await asyncio.to_thread(_found, parts, caller, document, before_version, limit)
    changed = await affected.replay(parts, seen[:MOST_REPLAYED]) if replay else None
    return out(found, seen[:MOST_REPLAYED] if replay else seen, changed)


def _found(
    parts: Parts, caller: Caller, document: str, before: int | None, limit: int
) -> tuple[affected.Affected, list[Answer]]:
    """Returns what is affected, and which of its answers the caller may see."""
    ledger = parts.stack.ledger
    found = affected.find(ledger, caller.workspace, document, before, limit)
    with ledger.session() as session:
        return found, visible(session, caller, found.answers)


def out(
    found: affected.Affected,
    seen: Sequence[Answer],
    changed: Sequence[affected.AnswerComparison] | None,
) -> AffectedsOut:
    """Returns the response body. `changed`: what asking `seen` again gave, None where that was
    not done."""
    if changed is None:
        shown = [_out(found.document, answer, None) for answer in seen]
    else:
        shown = [_out(found.document, each.answer, _now(each)) for each in changed]
    return AffectedsOut(
        document=found.document,
        before_version=found.before_version,
        replayed=0 if changed is None else len(seen),
        answers=shown,
    )


def _out(document: str, answer: Answer, now: NowOut | None) -> AffectedOut:
    cited = {each.version for each in answer.citations if each.document == document}
    return AffectedOut(
        question=answer.question,
        created_at=answer.created_at,
        versions=sorted(cited),
        answer=ChatAnswer.of_row(answer),
        now=now,
    )


def _now(replayed: affected.AnswerComparison) -> NowOut:
    return NowOut(
        action=replayed.action,
        text=replayed.text,
        documents=list(replayed.documents),
        changes=list(replayed.changes),
    )
