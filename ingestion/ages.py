"""How long work has waited, and each kind of source without a sync that ended well; read from the
ledger at every scrape, so that it is the same whoever does the work."""

import math
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ingestion.jobs import QUEUES
from twofold import metrics
from twofold.ledger import Ledger
from twofold.ledger.models import Job, Source, Sync


def expose(ledger: Ledger, workspace: str) -> None:
    """Let the metrics ask this ledger. NaN where it cannot be asked."""
    for kind in metrics.SOURCE_KINDS:
        since = partial(last_synced, workspace=workspace, kind=kind)
        metrics.INGESTION_SYNC_AGE.labels(kind).set_function(partial(_age, ledger, since, math.nan))
    for queue in QUEUES:
        since = partial(waiting_since, queue=queue)
        metrics.INGESTION_QUEUE_AGE.labels(queue).set_function(partial(_age, ledger, since, 0.0))


def last_synced(session: Session, workspace: str, kind: str) -> float | None:
    """Of the source of this kind that waited longest; None without one."""
    synced = (Sync.workspace == Source.workspace) & (Sync.source == Source.name)
    ends = (
        select(func.coalesce(func.max(Sync.finished_at), Source.created_at).label("at"))
        .select_from(Source)
        .outerjoin(Sync, synced & (Sync.state == "done"))
        .where(Source.workspace == workspace, Source.kind == kind, Source.kind != "push")
        .group_by(Source.id, Source.created_at)
        .subquery()
    )
    oldest: float | None = session.scalar(select(func.min(ends.c.at)))
    return oldest


def waiting_since(session: Session, queue: str) -> float | None:
    """When the job was due that waits longest; one whose next attempt is still to come does not
    wait. Of all workspaces, as workers are; None where none waits."""
    return session.scalar(
        select(func.min(Job.due_at)).where(
            Job.state == "waiting", Job.queue == queue, Job.due_at <= time.time()
        )
    )


def _age(ledger: Ledger, since: Callable[[Session], float | None], without: float) -> float:
    try:
        with ledger.session() as session:
            moment = since(session)
    except SQLAlchemyError:
        return math.nan
    return without if moment is None else max(0.0, time.time() - moment)
