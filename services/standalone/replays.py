"""Live answers that are looked into: by a task of the server itself, or by Celery's workers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import structlog

from models.diagnosis.verdicts import Verdict
from models.suite.client import AnswerClient
from services.answer import diagnoses
from services.answer.diagnoses import DueDiagnosis
from twofold.errors import NotFound, TwofoldError
from twofold.ledger import Ledger

EVERY_S: Final = 3.0
OVERLAP_S: Final = 60.0
"""Looked at again at each sweep: an answer is written a little after the time it bears."""
FIRST_S: Final = 86_400.0
"""What a process that starts looks back to: what nobody looked into while none ran."""
QUIET: Final = frozenset({"low_confidence", "sample"})
"""Nobody complained: where nothing is found, nothing is wrong."""

Attribute = Callable[[AnswerClient, Mapping[str, Any], str], Awaitable[Verdict]]
"""(client, the answer's record, what a person said of it) -> what was found."""

_log = structlog.get_logger("twofold.replays")


class Replays:
    """Takes what waits, one after the other, and keeps what is found. Several may run on one
    ledger: an answer has one of them at a time."""

    def __init__(self, ledger: Ledger, share: float, attribute: Attribute) -> None:
        self._ledger = ledger
        self._share = share
        self._attribute = attribute
        self._since = time.time() - FIRST_S

    async def sweep(self) -> int:
        """Queues what was given, rated or corrected since the last sweep, and returns how many
        are new."""
        began = time.time()
        new = await asyncio.to_thread(diagnoses.sweep, self._ledger, self._share, self._since)
        self._since = began - OVERLAP_S
        return new

    async def work(self, http: httpx.AsyncClient, until: float = float("inf")) -> int:
        """Diagnoses what waits, until none is left or that time (monotonic), and returns how
        many."""
        done = 0
        while time.monotonic() < until:
            due = await asyncio.to_thread(diagnoses.take, self._ledger)
            if due is None:
                break
            await self._look(AnswerClient(http), due)
            done += 1
        return done

    async def run(self, http: httpx.AsyncClient) -> None:
        """Diagnoses answers for as long as the server runs."""
        while True:
            try:
                await self.sweep()
                await self.work(http)
            except Exception as error:
                _log.exception("replays stumbled", error=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def _look(self, client: AnswerClient, due: DueDiagnosis) -> None:
        try:
            record = await client.record(due.answer_id)
            verdict = await self._attribute(client, record, due.said)
        except NotFound:
            return  # deleted meanwhile, and its row with it
        except (TwofoldError, ValueError, KeyError) as error:
            _log.warning("an answer was not looked into", answer=due.answer_id, why=str(error))
            await asyncio.to_thread(diagnoses.put_back, self._ledger, due, str(error)[:500])
            return
        sound = verdict.cause == "unknown" and due.signal in QUIET
        found = None if sound else verdict.model_dump(mode="json")
        await asyncio.to_thread(diagnoses.finish, self._ledger, due, found)


@asynccontextmanager
async def running(replays: Replays, http: httpx.AsyncClient) -> AsyncIterator[None]:
    """Runs the embedded worker in the server's loop while the block runs."""
    task = asyncio.create_task(replays.run(http))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await http.aclose()
