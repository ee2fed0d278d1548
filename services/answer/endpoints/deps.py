"""What every endpoint is handed."""

from typing import Annotated

from fastapi import Depends, Query, Request

from services.answer.access.keys import Caller
from services.answer.endpoints.admission import CALLER
from services.answer.endpoints.runs import ResumableAnswers
from services.answer.pipeline import Parts
from twofold.errors import NotFound


async def _parts(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts


async def _runs(request: Request) -> ResumableAnswers:
    runs: ResumableAnswers = request.app.state.runs
    return runs


async def _caller(request: Request) -> Caller:
    # The caller is absent only where an app was not `protect`ed: then nobody is let in.
    caller: Caller = request.scope[CALLER]
    return caller


async def own_workspace(request: Request) -> None:
    """Refuses callers of other workspaces: for routes that only know the server's own.

    Raises NotFound. Routes without a caller (signed hooks) decide for themselves.
    """
    caller: Caller | None = request.scope.get(CALLER)
    own = (await _parts(request)).stack.settings.workspace
    if caller is not None and caller.workspace != own:
        raise NotFound(f"Workspace {caller.workspace!r} is not kept here.")


PartsDep = Annotated[Parts, Depends(_parts)]
RunsDep = Annotated[ResumableAnswers, Depends(_runs)]
CallerDep = Annotated[Caller, Depends(_caller)]
After = Annotated[
    int, Query(ge=0, le=2**53, description="Only what was written after the one with this id.")
]
Limit = Annotated[int, Query(ge=1, le=200)]
