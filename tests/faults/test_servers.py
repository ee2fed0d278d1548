"""Redis and PostgreSQL restarted, killed and emptied while a worker stands in the middle of it."""

import signal
from collections.abc import Callable

import pytest

from tests.faults.conftest import Opened
from tests.faults.test_kills import Check, Reading
from tests.faults.worker import Fault
from tests.faults.world import PUSH_AFTER
from tests.servers import PostgresServer, RedisServer

STEPS = ("embed", "flip", "done")


def _flush(server: RedisServer) -> None:
    with server.client() as client:
        client.flushall()


REDIS: dict[str, Callable[[RedisServer], None]] = {
    "restart": lambda server: server.restart(signal.SIGTERM),
    "kill": lambda server: server.restart(signal.SIGKILL),
    "flushall": _flush,
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("what", REDIS)
def test_redis_in_the_middle(
    what: str, step: str, opened: Opened, check: Check, reader: Reading, redis_server: RedisServer
) -> None:
    world = opened("full")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.sync()
        world.start(Fault(step, "gate"))
        world.reached()
        REDIS[what](redis_server)
        world.let_on()
        world.finish()
        check(world, reading)


@pytest.mark.parametrize("what", REDIS)
def test_redis_before_any_worker_came(
    what: str, opened: Opened, check: Check, reader: Reading, redis_server: RedisServer
) -> None:
    world = opened("full")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.sync()
        REDIS[what](redis_server)
        world.start()
        world.finish()
        check(world, reading)


def test_redis_is_away_when_work_is_accepted(
    opened: Opened, check: Check, reader: Reading, redis_server: RedisServer
) -> None:
    world = opened("full")
    redis_server.stop()
    try:
        with reader(world) as reading:
            world.push(PUSH_AFTER)
            world.sync()
            redis_server.start()
            world.start()
            world.finish()
            check(world, reading)
    finally:
        redis_server.start()


@pytest.mark.parametrize(
    ("step", "mode"), [*((step, "fast") for step in STEPS), ("write", "immediate")]
)
def test_the_database_in_the_middle(
    step: str,
    mode: str,
    opened: Opened,
    check: Check,
    reader: Reading,
    postgres_server: PostgresServer,
) -> None:
    world = opened("full")
    with reader(world) as reading:
        world.push(PUSH_AFTER)
        world.sync()
        world.start(Fault(step, "gate"))
        world.reached()
        postgres_server.restart(mode)
        world.let_on()
        world.finish()
        check(world, reading)
