"""The Celery app: `celery -A ingestion.jobs.celery worker`, and `... beat` for the clock.

Messages carry no work, only that a queue has some: what to do stands in the ledger, which also
decides whose turn it is. A broker that forgets everything delays jobs until the next tick.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from threading import Event, Lock
from typing import Any

import structlog
from celery import Celery, signals
from kombu.entity import Queue as BrokerQueue

from ingestion.jobs import alive, metrics
from ingestion.jobs.job import QUEUES
from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import tick
from ingestion.jobs.tasks import TURN_SECONDS, work
from twofold import telemetry, tracing
from twofold.errors import SetupError
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

TICK_SECONDS = 5.0
MESSAGE_SECONDS = 120.0
"""A hint that nobody took for so long is dropped; ticks send new ones."""
VISIBILITY_SECONDS = 3600
"""Far above the longest task, a turn of a sync and one batch: else it would be given out twice."""

log = structlog.get_logger()


def make_app(settings: Settings, opened: Callable[[Settings], Stack] = open_stack) -> Celery:
    """Returns the app over one broker. `opened` makes the stack that each worker process stands
    on."""
    app = Celery("twofold", broker=settings.redis_url or "memory://", set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        # A worker that is killed leaves its message to another one.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_queues=[BrokerQueue(name) for name in (*QUEUES, "clock")],
        task_default_queue="clock",
        task_create_missing_queues=False,
        # A broker that is down must not hold up a process that only hints at work.
        task_publish_retry=False,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_SECONDS,
            # kombu looks for what was not acknowledged every 10 s only with this; else every 100.
            "unacked_restore_throttle": 1,
            "socket_connect_timeout": 2.0,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        # A warm stop lets each task come to the end of its turn.
        worker_soft_shutdown_timeout=TURN_SECONDS * 2,
        worker_hijack_root_logger=False,
        beat_schedule={
            "tick": {
                "task": "twofold.tick",
                "schedule": TICK_SECONDS,
                "options": {"queue": "clock", "expires": TICK_SECONDS},
            }
        },
    )
    process = _Process(app, settings, opened)
    # Celery's check of arguments takes a method's `self` for one that the message lacks; and a task
    # that is shared would be every other app's of this process.
    app.task(process.do, name="twofold.work", typing=False, shared=False)
    app.task(process.tick, name="twofold.tick", typing=False, shared=False)
    if settings.alive_file is not None:
        alive.tell(settings.alive_file)
    signals.worker_ready.connect(process.ready, weak=False)
    signals.worker_process_shutdown.connect(process.close, weak=False)
    signals.worker_shutdown.connect(process.close, weak=False)
    return app


class RemoteWorker:
    """Wakes workers that run elsewhere, for a process that only takes work in."""

    def __init__(self, stack: Stack) -> None:
        self._app = make_app(stack.settings)
        self.queue = Queue(stack.ledger, partial(hint, self._app))

    def start(self) -> None:
        """Does nothing: the workers run elsewhere."""

    def close(self) -> None:
        self._app.close()


def hint(app: Celery, queue: str) -> None:
    """Wakes a worker of this queue. Where the broker is away, the next tick wakes one."""
    try:
        app.send_task("twofold.work", (queue,), queue=queue, expires=MESSAGE_SECONDS)
    except Exception as error:
        log.warning("no message to the queue", queue=queue, error=type(error).__name__)


class _Process:
    """The stack of one worker process, opened at its first task: a fork must not share it."""

    def __init__(
        self, app: Celery, settings: Settings, opened: Callable[[Settings], Stack]
    ) -> None:
        self._app, self._settings, self._opened = app, settings, opened
        self._resources = ExitStack()
        self._lock = Lock()
        self._stop = Event()
        self._stack: Stack | None = None

    def do(self, queue: str) -> None:
        """Does one job; where more wait, sends the message to the end of the line again."""
        stack = self._open()
        jobs = Queue(stack.ledger, partial(hint, self._app))
        if work(stack, jobs, (queue,), self._stop) and queue in jobs.waiting():
            hint(self._app, queue)

    def tick(self) -> None:
        tick(Queue(self._open().ledger, partial(hint, self._app)))

    def ready(self, **_: Any) -> None:
        if self._settings.worker_metrics_port:
            metrics.serve(self._settings.host, self._settings.worker_metrics_port)
        # Takes up what an earlier worker left now, not at beat's first tick.
        self._app.send_task("twofold.tick", queue="clock", expires=MESSAGE_SECONDS)

    def close(self, **_: Any) -> None:
        self._stop.set()
        self._resources.close()

    def _open(self) -> Stack:
        with self._lock:
            if self._stack is None:
                if not self._settings.redis_url:
                    raise SetupError("Set TWOFOLD_REDIS_URL to the broker of these workers.")
                tracing.configure(self._settings, "worker")
                self._resources.callback(tracing.flush)
                self._stack = self._resources.enter_context(self._opened(self._settings))
            return self._stack


def __getattr__(name: str) -> Any:
    # `celery -A` asks for it; whoever makes an app of its own must not get two.
    if name != "app":
        raise AttributeError(name)
    settings = Settings()
    telemetry.configure(settings.log_json)
    return globals().setdefault("app", make_app(settings))
