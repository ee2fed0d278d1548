"""One small help center for all tests of the services, indexed once."""

from collections.abc import Iterator

import pytest
from sqlalchemy import delete

from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.services.answer.edge import Client
from tests.services.standalone.serving import small_parts
from twofold.ledger.models import Base

KNOWLEDGE = frozenset({"documents", "versions", "sources", "syncs", "failures"})
"""Tables of what was read, which stays."""


@pytest.fixture(scope="session")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    """Real parts that tests share: who changes what they know opens parts of their own."""
    with small_parts(tmp_path_factory.mktemp("lasting")) as parts:
        yield parts


@pytest.fixture
def parts(lasting: Parts) -> Parts:
    """The same as if nobody had ever asked, or got a key."""
    with lasting.stack.ledger.session() as session:
        for table in reversed(Base.metadata.sorted_tables):
            if table.name not in KNOWLEDGE:
                session.execute(delete(table))
    return lasting


@pytest.fixture
def call(parts: Parts) -> Client:
    return Client(create_app(parts))
