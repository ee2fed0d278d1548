"""Jobs in the ledger: accepted before anyone is told so, taken by one worker at a time.

Whatever wakes a worker (a condition in this process, a message through Redis) only says that there
is work; what it is, and whose turn, is decided here. So a lost message loses no work, and one that
comes twice finds nothing to do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from ingestion.jobs.job import JOB_SECONDS, KEPT_SECONDS, QUEUES, Claimed, NewJob
from ingestion.sync.lease import alive, new_owner
from ingestion.sync.retry import MAX_ATTEMPTS, backoff, patiently
from twofold import tracing
from twofold.counted import counted
from twofold.ledger import Ledger
from twofold.ledger.models import Job, Source, Sync


class Queue:
    """The job queue in the ledger. `notify` gets the queues that have work now; it must not
    fail, and need not arrive."""

    def __init__(self, ledger: Ledger, notify: Callable[[str], None] | None = None) -> None:
        self.ledger = ledger
        self.notify = notify or (lambda _queue: None)

    def put(self, new: Sequence[NewJob], *, quiet: bool = False) -> list[str]:
        """Accepts jobs of registered sources and returns their ids in order. One whose id is
        known is not accepted again. `quiet` leaves it to the caller to wake a worker."""
        ids = [job.id or str(uuid4()) for job in new]
        try:
            with self.ledger.session() as session:
                for id, job in zip(ids, new, strict=True):
                    _add(session, id, job)
        except IntegrityError:
            # The same delivery came twice at once: the other one has accepted the jobs.
            return ids
        for queue in {job.queue for job in new} if not quiet else ():
            self.notify(queue)
        return ids

    def put_once(
        self,
        new: NewJob,
        also: Callable[[Session, str], None] | None = None,
        *,
        states: Sequence[str] = ("waiting", "running"),
    ) -> str:
        """Accepts a job, unless one about the same is in one of these states: then returns that
        one's id. `also` goes into the transaction of a new one."""
        with self.ledger.session() as session:
            # Writes first, so that two processes do not both find none.
            session.execute(
                update(Source)
                .where(Source.workspace == new.workspace, Source.name == new.source)
                .values(served_at=Source.served_at)
            )
            there = session.scalar(
                select(Job.id).where(*_about(new), Job.state.in_(states)).limit(1)
            )
            if there is not None:
                return there
            id = new.id or str(uuid4())
            _add(session, id, new)
            if also is not None:
                also(session, id)
        self.notify(new.queue)
        return id

    def claim(self, queues: Sequence[str]) -> Claimed | None:
        """Claims the next job: of the source that has waited longest for one, its oldest."""
        self.recover()
        for turn in self._turns(queues):
            if job := self._take(turn, Job.queue.in_(queues)):
                return job
        return None

    def claim_this(self, id: str) -> Claimed | None:
        """Claims this job, if it waits and no other job of its source runs; else returns None."""
        with self.ledger.session() as session:
            found = session.execute(
                select(Job.workspace, Job.source, Source.served_at)
                .join(Source, _same_source(Job))
                .where(Job.id == id)
            ).one_or_none()
        return self._take(_Turn(*found), Job.id == id) if found else None

    def withdraw(self, id: str) -> bool:
        """Takes back a job that still waits."""
        with self.ledger.session() as session:
            result = session.execute(
                update(Job)
                .where(Job.id == id, Job.state == "waiting")
                .values(state="superseded", finished_at=time.time(), payload={})
            )
            return bool(getattr(result, "rowcount", 0))

    def waiting(self) -> list[str]:
        """Queues of what could be done now, once for each source."""
        return [turn.queue for turn in self._turns(QUEUES)]

    def done(self, job: Claimed, result: Mapping[str, Any]) -> None:
        self._end(job, state="done", result=dict(result), error="", payload={})

    def again(self, job: Claimed, payload: Mapping[str, Any], delay: float = 0.0) -> None:
        """Puts a job back that got somewhere or could not begin; its attempts start anew."""
        self._return(job, delay, payload=dict(payload), attempts=0, error="")

    def retry(self, job: Claimed, reason: str) -> bool:
        """Puts the job back after a failure, later each time; returns False once it is a dead
        letter instead."""
        if job.attempts >= MAX_ATTEMPTS:
            self.bury(job, reason)
            return False
        self._return(job, backoff(job.attempts), error=reason)
        return True

    def bury(self, job: Claimed, reason: str, result: Mapping[str, Any] | None = None) -> None:
        """Makes a job a dead letter, which keeps its payload: a person can have it done again."""
        self._end(job, state="dead", error=reason, result=dict(result or {}))

    def drop(self, job: Claimed, reason: str) -> None:
        """Ends a failed job without a dead letter: its caller waited for it and saw the failure."""
        self._end(job, state="superseded", error=reason, payload={})

    def recover(self) -> None:
        """Frees the jobs whose workers are gone. A job that killed too many workers becomes a
        dead letter."""
        now = time.time()
        with self.ledger.session() as session:
            running = session.scalars(select(Job).where(Job.state == "running")).all()
            for job in running:
                if job.lease_until >= now and job.owner and alive(job.owner):
                    continue
                dead = job.attempts >= MAX_ATTEMPTS
                error = f"Its worker died {counted(job.attempts, 'time')}." if dead else job.error
                session.execute(
                    update(Job)
                    .where(Job.id == job.id, Job.owner == job.owner, Job.state == "running")
                    .values(state="dead" if dead else "waiting", owner=None, error=error)
                )
                if dead:
                    session.execute(
                        update(Sync)
                        .where(Sync.id == job.id)
                        .values(state="failed", error=error, finished_at=now)
                    )

    def revive(self, workspace: str, source: str, subject: str | None = None) -> int:
        """Makes dead letters of a source due again, and returns how many."""
        chosen = [Job.workspace == workspace, Job.source == source, Job.state == "dead"]
        if subject is not None:
            chosen.append(Job.subject == subject)
        with self.ledger.session() as session:
            jobs = session.scalars(select(Job).where(*chosen)).all()
            for job in jobs:
                job.state, job.attempts, job.due_at = "waiting", 0, time.time()
        for queue in {job.queue for job in jobs}:
            self.notify(queue)
        return len(jobs)

    def forget(self) -> None:
        """Deletes jobs that ended long ago. Dead letters stay until somebody saw to them."""
        old = time.time() - KEPT_SECONDS
        with self.ledger.session() as session:
            session.execute(
                delete(Job).where(Job.state.in_(("done", "superseded")), Job.finished_at < old)
            )

    def _turns(self, queues: Sequence[str]) -> list["_Turn"]:
        busy = aliased(Job)
        with self.ledger.session() as session:
            rows = session.execute(
                select(Job.workspace, Job.source, Source.served_at, func.min(Job.queue))
                .join(Source, _same_source(Job))
                .where(
                    Job.state == "waiting",
                    Job.queue.in_(queues),
                    Job.due_at <= time.time(),
                    ~select(busy.id)
                    .where(
                        busy.workspace == Job.workspace,
                        busy.source == Job.source,
                        busy.state == "running",
                    )
                    .exists(),
                )
                .group_by(Job.workspace, Job.source, Source.served_at)
                .order_by(Source.served_at)
            )
            return [_Turn(*row) for row in rows]

    def _take(self, turn: "_Turn", chosen: Any) -> Claimed | None:
        now = time.time()
        of_source = (Job.workspace == turn.workspace, Job.source == turn.source)
        with self.ledger.session() as session:
            # Locks first: whoever else is after a job of this source waits here, and finds it
            # claimed.
            served = session.execute(
                update(Source)
                .where(
                    Source.workspace == turn.workspace,
                    Source.name == turn.source,
                    Source.served_at == turn.served_at,
                )
                .values(served_at=max(now, turn.served_at + 1e-6))
            )
            if not getattr(served, "rowcount", 0):
                return None
            if session.scalar(select(Job.id).where(*of_source, Job.state == "running").limit(1)):
                return None
            job = session.scalar(
                select(Job)
                .where(*of_source, Job.state == "waiting", Job.due_at <= now, chosen)
                .order_by(Job.due_at)
                .limit(1)
            )
            if job is None:
                return None
            job.state, job.owner, job.lease_until = "running", new_owner(), now + JOB_SECONDS
            job.attempts += 1
            return Claimed(**{name: getattr(job, name) for name in Claimed.__dataclass_fields__})

    def _return(self, job: Claimed, delay: float, **values: Any) -> None:
        def newer(session: Session) -> bool:
            found = session.scalar(
                select(Job.id).where(*_about(job), Job.state == "waiting", Job.id != job.id)
            )
            return found is not None

        for attempt in patiently():
            with attempt, self.ledger.session() as session:
                if newer(session):
                    values.update(state="superseded", finished_at=time.time(), payload={})
                else:
                    values.update(state="waiting", due_at=time.time() + delay)
                _update(session, job, values)

    def _end(self, job: Claimed, **values: Any) -> None:
        for attempt in patiently():
            with attempt, self.ledger.session() as session:
                _update(session, job, {**values, "finished_at": time.time()})


