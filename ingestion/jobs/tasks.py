"""What a worker does with a job: thin tasks over the pipeline's functions.

Embedded threads and Celery workers call `work`, and nothing else. Every task may be cut off
anywhere and done again: what it calls is idempotent, and the job is ended last of all.
"""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event
from typing import Any, NamedTuple

import structlog
from opentelemetry.trace import SpanKind
from sqlalchemy import update

from ingestion.jobs.job import Claimed
from ingestion.jobs.queue import Queue
from ingestion.sources import Fetched, Source, reopen
from ingestion.sync.errors import StepFailed, reason
from ingestion.sync.pipeline import carry_out
from ingestion.sync.push import delete_document, put_document
from ingestion.sync.refresh import failing, refresh
from ingestion.sync.remove import remove_source
from ingestion.sync.retry import passing, patiently
from ingestion.sync.run import Superseded, open_run
from ingestion.sync.slice import SyncSlice
from ingestion.sync.status import find_source
from twofold import tracing
from twofold.errors import Conflict, NotFound, TwofoldError
from twofold.ledger import Ledger
from twofold.ledger.models import Sync
from twofold.stack import Stack

TURN_SECONDS = 15.0
"""How long a sync goes on before the jobs of other sources come."""
BUSY_SECONDS = 1.0
"""Until a job whose source is held by somebody else is tried again."""

log = structlog.get_logger()


class TaskResult(NamedTuple):
    """`more` is the payload to go on with, where the task is not at its end."""

    result: Mapping[str, Any]
    more: Mapping[str, Any] | None = None


def work(stack: Stack, queue: Queue, queues: Sequence[str], stop: Event) -> bool:
    """Does the next job; returns False where there is none."""
    job = queue.claim(queues)
    if job is None:
        return False
    perform(stack, queue, job, stop)
    return True


def perform(
    stack: Stack, queue: Queue, job: Claimed, stop: Event, *, once: bool = False
) -> Exception | None:
    """Does a claimed job and say in the ledger how it went; also returned, where it failed.

    `once`: whoever asked for it waits, and will ask again; so a failure is not tried again here.
    """
    try:
        with tracing.current(f"job {job.task}", tracing.parent_of(job.payload), SpanKind.CONSUMER):
            outcome = TASKS[job.task](stack, job, stop)
    except Superseded as error:
        queue.done(job, {"note": error.message})
    except Conflict as error:
        if once:
            queue.drop(job, error.message)
            return error
        delay = 0.0 if stop.is_set() else BUSY_SECONDS
        queue.again(job, job.payload, delay)
        return error
    except Exception as error:
        cause = error.cause if isinstance(error, StepFailed) else error
        if once:
            queue.drop(job, reason(cause))
        else:
            _failed(queue, job, cause)
        return cause
    else:
        if outcome.more is None:
            queue.done(job, outcome.result)
        else:
            queue.again(job, outcome.more)
    return None


def _failed(queue: Queue, job: Claimed, error: Exception) -> None:
    said = reason(error)
    log.warning("job.failed", job=job.id, task=job.task, source=job.source, error=said)
    if not isinstance(error, TwofoldError):
        log.debug("job.failed", exc_info=error)
    if passing(error) and queue.retry(job, said):
        return
    if not passing(error):
        slug = error.slug if isinstance(error, TwofoldError) else "internal"
        queue.bury(job, said, {"slug": slug})
    if job.task == "sync":
        end_sync(queue.ledger, job.id, said)


def sync(stack: Stack, job: Claimed, stop: Event) -> TaskResult:
    """Runs one slice of a sync; the next one goes on behind the last document."""
    source = open_named(stack, job.workspace, job.source)
    turn = SyncSlice(job.payload.get("after"), TURN_SECONDS, stop)
    run = open_run(stack.ledger, job.workspace, source, id=job.id, resumable=True)
    run.stop = stop
    with run:
        report = carry_out(
            stack, run, source, allow_removal=bool(job.payload.get("allow_removal")), turn=turn
        )
        run.paused = turn.unfinished
    more = {**job.payload, "after": turn.last} if turn.unfinished else None
    return TaskResult(report.record(), more)


def refresh_some(stack: Stack, job: Claimed, _stop: Event) -> TaskResult:
    """Reads some documents again: those named, or those whose next attempt is due."""
    source = open_named(stack, job.workspace, job.source)
    named = job.payload.get("documents")
    wanted = named or failing(stack, job.workspace, job.source, time.time())
    return TaskResult(refresh(stack, job.workspace, source, wanted).record() if wanted else {})


def put(stack: Stack, job: Claimed, _stop: Event) -> TaskResult:
    external_id = job.payload["external_id"]
    written = put_document(stack, job.workspace, job.source, external_id, unpacked(job.payload))
    return TaskResult(written._asdict())


def delete(stack: Stack, job: Claimed, _stop: Event) -> TaskResult:
    # A document that is gone already is fine: an earlier attempt may have got that far.
    with suppress(NotFound):
        delete_document(stack, job.workspace, job.source, job.payload["external_id"])
    return TaskResult({})


def remove(stack: Stack, job: Claimed, _stop: Event) -> TaskResult:
    return TaskResult({"removed": remove_source(stack, job.workspace, job.source)})


TASKS: Mapping[str, Callable[[Stack, Claimed, Event], TaskResult]] = {
    "sync": sync,
    "refresh": refresh_some,
    "put": put,
    "delete": delete,
    "remove": remove,
}


def end_sync(ledger: Ledger, id: str, said: str) -> None:
    """Says in the sync's own row that nobody goes on with it."""
    for attempt in patiently():
        with attempt, ledger.session() as session:
            session.execute(
                update(Sync)
                .where(Sync.id == id, Sync.state != "done")
                .values(state="failed", error=said, finished_at=time.time())
            )


def open_named(stack: Stack, workspace: str, name: str) -> Source:
    """Returns a registered source. Raises NotFound, or InvalidInput where it cannot be opened."""
    known = find_source(stack.ledger, workspace, name)
    return reopen(stack.settings, name, known.kind, known.config)


def packed(external_id: str, fetched: Fetched) -> dict[str, Any]:
    """Returns a pushed document as a job's payload: it is accepted once this is in the ledger."""
    return {
        "external_id": external_id,
        "content": base64.b64encode(fetched.raw).decode(),
        "media_type": fetched.media_type,
        "updated_at": fetched.updated_at,
        "meta": dict(fetched.meta),
    }


def unpacked(payload: Mapping[str, Any]) -> Fetched:
    raw = base64.b64decode(payload["content"])
    return Fetched(raw, payload["media_type"], payload["updated_at"], payload["meta"])
