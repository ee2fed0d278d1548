"""The ledger on PostgreSQL: the tests of the ingestion plane that matter most, a second time."""

import hashlib
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import tests.fakes
from tests.ingestion.conftest import home, stack, tree
from tests.ingestion.test_api import *  # noqa: F403
from tests.ingestion.test_crash import *  # noqa: F403
from tests.ingestion.test_sync import *  # noqa: F403
from tests.ingestion.test_versions import *  # noqa: F403
from tests.servers import PostgresServer
from twofold.ledger import HEAD, Ledger
from twofold.ledger.models import Base
from twofold.settings import Settings

__all__ = ["home", "stack", "tree"]
# The tests above leave what a killed process leaves; a file closes itself, a connection complains.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def _every_ledger_on_postgres(
    postgres_server: PostgresServer, postgres_template: str
) -> "pytest.Generator[None]":
    """A database for each home, as there is a file for each otherwise."""
    made: dict[str, str] = {}

    class OnPostgres(Settings):
        def __init__(self, home: Path, **others: object) -> None:
            name = hashlib.sha256(str(home).encode()).hexdigest()
            if name not in made:
                made[name] = postgres_server.url(postgres_server.database(postgres_template))
            super().__init__(home=home, ledger_url=made[name], **others)

    patch = pytest.MonkeyPatch()
    patch.setattr(tests.fakes, "Settings", OnPostgres)
    yield
    patch.undo()


def test_the_suite_above_ran_on_postgres(stack: object) -> None:
    assert stack.ledger.engine.dialect.name == "postgresql"  # type: ignore[attr-defined]


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_migrations_make_what_the_models_say(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if store == "postgresql":
        url = request.getfixturevalue("postgres_url")
    ledger = Ledger(url)
    with ledger.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == HEAD
    folder = Path(__file__).parents[2] / "twofold/ledger/migrations"
    assert ScriptDirectory(str(folder)).get_current_head() == HEAD
    ledger.close()
