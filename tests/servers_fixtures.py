"""Fixtures of real servers, for the conftest of each folder whose tests need some."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.servers import PostgresServer, RedisServer
from twofold.ledger import Ledger


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    # Not below pytest's folder, which it closes to the user that the cluster runs as.
    with TemporaryDirectory(prefix="twofold-postgres-") as folder:
        server = PostgresServer(Path(folder))
        server.start()
        yield server
        server.stop("immediate")


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """A database with our tables in it, to copy: faster than migrating each."""
    name = postgres_server.database()
    Ledger(postgres_server.url(name)).close()
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> str:
    return postgres_server.url(postgres_server.database(postgres_template))
