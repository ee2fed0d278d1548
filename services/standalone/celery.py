"""Celery's app of the whole product: ingestion's, and live answers that are looked into.

`celery -A services.standalone.celery worker`, and `... beat` for the clock.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
from celery import Celery, signals
from kombu.entity import Queue as BrokerQueue

from ingestion.jobs import celery as ingestion
from models.diagnosis.live import attribute_live
from models.diagnosis.verdicts import Verdict
from models.suite.client import AnswerClient
from services.answer.access.keys import Caller
from services.answer.app import bare_app, open_parts
from services.answer.endpoints.admission import CALLER
from services.standalone.inside import InsideTransport
from services.standalone.replays import Replays
from twofold import telemetry
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

QUEUE = "diagnosis"
TICK_SECONDS = 10.0
TURN_SECONDS = 60.0
"""Of one message; what is left waits for the next."""


def make_app(settings: Settings, opened: Callable[[Settings], Stack] = open_stack) -> Celery:
    """Returns ingestion's app with one more queue. Workers that share a ledger share its list as
    well."""
    process = _Process(settings, opened)
    app = ingestion.make_app(settings, process.stack)
    if not settings.live_diagnosis:
        return app
    app.conf.task_queues = [*app.conf.task_queues, BrokerQueue(QUEUE)]
    app.conf.beat_schedule = {
        **app.conf.beat_schedule,
        "diagnose": {
            "task": "twofold.diagnose",
            "schedule": TICK_SECONDS,
            "options": {"queue": QUEUE, "expires": TICK_SECONDS},
        },
    }
    app.task(process.diagnose, name="twofold.diagnose", typing=False, shared=False)
    signals.worker_process_shutdown.connect(process.close, weak=False)
    signals.worker_shutdown.connect(process.close, weak=False)
    return app


class _Process:
    """What a worker process opens at its first task: a fork must not share it."""

    def __init__(self, settings: Settings, opened: Callable[[Settings], Stack]) -> None:
        self._settings, self._opened = settings, opened
        self._resources = ExitStack()
        self._stack: Stack | None = None
        self._runner: asyncio.Runner | None = None

    def stack(self, settings: Settings) -> Stack:
        """Returns one for all tasks of the process. Whoever enters it first closes it."""
        if self._stack is None:
            self._stack = self._opened(settings)
        return self._stack

    def diagnose(self) -> None:
        if self._runner is None:
            self._runner = self._resources.enter_context(asyncio.Runner())
            self._http, self._replays = self._open()
        until = time.monotonic() + TURN_SECONDS
        self._runner.run(self._turn(until))

    async def _turn(self, until: float) -> None:
        await self._replays.sweep()
        await self._replays.work(self._http, until)

    def _open(self) -> tuple[httpx.AsyncClient, Replays]:
        parts = open_parts(self.stack(self._settings))
        transport = InsideTransport(bare_app(parts), {CALLER: Caller(self._settings.workspace)})
        http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

        async def attribute(client: AnswerClient, record: Mapping[str, Any], said: str) -> Verdict:
            return await attribute_live(client, record, said, parts.house)

        share = self._settings.live_diagnosis_sample
        return http, Replays(parts.stack.ledger, share, attribute)

    def close(self, **_: Any) -> None:
        self._resources.close()


def __getattr__(name: str) -> Any:
    # `celery -A` asks for it; whoever makes an app of its own must not get two.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    telemetry.configure(settings.log_json)
    return globals().setdefault("app", make_app(settings))
