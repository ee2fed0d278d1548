"""A bench on a few pages of the example company."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from models.suite.suite import load_suite
from services.standalone.evals import Local
from tests.models.diagnosis.benches import EXAMPLE, PAGES, Use
from twofold.settings import Settings


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name in PAGES:
        source = EXAMPLE / "help-center" / name
        if source.exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="package")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def on_bench(pages: Path, home: Path) -> Callable[[Use], None]:
    """Runs a coroutine function on a bench of those pages, with the cases that they answer."""
    house = EXAMPLE / "house.yaml"
    cases = [
        case
        for case in load_suite(EXAMPLE / "eval", "tune")
        if case.expect.documents and set(case.expect.documents) <= set(PAGES)
    ]

    async def run(use: Use) -> None:
        local = Local(Settings(home=home, house=house))
        async with local.bench("small", pages, house, lambda *_: None) as bench:
            await use(bench, cases)

    return lambda use: asyncio.run(run(use))
