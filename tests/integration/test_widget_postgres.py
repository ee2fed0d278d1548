"""The widget's threads, sessions and quotas on PostgreSQL: the same tests a second time."""

from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer
from tests.services.widget.test_chat import *  # noqa: F403
from tests.services.widget.test_people import *  # noqa: F403
from tests.services.widget.visiting import World, world


@pytest.fixture(scope="module")
def here(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: PostgresServer,
    postgres_template: str,
) -> Iterator[World]:
    url = postgres_server.url(postgres_server.database(postgres_template))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWOFOLD_LEDGER_URL", url)
        with world(tmp_path_factory.mktemp("widget")) as found:
            assert found.widget.ledger.engine.dialect.name == "postgresql"
            yield found
