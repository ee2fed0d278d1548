from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import Registry
from tests.servers_fixtures import postgres_server, postgres_template, postgres_url
from twofold.house import HousePolicy, load_house
from twofold.ledger import Ledger

__all__ = ["postgres_server", "postgres_template", "postgres_url"]

BRACKWATER = Path(__file__).parents[3] / "examples" / "brackwater" / "house.yaml"


@pytest.fixture(scope="session")
def house() -> HousePolicy:
    return load_house(BRACKWATER)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    ledger = Ledger(url)
    yield ledger
    ledger.close()


@pytest.fixture
def registry(ledger: Ledger, house: HousePolicy) -> Registry:
    return Registry(ledger, house, "tester")
