"""Benchmarks that take too long to run here can at least be begun."""

from importlib import import_module
from pathlib import Path

import pytest

OTHERS = {"gate_refusals", "peer_ingest", "peer_question", "preference"}
"""Run by an interpreter with other libraries."""
NAMES = sorted({path.stem for path in Path("benchmarks").glob("*.py")} - OTHERS)


@pytest.mark.parametrize("name", NAMES)
def test_all_that_it_imports_is_there(name: str) -> None:
    import_module(f"benchmarks.{name}")
