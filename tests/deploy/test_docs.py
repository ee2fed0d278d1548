"""The docs say what the code says, and none of their links is broken."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers import need
from tools import api_table
from tools.settings_table import described, table
from twofold.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)(?:\s+\{#([\w-]+)\})?\s*$", re.MULTILINE)


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
