from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.faults.world import (
    AFTER,
    BEFORE,
    PUSH_AFTER,
    PUSH_BEFORE,
    Answers,
    Reader,
    World,
    copy_home,
    differences,
)
from tests.servers import PostgresServer, RedisServer
from tests.servers_fixtures import postgres_server, postgres_template, redis_server
from tests.tally import TALLY

__all__ = ["postgres_server", "postgres_template", "redis_server"]


class Undisturbed(NamedTuple):
    before: Answers
    after: Answers
    state: dict[str, Any]


@pytest.fixture(scope="session")
def embedded_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("template") / "home"
    _made(World(home))
    return home


@pytest.fixture(scope="session")
def full_template(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    postgres_template: str,
) -> tuple[Path, str]:
    home = tmp_path_factory.mktemp("template") / "home"
    database = postgres_server.database(postgres_template)
    _made(World(home, postgres_server.url(database)))
    return home, database


def _made(world: World) -> None:
    world.bring_to(BEFORE, PUSH_BEFORE)
    world.stack.index.close()
    world.close()


@pytest.fixture(scope="session")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, embedded_template: Path
) -> Iterator[Undisturbed]:
    home = tmp_path_factory.mktemp("undisturbed") / "home"
    copy_home(embedded_template, home)
    world = World(home)
    before = world.answers()
    world.bring_to(AFTER, PUSH_AFTER)
    yield Undisturbed(before, world.answers(), world.state())
    world.close()


Opened = Callable[[str], World]


@pytest.fixture
def opened(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Opened]:
    """Makes a world at BEFORE, `embedded` or `full`, with its files at AFTER already."""
    worlds: list[World] = []

    def make(size: str) -> World:
        if size == "embedded":
            copy_home(request.getfixturevalue("embedded_template"), tmp_path / "home")
            world = World(tmp_path / "home")
        else:
            home, template = request.getfixturevalue("full_template")
            copy_home(home, tmp_path / "home")
            broker: RedisServer = request.getfixturevalue("redis_server")
            with broker.client() as client:
                client.flushall()
            server: PostgresServer = request.getfixturevalue("postgres_server")
            url = server.url(server.database(template))
            world = World(tmp_path / "home", url, broker.url)
        worlds.append(world)
        world.adopt()
        world.set_files(AFTER)
        return world

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def check(undisturbed: Undisturbed) -> Callable[[World, Reader], None]:
    """After one more sync, the state is exactly that of an undisturbed run."""

    def checked(world: World, reader: Reader) -> None:
        world.sync()
        world.finish()
        assert reader.reads > 0
        found = differences(world.state(), undisturbed.state)
        TALLY["runs"] += 1
        TALLY["reads"] += reader.reads
        TALLY["wrong reads"] += len(reader.wrong)
        for name in ("lost", "orphaned", "duplicated"):
            TALLY[name] += len(found[name])
        assert {name: what for name, what in found.items() if what} == {}
        assert world.answers() == undisturbed.after
        assert reader.wrong == []
        assert world.jobs().keys() <= {"done", "superseded"}

    return checked


@pytest.fixture
def reader(undisturbed: Undisturbed) -> Callable[[World], Reader]:
    return lambda world: Reader(world, undisturbed.before, undisturbed.after)
