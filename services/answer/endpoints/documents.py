"""GET /v1/documents/{source}/{id}/versions/{n}: the text that a citation's quote stands in."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from services.answer.endpoints.deps import CallerDep, PartsDep
from services.answer.schemas import Audience, SectionOut, VersionOut
from services.http.problems import declare
from twofold.errors import NotFound
from twofold.index.contract import PUBLIC, DocumentRef
from twofold.ledger.models import Version

router = APIRouter(tags=["documents"])


@router.get(
    "/v1/documents/{source}/{external_id:path}/versions/{number}",
    summary="Read a version of a document",
    responses=declare(404),
)
def read_version(
    source: str,
    external_id: str,
    number: Annotated[int, Path(ge=0, le=2**31)],
    parts: PartsDep,
    caller: CallerDep,
    audience: Annotated[
        list[Audience], Query(max_length=16, description="On whose behalf; all it may see if none.")
    ] = [],  # noqa: B006  FastAPI copies it
) -> VersionOut:
    """A page is for any of its audiences; one in quarantine is for nobody."""
    caller.check_audiences(frozenset(audience))
    visible = frozenset(audience) or caller.audiences
    ref = DocumentRef(caller.workspace, source, external_id)
    wanted = select(Version).where(Version.document_id == ref.id, Version.number == number)
    with parts.stack.ledger.session() as session:
        row = session.scalar(wanted.options(joinedload(Version.document)))
    if row is None or row.quarantined or not _meets(row.audience, visible):
        raise NotFound(f"There is no version {number} of {ref.key!r}.")
    return VersionOut(
        document=ref.key,
        version=number,
        live=row.document.live == number,
        title=row.title,
        url=row.url,
        sections=[SectionOut.model_validate(section) for section in row.sections],
    )


def _meets(audience: list[str], visible: frozenset[str] | None) -> bool:
    """Returns whether a page for `audience` may be shown to `visible`; None sees all."""
    return visible is None or not {PUBLIC, *visible}.isdisjoint(audience)
