from collections.abc import Iterator
from pathlib import Path

import pytest

from models.registry import Registry
from tests.fakes import open_ledger
from tests.servers_fixtures import postgres_server, postgres_template, postgres_url
from twofold.house_file import load_house
from twofold.ledger import Ledger
from twofold.policy import HousePolicy

__all__ = ["postgres_server", "postgres_template", "postgres_url"]

BRACKWATER = Path(__file__).parents[3] / "examples" / "brackwater" / "house.yaml"


@pytest.fixture(scope="session")
def house() -> HousePolicy:
    return load_house(BRACKWATER)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    yield ledger
    ledger.close()


@pytest.fixture
def registry(ledger: Ledger, house: HousePolicy) -> Registry:
    return Registry(ledger, house, "tester")
