"""Two workers on one source, and every message and job delivered more than once."""

from collections.abc import Callable
from threading import Event

import pytest
from sqlalchemy import update

from ingestion.jobs.job import QUEUES
from ingestion.jobs.tasks import work
from tests.faults.conftest import Opened
from tests.faults.test_kills import Check, Reading
from tests.faults.worker import Fault
from tests.faults.world import PUSH_AFTER, World
from tests.ingestion.helpers import run_sync
from twofold.errors import Conflict
from twofold.ledger.models import Job, Source

TASKS: dict[str, Callable[[World], object]] = {
    "sync": lambda world: world.sync(),
    "refresh": lambda world: world.refresh("edited.md", "new.md", "removed.md"),
    "put": lambda world: world.push(PUSH_AFTER),
    "delete": lambda world: world.push(PUSH_AFTER),
}
GATES = [
    *(("sync", gate) for gate in ("fetch", "embed", "write", "flip", "prune", "remove", "done")),
    *(("refresh", "write"), ("put", "embed"), ("put", "prune"), ("delete", "purge")),
]


@pytest.mark.parametrize("task", TASKS)
def test_every_message_comes_six_times(
    task: str, opened: Opened, check: Check, reader: Reading
) -> None:
    world = opened("full")
    with reader(world) as reading:
        TASKS[task](world)
        for queue in (*QUEUES, *QUEUES) * 3:
            world.queue.notify(queue)
        world.start(children=2)
        world.finish()
        if task != "put":
            world.push(PUSH_AFTER)
        check(world, reading)


@pytest.mark.parametrize(("task", "gate"), GATES)
def test_a_job_is_given_out_a_second_time_while_it_is_done(
    task: str, gate: str, opened: Opened, check: Check, reader: Reading
) -> None:
    """As after a visibility timeout that was too short: the first one is still at it."""
    world = opened("embedded")
    with reader(world) as reading:
        TASKS[task](world)
        world.start(Fault(gate, "gate"))
        world.reached()
        with world.stack.ledger.session() as session:
            session.execute(update(Job).values(lease_until=0.0))
            session.execute(update(Source).values(lease_until=0.0))
        while work(world.stack, world.queue, QUEUES, Event()):
            pass
        world.let_on()
        world.finish()
        if task != "put":
            world.push(PUSH_AFTER)
        check(world, reading)


@pytest.mark.parametrize("size", ["embedded", "full"])
def test_two_workers_on_one_source(
    size: str, opened: Opened, check: Check, reader: Reading
) -> None:
    world = opened(size)
    with reader(world) as reading:
        world.sync()
        world.push(PUSH_AFTER)
        world.refresh("edited.md")
        world.start(children=2)
        world.start(children=2)
        world.finish()
        check(world, reading)


@pytest.mark.parametrize("step", ["embed", "flip", "prune"])
def test_a_command_beside_a_worker(
    step: str, opened: Opened, check: Check, reader: Reading
) -> None:
    world = opened("embedded")
    with reader(world) as reading:
        world.sync()
        world.start(Fault(step, "gate"))
        world.reached()
        with pytest.raises(Conflict, match="is being written by process"):
            run_sync(world.stack, world.tree)
        world.let_on()
        world.push(PUSH_AFTER)
        world.finish()
        check(world, reading)


def test_the_same_push_is_accepted_once(opened: Opened, check: Check, reader: Reading) -> None:
    world = opened("embedded")
    with reader(world) as reading:
        jobs = [
            job._replace(id=f"delivery-{n}") for n, job in enumerate(world.push_jobs(PUSH_AFTER))
        ]
        world.start()
        for _ in range(3):
            world.queue.put(jobs)
            world.finish()
        assert world.jobs()["done"] == len(jobs) + 2
        check(world, reading)
