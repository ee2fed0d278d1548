"""Live answers that are worth asking again: which ones, whose turn it is, and what was found."""

import time
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.orm import Session

from twofold import metrics
from twofold.ledger import Ledger
from twofold.ledger.models import Answer, Conversation, Feedback, Handoff
from twofold.ledger.service import Diagnosed, HandoffReply

Signal = Literal["correction", "negative_feedback", "low_confidence", "sample"]
SIGNALS: Final[tuple[Signal, ...]] = get_args(Signal)
"""The strongest first: a later, stronger one has an answer looked into again."""
UNSURE: Final = 0.7
"""An answer that was given below this probability that the sources hold it is looked into."""
EVALUATION: Final = "evaluation-"
"""Customers that evals make up: nobody's answers."""
LEASE_S: Final = 300.0
ATTEMPTS: Final = 3
PAUSE_S: Final = 60.0
SAMPLED_OF: Final = 10_000
BATCH: Final = 500
"""Answers that one statement names: a day of a busy house has more than a database takes."""


class DueDiagnosis(NamedTuple):
    answer_id: str
    signal: Signal
    said: str
    attempts: int
    """This one included."""


class _Wanted(NamedTuple):
    answer_id: str
    workspace: str
    signal: Signal
    said: str = ""


def sweep(ledger: Ledger, share: float, since: float) -> int:
    """Queues answers that were given, rated or corrected since then (epoch seconds) and returns how
    many are new.

    `share` (0..1) of all other answers is taken at random, by their ids: every process takes the
    same ones.
    """
    now = time.time()
    with ledger.session() as session:
        wanted: dict[str, _Wanted] = {}
        for each in (
            *_corrected(session, since),
            *_rated_down(session, since),
            *_unsure_and_sampled(session, share, since),
        ):
            wanted.setdefault(each.answer_id, each)
        known: dict[str, Diagnosed] = {}
        ids = list(wanted)
        for at in range(0, len(ids), BATCH):
            named = Diagnosed.answer_id.in_(ids[at : at + BATCH])
            known |= {row.answer_id: row for row in session.scalars(select(Diagnosed).where(named))}
        new = [each for id, each in wanted.items() if id not in known]
        session.add_all(_row(each, now) for each in new)
        stronger = 0
        for id, row in known.items():
            if SIGNALS.index(wanted[id].signal) < SIGNALS.index(_signal(row.signal)):
                fresh = _row(wanted[id], now)
                for column in ("signal", "said", "state", "queued_at", "due_at", "attempts"):
                    setattr(row, column, getattr(fresh, column))
                stronger += 1
    return len(new) + stronger


def take(ledger: Ledger) -> DueDiagnosis | None:
    """Leases the next answer for LEASE_S seconds and returns it; None where none waits."""
    now = time.time()
    turn = case({signal: n for n, signal in enumerate(SIGNALS)}, value=Diagnosed.signal)
    with ledger.session() as session:
        row = session.scalars(
            select(Diagnosed)
            .where(Diagnosed.state == "waiting", Diagnosed.due_at <= now)
            .order_by(turn, Diagnosed.queued_at)
            .limit(1)
        ).first()
        if row is None:
            return None
        mine = session.execute(
            update(Diagnosed)
            .where(Diagnosed.answer_id == row.answer_id, Diagnosed.due_at == row.due_at)
            .values(due_at=now + LEASE_S, attempts=row.attempts + 1),
            execution_options={"synchronize_session": False},
        )
        if not mine.rowcount:  # type: ignore[attr-defined]
            return None  # another worker was quicker; it is asked for again
        return DueDiagnosis(row.answer_id, _signal(row.signal), row.said, row.attempts + 1)