class _Turn(NamedTuple):
    workspace: str
    source: str
    served_at: float
    queue: str = ""


def _add(session: Session, id: str, new: NewJob) -> None:
    if session.get(Job, id) is not None:
        return
    now = time.time()
    session.execute(
        update(Job)
        .where(*_about(new), Job.state == "waiting")
        .values(state="superseded", finished_at=now, payload={})
    )
    job = Job(id=id, state="waiting", due_at=now, created_at=now, owner=None, finished_at=None)
    for name in ("workspace", "source", "queue", "task", "subject"):
        setattr(job, name, getattr(new, name))
    # The job belongs to the trace of the request that asked for it, whoever does it.
    job.payload, job.result = {**new.payload, **tracing.carried()}, {}
    session.add(job)
    session.flush()


def _update(session: Session, job: Claimed, values: Mapping[str, Any]) -> None:
    session.execute(
        update(Job)
        .where(Job.id == job.id, Job.owner == job.owner, Job.state == "running")
        .values(owner=None, **values)
    )


def _about(job: NewJob | Claimed) -> tuple[Any, ...]:
    return Job.workspace == job.workspace, Job.source == job.source, Job.subject == job.subject


def _same_source(job: Any) -> Any:
    return (Source.workspace == job.workspace) & (Source.name == job.source)
