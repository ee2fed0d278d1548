"""kill -9 at every step: embedded, a Celery pool's child, and a whole Celery worker."""

from collections.abc import Callable

import pytest

from tests.faults.conftest import Opened
from tests.faults.worker import Fault
from tests.faults.world import PUSH_AFTER, Reader, World

SYNC_STEPS = (
    *("fetch", "extract", "retrieve", "embed", "write", "close", "flip", "prune"),
    *("remove", "purge", "delete", "done"),
)
PUSH_STEPS = ("extract", "embed", "write", "flip", "prune", "delete", "done")

Check = Callable[[World, Reader], None]
Reading = Callable[[World], Reader]


def both(steps: tuple[str, ...]) -> list[Fault]:
    return [Fault(step, late=late) for step in steps for late in (False, True)]


def before(steps: tuple[str, ...], kind: str = "kill") -> list[Fault]:
    return [Fault(step, kind) for step in steps]


@pytest.mark.parametrize("fault", both(SYNC_STEPS), ids=str)
def test_a_sync_embedded(fault: Fault, opened: Opened, check: Check, reader: Reading) -> None:
    world = opened("embedded")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.sync()
        world.start(fault).join()
        world.start()
        world.finish()
        check(world, reading)


@pytest.mark.parametrize("fault", both(PUSH_STEPS), ids=str)
def test_a_push_embedded(fault: Fault, opened: Opened, check: Check, reader: Reading) -> None:
    world = opened("embedded")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.start(fault).join()
        world.start()
        world.finish()
        check(world, reading)


@pytest.mark.parametrize("fault", [*before(SYNC_STEPS), Fault("done", late=True)], ids=str)
def test_a_celery_child(fault: Fault, opened: Opened, check: Check, reader: Reading) -> None:
    """The worker itself goes on: it gives the message to the next child."""
    world = opened("full")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.sync()
        world.start(fault)
        world.reached()
        world.finish()
        check(world, reading)


@pytest.mark.parametrize(
    "fault",
    before(("fetch", "embed", "write", "flip", "prune", "delete", "done"), "kill-all"),
    ids=str,
)
def test_a_celery_worker(fault: Fault, opened: Opened, check: Check, reader: Reading) -> None:
    world = opened("full")
    with reader(world) as reading:
        world.sync()
        world.push(PUSH_AFTER)
        world.start(fault).join()
        world.start()
        world.finish()
        check(world, reading)
