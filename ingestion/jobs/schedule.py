"""How work comes into the queue: asked for, by the clock, or again after a failure."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ingestion.jobs.job import NewJob, queue_of
from ingestion.jobs.queue import Queue
from ingestion.jobs.tasks import packed
from ingestion.sources import OURS, Fetched
from ingestion.sync.lease import held_by_another
from ingestion.sync.push import accept_pushes, check_document
from twofold.errors import Conflict, InvalidInput, NotFound
from twofold.ledger.models import Failure, Job, Source, Sync
from twofold.stack import Stack

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_EVERY = re.compile(r"([1-9]\d{0,5})([smhd])")
_SECRET = re.compile(r"TWOFOLD_SECRET_[A-Z0-9_]+")


def seconds_of(every: str) -> float:
    """Returns the seconds that `15m` means. Raises InvalidInput on anything else than a number
    and s, m, h or d."""
    found = _EVERY.fullmatch(every) if isinstance(every, str) else None
    if found is None:
        raise InvalidInput(f"{every!r} is not a schedule. Write every as 30s, 15m, 6h or 1d.")
    return int(found[1]) * _UNITS[found[2]]


def ours(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those keys of a source's config that do not belong to its kind; "" takes one back.
    Raises InvalidInput."""
    kept = {key: config[key] for key in OURS if key in config}
    if kept.get("every"):
        seconds_of(kept["every"])
    if kept.get("hook_secret") and not _SECRET.fullmatch(str(kept["hook_secret"])):
        # The value is not repeated: it may be the secret itself.
        raise InvalidInput(
            "hook_secret must name a variable of the environment, as TWOFOLD_SECRET_HELP_HOOK."
        )
    return kept


def submit_sync(
    queue: Queue, workspace: str, source: str, kind: str, *, allow_removal: bool = False
) -> str:
    """Returns the id of a sync that waits its turn, or of the one that does already. Raises
    Conflict where one runs."""
    with queue.ledger.session() as session:
        running = session.scalar(
            select(Sync.id)
            .join(Job, Job.id == Sync.id)
            .where(
                Job.workspace == workspace,
                Job.source == source,
                Job.state == "running",
                Sync.state.in_(("queued", "running")),
            )
        )
    holder = f"sync {running}" if running else held_by_another(queue.ledger, workspace, source)
    if holder:
        raise Conflict(
            f"Source {source!r} is being written by {holder}. Wait for it to end, then sync again."
        )

    def queued(session: Session, id: str) -> None:
        row = Sync(id=id, workspace=workspace, source=source, state="queued")
        row.started_at, row.finished_at, row.counts = time.time(), None, {}
        session.add(row)

    payload = {"allow_removal": allow_removal}
    job = NewJob(workspace, source, queue_of(kind), "sync", "sync", payload)
    return queue.put_once(job, queued, states=("waiting",))


def push_job(
    stack: Stack, workspace: str, source: str, external_id: str, fetched: Fetched, id: str = ""
) -> NewJob:
    """Returns a job that writes a document. Raises InvalidInput or TooLarge where it is refused."""
    check_document(stack, external_id, fetched)
    accept_pushes(stack, workspace, source)
    payload = packed(external_id, fetched)
    return NewJob(workspace, source, "push", "put", _document(external_id), payload, id)


def delete_job(workspace: str, source: str, external_id: str, id: str = "") -> NewJob:
    payload = {"external_id": external_id}
    return NewJob(workspace, source, "push", "delete", _document(external_id), payload, id)


def removal_job(workspace: str, source: str, kind: str) -> NewJob:
    """Returns a job that removes a source, and all its documents."""
    return NewJob(workspace, source, queue_of(kind), "remove", "remove", {})


def refresh_job(
    workspace: str, source: str, kind: str, documents: Sequence[str] = (), id: str = ""
) -> NewJob:
    """Returns a job that reads some documents again; none named are those whose next attempt is
    due."""
    payload = {"documents": sorted(documents)} if documents else {}
    # Jobs about different documents must not replace each other.
    subject = "refresh" + ("".join(f" {each}" for each in sorted(documents)))[:400]
    return NewJob(workspace, source, queue_of(kind), "refresh", subject, payload, id)


def retry(queue: Queue, workspace: str, source: str, document: str | None = None) -> int:
    """Makes dead letters and failed documents of a source due now, and returns how many there
    are."""
    with queue.ledger.session() as session:
        kind = session.scalar(
            select(Source.kind).where(Source.workspace == workspace, Source.name == source)
        )
        if kind is None:
            raise NotFound(f"There is no source {source!r}.")
        chosen = [Failure.workspace == workspace, Failure.source == source]
        if document is not None:
            chosen.append(Failure.external_id == document)
        failed = session.scalars(select(Failure).where(*chosen)).all()
        for row in failed:
            row.attempts = 0
    revived = queue.revive(workspace, source, document and _document(document))
    if failed and kind != "push":
        queue.put([refresh_job(workspace, source, kind, [row.external_id for row in failed])])
        return revived + len(failed)
    return revived


def tick(queue: Queue) -> None:
    """Queues what is due by now, frees what dead workers held, and wakes a worker for everything
    that waits: nobody relies on a message to arrive."""
    queue.recover()
    now = time.time()
    with queue.ledger.session() as session:
        sources = session.scalars(select(Source).where(Source.kind != "push")).all()
        began = _last_began(session)
        due = select(Failure.workspace, Failure.source).where(Failure.next_at <= now).distinct()
        failing = {(workspace, source) for workspace, source in session.execute(due)}
    for source in sources:
        place = (source.workspace, source.name)
        every = source.config.get("every")
        if every and began.get(place, 0.0) + seconds_of(every) <= now:
            _scheduled(queue, source)
        elif place in failing:
            queue.put_once(refresh_job(source.workspace, source.name, source.kind))
    for waiting in queue.waiting():
        queue.notify(waiting)
    queue.forget()


def _scheduled(queue: Queue, source: Source) -> None:
    try:
        submit_sync(queue, source.workspace, source.name, source.kind)
    except Conflict:
        return


def _last_began(session: Session) -> dict[tuple[str, str], float]:
    rows = session.execute(
        select(Sync.workspace, Sync.source, func.max(Sync.started_at)).group_by(
            Sync.workspace, Sync.source
        )
    )
    return {(workspace, source): began for workspace, source, began in rows}


def _document(external_id: str) -> str:
    return f"document {external_id}"
