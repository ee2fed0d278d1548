"""The docs say what the code says: no link is broken, and what they tell to run is there."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.servers import need
from tools import api_table
from tools.settings_table import described, table
from twofold.commands import build
from twofold.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)(?:\s+\{#([\w-]+)\})?\s*$", re.MULTILINE)


COMMAND = re.compile(r"(?<![\w/=-])(?:\.venv/bin/)?twofold (?:-C \S+ )?([a-z].*)")
TARGET = re.compile(r"(?<![\w-])make ([a-z][a-z-]*)")
MODULE = re.compile(r"python3? -m ((?:benchmarks|deploy|models|services|tools)\.[\w.]*\w)")


def anchors(page: Path) -> set[str]:
    found = set()
    for title, given in HEADING.findall(page.read_text(encoding="utf-8")):
        plain = re.sub(r"[^\w\s-]", "", title.lower())
        found |= {given or re.sub(r"\s+", "-", plain.strip())}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in [*LINK.findall(text), *IMAGE.findall(text)]:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name} links to {target}, which is not there"
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), f"{page.name} links to {target}: no such section"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_tells_to_run_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    twofold = typer.main.get_command(build())
    for line in code(page):
        for said in COMMAND.findall(line):
            assert not (wrong := unknown(said.split(), twofold)), (
                f"{page.name}: twofold {said}: {wrong}"
            )
        for target in TARGET.findall(line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"
        for module in MODULE.findall(line):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def code(page: Path) -> Iterator[str]:
    """Yields the code of a page, line by line, without its comments."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}.*", text, re.MULTILINE)
    for part in (*blocks, *indented, *re.findall(r"`([^`\n]+)`", text)):
        yield from (line.split(" #")[0] for line in part.splitlines())


def unknown(words: list[str], at: Any) -> str:
    """Returns what is wrong with a command below `at`, a command or a group; empty where nothing
    is."""
    inside = getattr(at, "commands", {})
    if inside and words and not words[0].startswith("-"):
        name = words[0].rstrip(",.;:)")
        return unknown(words[1:], inside[name]) if name in inside else f"there is no {name!r}"
    known = {option for each in at.params for option in (*each.opts, *each.secondary_opts)}
    given = {re.split(r"[=,.;:)\]]", word)[0] for word in words if word.startswith("--")}
    return ", ".join(sorted(given - known - {"--help", "--json"}))


def test_every_page_is_in_the_navigation() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())

    def pages(part: object) -> set[str]:
        if isinstance(part, str):
            return {part}
        inner = part.values() if isinstance(part, dict) else part
        return {page for each in inner for page in pages(each)}

    listed = pages(site["nav"])
    there = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    assert listed <= there
    assert {page for page in there if not page.startswith("adr/")} <= listed


def test_the_api_page_is_todays() -> None:
    published = (DOCS / "api.md").read_text()
    today = api_table.table(api_table.document())
    assert published == today, "run: python -m tools.api_table > docs/api.md"


def test_the_site_builds() -> None:
    zensical = need(next(iter((ROOT / ".venv-ops/bin").glob("zensical")), None), ".venv-ops")
    done = subprocess.run(
        [zensical, "build", "--strict", "-f", "mkdocs.yml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_page_is_todays() -> None:
    published = (DOCS / "configuration.md").read_text()
    assert published == table(), "run: python -m tools.settings_table > docs/configuration.md"
    assert described().keys() >= Settings.model_fields.keys()
