"""Who does the jobs of a process: its own threads, or Celery's workers elsewhere."""

import time
from collections.abc import Mapping
from threading import Event
from typing import Any, Protocol

from ingestion.jobs.job import FINISHED, Claimed, NewJob
from ingestion.jobs.local import LocalWorker
from ingestion.jobs.queue import Queue
from ingestion.jobs.tasks import perform
from twofold.errors import Conflict, InvalidInput, TwofoldError, UpstreamError
from twofold.ledger.models import Job
from twofold.stack import Stack

WAIT_SECONDS = 10.0
"""How long a push waits for another writer of its source."""
_POLL_SECONDS = 0.01


class Worker(Protocol):
    @property
    def queue(self) -> Queue: ...

    def start(self) -> None: ...

    def close(self) -> None: ...


def worker_of(stack: Stack) -> Worker:
    """Threads of this process where no broker is set."""
    if not stack.settings.redis_url:
        return LocalWorker(stack)
    # Celery is an extra, which the embedded size does without.
    from ingestion.jobs.celery import RemoteWorker

    return RemoteWorker(stack)


def do_now(stack: Stack, queue: Queue, new: NewJob) -> Mapping[str, Any]:
    """Does a job in this thread and return its result; behind the jobs of its source before it.

    Raises what the task raised, and Conflict where the source is busy for ten seconds; then the
    job is not done later either, unless a worker has it already.
    """
    (id,) = queue.put([new], quiet=True)
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        job = queue.claim_this(id)
        if job is not None:
            return _do(stack, queue, job)
        with queue.ledger.session() as session:
            row = session.get_one(Job, id)
        if row.state in FINISHED:
            return _told(row)
        if time.monotonic() >= deadline and queue.withdraw(id):
            raise Conflict(
                f"Source {new.source!r} is being written. Wait for that to end, then send it again."
            )
        time.sleep(_POLL_SECONDS)


def _do(stack: Stack, queue: Queue, job: Claimed) -> Mapping[str, Any]:
    error = perform(stack, queue, job, Event(), once=True)
    if error is not None:
        raise error
    with queue.ledger.session() as session:
        return session.get_one(Job, job.id).result


def _told(row: Job) -> Mapping[str, Any]:
    """Returns what came of a job that a worker took first. Raises what that worker met."""
    if row.state == "done":
        return row.result
    if row.state == "superseded":
        raise Conflict("A newer version of this document was sent meanwhile; that one answers.")
    kinds: dict[str, type[TwofoldError]] = {"invalid-input": InvalidInput}
    raise kinds.get(str(row.result.get("slug")), UpstreamError)(row.error)
