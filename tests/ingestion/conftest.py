import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import make_stack
from twofold.stack import Stack


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    folder.mkdir()
    return folder


@pytest.fixture
def stack(home: Path) -> Iterator[Stack]:
    with make_stack(home) as stack:
        yield stack


@pytest.fixture(scope="session")
def data() -> Path:
    """The shared corpora; tests that need them say so where they are absent."""
    default = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("TWOFOLD_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}; set TWOFOLD_DATA to them")
    return folder
