"""How long each kind of source has gone without a sync that ended well; read at every scrape."""

import math
import time
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from twofold import metrics
from twofold.ledger import Ledger
from twofold.ledger.models import Source, Sync


def expose(ledger: Ledger, workspace: str) -> None:
    """Let the metric ask this ledger."""
    for kind in metrics.SOURCE_KINDS:
        metrics.INGESTION_SYNC_AGE.labels(kind).set_function(partial(age, ledger, workspace, kind))


def age(ledger: Ledger, workspace: str, kind: str) -> float:
    """Seconds, of the source that waited longest; NaN without one, and where nobody can say."""
    synced = (Sync.workspace == Source.workspace) & (Sync.source == Source.name)
    ends = (
        select(func.coalesce(func.max(Sync.finished_at), Source.created_at).label("at"))
        .select_from(Source)
        .outerjoin(Sync, synced & (Sync.state == "done"))
        .where(Source.workspace == workspace, Source.kind == kind, Source.kind != "push")
        .group_by(Source.id, Source.created_at)
        .subquery()
    )
    try:
        with ledger.session() as session:
            oldest = session.scalar(select(func.min(ends.c.at)))
    except SQLAlchemyError:
        return math.nan
    return math.nan if oldest is None else max(0.0, time.time() - oldest)