def finish(ledger: Ledger, due: DueDiagnosis, verdict: Mapping[str, Any] | None) -> None:
    """Records the diagnosis; None: nothing is wrong with the answer."""
    found = dict(verdict or {})
    layer, cause = found.get("layer", ""), found.get("cause", "")
    values = {"state": "done", "done_at": time.time(), "verdict": found, "error": ""}
    with ledger.session() as session:
        session.execute(_of(due).values(values | {"layer": layer, "cause": cause}))
    if found:
        metrics.DIAGNOSIS_VERDICTS.labels(due.signal, layer, cause).inc()
    else:
        metrics.DIAGNOSIS_SOUND.labels(due.signal).inc()


def put_back(ledger: Ledger, due: DueDiagnosis, error: str) -> None:
    """Gives the answer back to be tried later; after ATTEMPTS it is left alone."""
    state = "waiting" if due.attempts < ATTEMPTS else "failed"
    due_at = time.time() + PAUSE_S * due.attempts
    with ledger.session() as session:
        session.execute(_of(due).values(state=state, due_at=due_at, error=error))
    metrics.DIAGNOSIS_FAILURES.inc()


def waiting(session: Session) -> int:
    count = select(func.count()).select_from(Diagnosed).where(Diagnosed.state == "waiting")
    return session.scalar(count) or 0


def expose(ledger: Ledger) -> None:
    """Lets the metrics ask this ledger how many answers wait for diagnosis."""
    metrics.DIAGNOSIS_WAITING.set_function(partial(ledger.gauge, waiting))


def _of(due: DueDiagnosis) -> Any:
    return update(Diagnosed).where(
        Diagnosed.answer_id == due.answer_id, Diagnosed.signal == due.signal
    )


def _row(wanted: _Wanted, now: float) -> Diagnosed:
    return Diagnosed(
        answer_id=wanted.answer_id,
        workspace=wanted.workspace,
        signal=wanted.signal,
        said=wanted.said,
        state="waiting",
        queued_at=now,
        due_at=now,
        attempts=0,
        verdict={},
    )


def _corrected(session: Session, since: float) -> Sequence[_Wanted]:
    """Returns hand-overs that a person answered: the reply is what should have been said. One
    that a person kept as a hand-over corrects nothing."""
    rows = session.execute(
        select(Answer.id, Answer.workspace, HandoffReply.text)
        .join(Handoff, Handoff.answer_id == Answer.id)
        .join(HandoffReply, HandoffReply.handoff_id == Handoff.id)
        .where(HandoffReply.created_at >= since, HandoffReply.action != "ESCALATE")
        .order_by(HandoffReply.id.desc())
    )
    return [_Wanted(id, workspace, "correction", text) for id, workspace, text in rows]


def _rated_down(session: Session, since: float) -> Sequence[_Wanted]:
    """Returns answers whose latest rating is down."""
    latest = select(func.max(Feedback.id)).group_by(Feedback.answer_id)
    rows = session.execute(
        select(Answer.id, Answer.workspace, Feedback.comment)
        .join(Feedback, Feedback.answer_id == Answer.id)
        .where(Feedback.id.in_(latest), Feedback.rating == "down", Feedback.created_at >= since)
    )
    return [_Wanted(id, workspace, "negative_feedback", said) for id, workspace, said in rows]


def _unsure_and_sampled(session: Session, share: float, since: float) -> Sequence[_Wanted]:
    rows = session.execute(
        select(Answer.id, Answer.workspace, Answer.action, Answer.signals)
        .join(Conversation, Conversation.id == Answer.conversation_id)
        .where(Answer.created_at >= since, _somebodys())
    )
    found = []
    for id, workspace, action, signals in rows:
        if action == "ANSWER" and signals.get("evidence", {}).get("answerable", 1.0) < UNSURE:
            found.append(_Wanted(id, workspace, "low_confidence"))
        elif zlib.crc32(id.encode()) % SAMPLED_OF < share * SAMPLED_OF:
            found.append(_Wanted(id, workspace, "sample"))
    return found


def _somebodys() -> ColumnElement[bool]:
    customer = Conversation.customer
    return or_(customer.is_(None), ~customer.startswith(EVALUATION))


def _signal(name: str) -> Signal:
    return next(signal for signal in SIGNALS if signal == name)
