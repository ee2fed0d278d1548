"""Carries handoffs out of the outbox: at least once each, patiently, and none silently lost."""

import asyncio
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple

import httpx
import structlog
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from services.answer.handoffs.outbox import packet
from services.answer.handoffs.targets import SECONDS, Refused, Target
from twofold import metrics
from twofold.errors import TwofoldError
from twofold.ledger import Ledger
from twofold.ledger.models import Handoff
from twofold.ledger.service import Delivery
from twofold.policy import HousePolicy

EVERY_S: Final = 1.0
AT_ONCE: Final = 4
"""Deliveries to one target."""
MOST_BYTES: Final = 1_000_000
"""Of a target's response."""
LEASE_S: Final = 60.0
"""Who claimed a delivery and died leaves it to others after this."""
FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 3600.0

_log = structlog.get_logger("twofold.handoffs")


class DueDelivery(NamedTuple):
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
        """Delivers until `stop`. Each target has places of its own: a slow one delays no other."""
        under_way: dict[str, set[Future[None]]] = {name: set() for name in self._targets}
        with ThreadPoolExecutor(AT_ONCE * len(self._targets)) as pool:
            while not stop.is_set():
                try:
                    begun = self._begin(pool, under_way)
                except Exception as error:
                    _log.error("the outbox cannot be read", exc_info=error)
                    begun = 0
                if not begun:
                    stop.wait(EVERY_S)

    def once(self) -> int:
        """Runs one round in this thread and returns how many deliveries were tried."""
        self._plan()
        due = [each for name in self._targets for each in self._claim(name, AT_ONCE)]
        for each in due:
            self._deliver(each)
        self._measure()
        return len(due)

    def _begin(self, pool: ThreadPoolExecutor, under_way: dict[str, set[Future[None]]]) -> int:
        self._plan()
        begun = 0
        for name, mine in under_way.items():
            mine -= {each for each in mine if each.done()}
            if len(mine) < AT_ONCE:
                due = self._claim(name, AT_ONCE - len(mine))
                mine |= {pool.submit(self._deliver, each) for each in due}
                begun += len(due)
        self._measure()
        return begun

    def _plan(self) -> None:
        """Makes a delivery of each new handoff for each target that wants it."""
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
        # The packet is frozen here: a receiver that gets it twice gets the same one.
        handoff.packet = packet(session, handoff, self._house) | {
            "question": handoff.packet.get("question", "")
        }
        handoff.state = "pending" if names else "kept"
        session.add_all(Delivery(handoff_id=id, target=name, state="pending") for name in names)

    def _claim(self, target: str, most: int) -> list[DueDelivery]:
        now = self._clock()
        taken = []
        with self._ledger.session() as session:
            rows = session.scalars(
                select(Delivery)
                .where(
                    Delivery.state == "pending",
                    Delivery.next_attempt_at <= now,
                    Delivery.target == target,
                )
                .order_by(Delivery.next_attempt_at)
                .limit(most)
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
                    taken.append(DueDelivery(row.handoff_id, row.target, row.attempts + 1))
        return taken

    def _deliver(self, due: DueDelivery) -> None:
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
            # Nothing was sent: the delivery waits for the one that it follows.
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

    def _failed(self, due: DueDelivery, kind: str, error: TwofoldError) -> None:
        dead = due.attempts >= self._attempts
        if dead:
            self._note(due, state="dead", error=error.message)
            _log.error("a handoff waits for a person", handoff=due.handoff_id, target=due.target)
        else:
            wait = max(pause(due.attempts), getattr(error, "retry_after", 0.0))
            wait = min(wait, LONGEST_PAUSE_S)
            self._note(due, next_attempt_at=self._clock() + wait, error=error.message)
        metrics.HANDOFF_DELIVERIES.labels(kind, "dead" if dead else "failed").inc()

    def _note(self, due: DueDelivery, **values: object) -> None:
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


class BoundedTransport(httpx.BaseTransport):
    """A request and all of its response within SECONDS and MOST_BYTES.

    httpx bounds each read: a target that sends a byte now and then would hold a delivery for ever.
    A task can be ended where a thread cannot. Nothing is unpacked: of a megabyte, gzip makes a
    gigabyte.
    """

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return asyncio.run(self._ask(request))

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        body = bytearray()
        request.headers["Accept-Encoding"] = "identity"
        try:
            async with (
                asyncio.timeout(SECONDS),
                httpx.AsyncHTTPTransport(trust_env=False) as line,
            ):
                response = await line.handle_async_request(request)
                async for piece in response.aiter_raw():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise httpx.ReadError("too large a response", request=request)
                response.headers.pop("Content-Encoding", None)
                return httpx.Response(
                    response.status_code, headers=response.headers, content=bytes(body)
                )
        except TimeoutError as error:
            raise httpx.ReadTimeout("too slow a response", request=request) from error


def open_http() -> httpx.Client:
    # No redirects: a signed packet goes where the operator said, or nowhere.
    return httpx.Client(transport=BoundedTransport(), follow_redirects=False, trust_env=False)


def pause(attempts: int) -> float:
    """Returns seconds until the next attempt: doubling, with jitter so that a herd spreads out."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempts - 1))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  not a secret


def _overall(states: set[str]) -> str:
    if "pending" in states:
        return "pending"
    return "failed" if "dead" in states else "delivered"


def _is(handoff_id: str, target: str) -> tuple[ColumnElement[bool], ...]:
    return Delivery.handoff_id == handoff_id, Delivery.target == target
