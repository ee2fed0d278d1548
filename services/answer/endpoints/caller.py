"""GET /v1/caller: who a key is, for services that are shown it."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.answer.endpoints.deps import CallerDep
from services.http.problems import declare

router = APIRouter(tags=["operations"])


class CallerOut(BaseModel):
    workspace: str
    scopes: list[str]
    audiences: list[str] | None = Field(description="Beyond `public`; null means any.")


@router.get("/v1/caller", summary="What this key may do", responses=declare())
async def read_caller(caller: CallerDep) -> CallerOut:
    audiences = None if caller.audiences is None else sorted(caller.audiences)
    return CallerOut(workspace=caller.workspace, scopes=sorted(caller.scopes), audiences=audiences)
