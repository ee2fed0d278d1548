"""The embedded worker: jobs done by threads of the process that owns the index."""

import threading
import time

import structlog

from ingestion.jobs.job import QUEUES
from ingestion.jobs.queue import Queue
from ingestion.jobs.schedule import tick
from ingestion.jobs.tasks import work
from twofold.stack import Stack

POLL_SECONDS = 1.0
"""How late a job is seen that another process put into the ledger."""
TICK_SECONDS = 2.0
STOP_SECONDS = 30.0
"""How long a closing server waits for its jobs to reach a point where they can stop."""

log = structlog.get_logger()


class LocalWorker:
    """Runs a thread for each queue, so that a push never waits for a sync. `queue` is theirs."""

    def __init__(self, stack: Stack) -> None:
        self.queue = Queue(stack.ledger, self._wake)
        self._stack = stack
        self._stop = threading.Event()
        self._work = {name: threading.Event() for name in QUEUES}
        self._threads = [
            threading.Thread(target=self._run, args=(name,), name=f"jobs-{name}", daemon=True)
            for name in QUEUES
        ]
        self._threads.append(threading.Thread(target=self._tick, name="jobs-tick", daemon=True))

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stops where each job can go on later. Jobs under way stay in the queue."""
        self._stop.set()
        for event in self._work.values():
            event.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _wake(self, queue: str) -> None:
        self._work[queue].set()

    def _run(self, queue: str) -> None:
        there = self._work[queue]
        while not self._stop.is_set():
            # Cleared before looking: work that comes meanwhile wakes this thread again.
            there.clear()
            if not self._one(queue) and not self._stop.is_set():
                there.wait(POLL_SECONDS)

    def _one(self, queue: str) -> bool:
        try:
            return work(self._stack, self.queue, (queue,), self._stop)
        except Exception:
            # The ledger cannot be reached: the job, if there was one, is taken up again.
            log.exception("worker.stumbled", queue=queue)
            return False

    def _tick(self) -> None:
        while not self._stop.wait(TICK_SECONDS):
            try:
                tick(self.queue)
            except Exception:
                log.exception("worker.stumbled", queue="tick")
