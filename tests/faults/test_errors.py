"""What fails without killing anyone: a server that is away, a batch, a disk that is full."""

import pytest

from tests.faults.conftest import Opened
from tests.faults.test_kills import Check, Reading
from tests.faults.worker import Fault
from tests.faults.world import PUSH_AFTER
from tests.servers import wait_until

FAILING = [
    *(Fault(step, "unreachable", times=times) for step in ("write", "close", "retrieve", "delete")
      for times in (1, 4)),
    Fault("embed", "unreachable"),
    Fault("embed", "unreachable", nth=2, times=3),
    *(Fault(step, "full") for step in ("write", "close", "delete")),
]  # fmt: skip


@pytest.mark.parametrize("fault", FAILING, ids=lambda fault: f"{fault}-{fault.times}")
def test_a_step_fails_and_is_tried_again(
    fault: Fault, opened: Opened, check: Check, reader: Reading
) -> None:
    world = opened("embedded")
    with reader(world) as reading:
        world.sync()
        world.push(PUSH_AFTER)
        world.start(fault)
        world.reached()
        world.finish()
        check(world, reading)


@pytest.mark.parametrize("step", ["embed", "write", "flip", "prune"])
def test_the_ledgers_disk_is_full(step: str, opened: Opened, check: Check, reader: Reading) -> None:
    """Nothing can be written down any more, also not that it failed; until there is room again."""
    world = opened("embedded")
    with reader(world) as reading:
        world.sync()
        world.push(PUSH_AFTER)
        worker = world.start(Fault(step, "ledger-full"))
        wait_until((world.home / "ledger-was-full").exists, "the disk is full")
        world.stop(worker)
        (world.home / "ledger-full").unlink()
        world.start()
        world.finish()
        check(world, reading)
