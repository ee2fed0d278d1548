"""Whether the process lives, whether it can answer, and what it counted."""

import structlog
from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from starlette.responses import Response

from services.answer.endpoints.deps import PartsDep
from services.answer.endpoints.problems import declare
from services.answer.schemas import Alive, Ready
from twofold.errors import SetupError

router = APIRouter(tags=["operations"])
_log = structlog.get_logger("twofold.http")


@router.get("/healthz", summary="The process lives")
async def healthz() -> Alive:
    return Alive(status="ok")


@router.get(
    "/readyz",
    summary="Ledger and index answer",
    responses=declare(),
)
def readyz(parts: PartsDep) -> Ready:
    try:
        with parts.stack.ledger.session() as session:
            session.execute(text("SELECT 1"))
        return Ready(status="ready", chunks=parts.stack.index.count())
    except Exception as error:
        _log.error("not ready", exc_info=error)
        raise SetupError("Not ready: the ledger or the index does not answer.") from error


@router.get(
    "/metrics",
    response_class=Response,
    summary="Metrics in Prometheus' text format",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
