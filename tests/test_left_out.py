"""What a run of tests says it left out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def collected(*options: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "--collect-only", *options]
    asked = [str(HERE / "faults"), str(HERE / "test_left_out.py"), str(HERE / "test_figures.py")]
    return subprocess.run([*command, *asked], capture_output=True, text=True, check=True).stdout


@pytest.mark.heavy
def test_what_was_too_heavy_is_counted_and_how_to_run_it_is_said() -> None:
    shown = collected("-m", "not heavy")
    left = re.search(r"^ *(\d+) tests: heavy  ->  make test$", shown, re.MULTILINE)
    assert left is not None, shown
    assert f"({left[1]} deselected)" in shown
    assert int(left[1]) > 10
    assert "test_figures.py" in shown
    assert "faults" not in shown


@pytest.mark.heavy
def test_what_was_not_asked_for_is_not_called_heavy() -> None:
    assert "tests: heavy" not in collected("-k", "figures")
