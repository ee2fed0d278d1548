"""The Makefile's own promises: what is listed, and what a clean slate leaves."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "-s", "-f", str(folder / "Makefile"), *arguments],
        cwd=folder, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return done.stdout


def test_help_lists_every_target_as_it_stands() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    told = re.findall(r"^([a-z-]+):.*?  ## (.*)$", text, re.MULTILINE)
    lines = make(ROOT, "help", "PORT=8099").splitlines()
    assert [line.split()[1] for line in lines] == [name for name, _ in told]
    assert all(
        line.endswith(said.replace("$(PORT)", "8099"))
        for line, (_, said) in zip(lines, told, strict=True)
    )
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert phony is not None
    assert {name for name, _ in told} == set(phony[1].split())


def test_clean_forgets_what_the_examples_embedded_and_nothing_else(tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for home in (".twofold", "examples/brackwater/.twofold", "examples/runbooks/.twofold"):
        (tmp_path / home).mkdir(parents=True)
        (tmp_path / home / "ledger.db").touch()
    page = tmp_path / "examples/brackwater/help-center/page.md"
    page.parent.mkdir()
    page.touch()
    make(tmp_path, "clean")
    assert list(tmp_path.rglob(".twofold")) == []
    assert page.exists()
