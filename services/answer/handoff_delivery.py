"""Carries handoffs out of the outbox: at least once each, patiently, and none silently lost."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

import httpx
import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.answer.handoff_targets import SECONDS, Refused, Target
from services.answer.handoffs import packet
from twofold import metrics
from twofold.errors import TwofoldError
from twofold.house import HousePolicy
from twofold.ledger import Ledger
from twofold.ledger.models import Handoff
from twofold.ledger.service import Delivery

EVERY_S: Final = 1.0
AT_ONCE: Final = 8
LEASE_S: Final = 60.0
"""Who claimed a delivery and died leaves it to others after this."""
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 3600.0

_log = structlog.get_logger("twofold.handoffs")


class Due(NamedTuple):
    handoff_id: str
    target: str
    attempts: int
    """This one included."""


class Courier:
    """Delivers what is due. Several may run on one ledger: a delivery has one of them at a time."""

    def __init__(
        self,
        ledger: Ledger,
        house: HousePolicy,
        targets: Mapping[str, Target],
        http: httpx.Client,
        attempts: int = 10,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._house = house
        self._targets = targets
        self._http = http
        self._attempts = attempts
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            while not stop.is_set():
                try:
                    busy = self.once(pool)
                except Exception as error:
                    _log.error("the outbox cannot be read", exc_info=error)
                    busy = 0
                if busy < AT_ONCE:
                    stop.wait(EVERY_S)

    def once(self, pool: ThreadPoolExecutor | None = None) -> int:
        """One round; how many deliveries were tried."""
        self._plan()
        due = self._claim()
        deliver = map if pool is None else pool.map
        list(deliver(self._deliver, due))
        self._measure()
        return len(due)

    def _plan(self) -> None:
        """Each new handoff gets a delivery for each target that wants it."""
        with self._ledger.session() as session:
            planned = select(Delivery.handoff_id)
            new = session.scalars(
                select(Handoff.id)
                .where(Handoff.state == "pending", Handoff.id.not_in(planned))
                .limit(100)
            ).all()
        for id in new:
            try:
                with self._ledger.session() as session:
                    self._plan_one(session, id)
            except IntegrityError:
                continue  # another courier was quicker

    def _plan_one(self, session: Session, id: str) -> None:
        handoff = session.get(Handoff, id)
        if handoff is None:
            return
        names = [
            name
            for name, target in self._targets.items()
            if target.wants(handoff.workspace, handoff.team)
        ]
        # Frozen here: a receiver that gets it twice gets the same.
        handoff.packet = packet(session, handoff, self._house) | {
            "question": handoff.packet.get("question", "")
        }
        handoff.state = "pending" if names else "kept"
        session.add_all(Delivery(handoff_id=id, target=name, state="pending") for name in names)

    def _claim(self) -> list[Due]:
        now = self._clock()
        taken = []
        with self._ledger.session() as session:
            rows = session.scalars(
                select(Delivery)
                .where(
                    Delivery.state == "pending",
                    Delivery.next_attempt_at <= now,
                    Delivery.target.in_(list(self._targets)),
                )
                .order_by(Delivery.next_attempt_at)
                .limit(AT_ONCE)
            ).all()
            for row in rows:
                won = session.execute(
                    update(Delivery)
                    .where(*_is(row.handoff_id, row.target))
                    .where(Delivery.attempts == row.attempts, Delivery.state == "pending")
                    .where(Delivery.next_attempt_at == row.next_attempt_at)
                    .values(attempts=row.attempts + 1, next_attempt_at=now + LEASE_S)
                    .execution_options(synchronize_session=False)
                )
                if won.rowcount == 1:  # type: ignore[attr-defined]
                    taken.append(Due(row.handoff_id, row.target, row.attempts + 1))
        return taken

    def _deliver(self, due: Due) -> None:
        target = self._targets[due.target]
        with self._ledger.session() as session:
            handoff = session.get(Handoff, due.handoff_id)
            content = handoff.packet if handoff else None
            earlier = None
            if content is not None and content.get("follows"):
                earlier = session.get(Delivery, (content["follows"], due.target))
        if content is None:
            return  # deleted since: there is nothing to tell any more
        if earlier is not None and earlier.state == "pending":
            # Nothing was tried: it waits for what it follows.
            self._note(
                due, attempts=due.attempts - 1, next_attempt_at=self._clock() + FIRST_PAUSE_S
            )
            return
        try:
            thread = earlier.receipt if earlier is not None else ""
            receipt = target.send(self._http, content, due.attempts > 1, thread)
        except TwofoldError as error:
            self._failed(due, target.kind, error)
            return
        except Exception as error:
            _log.error("a delivery broke", handoff=due.handoff_id, exc_info=error)
            self._failed(due, target.kind, Refused(f"It broke ({type(error).__name__})."))
            return
        self._note(due, state="delivered", delivered_at=self._clock(), receipt=receipt, error="")
        metrics.HANDOFF_DELIVERIES.labels(target.kind, "delivered").inc()

    def _failed(self, due: Due, kind: str, error: TwofoldError) -> None:
        dead = due.attempts >= self._attempts
        if dead:
            self._note(due, state="dead", error=error.message)
            _log.error("a handoff waits for a person", handoff=due.handoff_id, target=due.target)
        else:
            wait = max(pause(due.attempts), getattr(error, "retry_after", 0.0))
            wait = min(wait, LONGEST_PAUSE_S)
            self._note(due, next_attempt_at=self._clock() + wait, error=error.message)
        metrics.HANDOFF_DELIVERIES.labels(kind, "dead" if dead else "failed").inc()

    def _note(self, due: Due, **values: object) -> None:
        with self._ledger.session() as session:
            session.execute(
                update(Delivery)
                .where(*_is(due.handoff_id, due.target), Delivery.state == "pending")
                .values(**values)
            )
            session.flush()
            states = set(
                session.scalars(select(Delivery.state).where(Delivery.handoff_id == due.handoff_id))
            )
            whole = {"state": _overall(states), "attempts": due.attempts}
            if whole["state"] == "delivered":
                whole["delivered_at"] = self._clock()
            session.execute(update(Handoff).where(Handoff.id == due.handoff_id).values(**whole))

    def _measure(self) -> None:
        with self._ledger.session() as session:
            waiting, oldest = session.execute(
                select(func.count(), func.min(Handoff.created_at))
                .select_from(Delivery)
                .join(Handoff, Handoff.id == Delivery.handoff_id)
                .where(Delivery.state == "pending")
            ).one()
        metrics.HANDOFF_WAITING.set(waiting)
        metrics.HANDOFF_OLDEST.set(self._clock() - oldest if oldest else 0)


def open_http() -> httpx.Client:
    # No redirects: a signed packet goes where the operator said, or nowhere.
    return httpx.Client(timeout=SECONDS, follow_redirects=False, trust_env=False)


def pause(attempts: int) -> float:
    """Seconds until the next attempt: doubling, with jitter so that a herd spreads out."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempts - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  not a secret


def _overall(states: set[str]) -> str:
    if "pending" in states:
        return "pending"
    return "failed" if "dead" in states else "delivered"


def _is(handoff_id: str, target: str) -> tuple[ColumnElement[bool], ...]:
    return Delivery.handoff_id == handoff_id, Delivery.target == target
