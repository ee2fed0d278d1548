"""Whether the process lives, whether it can answer, and what it counted."""

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import structlog
from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from services.answer.pipeline import Parts
from services.answer.schemas import Alive, Ready
from services.http.problems import declare
from twofold.errors import SetupError

router = APIRouter(tags=["operations"])

LOOK_S: Final = 0.8
FRESH_S: Final = 1.0

_log = structlog.get_logger("twofold.http")


@router.get("/healthz", summary="The process lives")
async def healthz() -> Alive:
    return Alive(status="ok")


class Readiness:
    """Looks whether an answer could be found and recorded now: by recording something.

    One look at a time, which is good for FRESH_S; who asks waits LOOK_S at most. What hangs then
    hangs in a thread of its own.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(1, "ready")
        self._look: Future[int] | None = None
        self._begun = 0.0

    async def chunks(self) -> int:
        """Returns chunks in the index. Raises SetupError where ledger or index do not do their
        work."""
        now = time.monotonic()
        if self._look is None or (self._look.done() and now - self._begun > FRESH_S):
            self._look, self._begun = self._threads.submit(self._work), now
        try:
            async with asyncio.timeout(LOOK_S):
                return await asyncio.shield(asyncio.wrap_future(self._look))
        except Exception as error:
            _log.error("not ready", error=type(error).__name__)
            raise SetupError("Not ready: the ledger or the index does not answer.") from error

    def _work(self) -> int:
        self._parts.stack.ledger.beat("readyz")
        return self._parts.stack.index.count()


@router.get(
    "/readyz",
    summary="Ledger and index answer, and an answer could be recorded",
    responses=declare(),
)
async def readyz(request: Request) -> Ready:
    readiness: Readiness = request.app.state.readiness
    return Ready(status="ready", chunks=await readiness.chunks())


@router.get(
    "/metrics",
    response_class=Response,
    summary="Metrics in Prometheus' text format",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics() -> Response:
    # Not in a thread: endpoints that wait for the ledger may hold all of them.
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
