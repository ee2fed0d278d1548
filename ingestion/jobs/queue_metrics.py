"""How long work has waited, each kind of source without a sync that ended well, what its last sync
held back, and how far the index is from the ledger; read from the ledger at every scrape, so that
it is the same whoever does the work."""

import math
import time
from collections.abc import Callable
from functools import partial

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ingestion.jobs.job import QUEUES
from ingestion.upkeep.reconcile import RECONCILE
from twofold import metrics
from twofold.ledger import Ledger
from twofold.ledger.models import Job, Source, Sync


def expose(ledger: Ledger, workspace: str) -> None:
    """Lets the metrics ask this ledger. NaN where it cannot be asked."""
    for kind in metrics.SOURCE_KINDS:
        since = partial(last_synced, workspace=workspace, kind=kind)
        metrics.INGESTION_SYNC_AGE.labels(kind).set_function(partial(_age, ledger, since, math.nan))
        held = partial(held_removals, workspace=workspace, kind=kind)
        metrics.INGESTION_HELD.labels(kind).set_function(partial(ledger.gauge, held))
    for drift in metrics.DRIFTS:
        left = partial(drift_left, workspace=workspace, drift=drift)
        metrics.KNOWLEDGE_DRIFT.labels(drift).set_function(partial(ledger.gauge, left))
    for queue in QUEUES:
        since = partial(waiting_since, queue=queue)
        metrics.INGESTION_QUEUE_AGE.labels(queue).set_function(partial(_age, ledger, since, 0.0))
        metrics.INGESTION_QUEUE_JOBS.labels(queue).set_function(
            partial(ledger.gauge, partial(waiting, queue=queue))
        )


def last_synced(session: Session, workspace: str, kind: str) -> float | None:
    """Returns when the source of this kind was synced that has waited longest (epoch seconds);
    None without one."""
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
    """Returns when the job was due that waits longest; one whose next attempt is still to come
    does not wait. Of all workspaces, as workers are; None where none waits."""
    return session.scalar(
        select(func.min(Job.due_at)).where(
            Job.state == "waiting", Job.queue == queue, Job.due_at <= time.time()
        )
    )


def waiting(session: Session, queue: str) -> float:
    due = (Job.state == "waiting", Job.queue == queue, Job.due_at <= time.time())
    return session.scalar(select(func.count()).where(*due)) or 0


def held_removals(session: Session, workspace: str, kind: str) -> float:
    """Returns how many removals the last finished syncs of this kind's sources held back."""
    ended = (
        select(Sync.source, func.max(Sync.finished_at).label("at"))
        .where(Sync.workspace == workspace, Sync.state == "done")
        .group_by(Sync.source)
        .subquery()
    )
    rows = session.scalars(
        select(Sync.counts)
        .join(ended, (ended.c.source == Sync.source) & (ended.c.at == Sync.finished_at))
        .join(Source, (Source.workspace == Sync.workspace) & (Source.name == Sync.source))
        .where(Sync.workspace == workspace, Source.kind == kind)
    )
    return float(sum(counts.get("held", 0) for counts in rows))


def drift_left(session: Session, workspace: str, drift: str) -> float:
    """Returns the drift that the last reconcile left; NaN where there was none of late."""
    found = session.scalar(
        select(Job.result)
        .where(Job.workspace == workspace, Job.task == RECONCILE)
        .order_by(Job.finished_at.desc())
        .limit(1)
    )
    return math.nan if found is None else float(found[drift])


def _age(ledger: Ledger, since: Callable[[Session], float | None], without: float) -> float:
    try:
        with ledger.session() as session:
            moment = since(session)
    except SQLAlchemyError:
        return math.nan
    return without if moment is None else max(0.0, time.time() - moment)
