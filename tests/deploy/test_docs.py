"""The docs say what the code says: no link is broken, and what they tell to run is there."""

import ast
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


# Up to where a shell, a quotation or a sentence goes on with something else.
_END = re.compile(r"[`<|&>]|[;,)](?:\s|$)|[.:](?:\s|$)|\s(?:and|or|then|—)\s|\s{3}")
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
    for line, to_run in code(page):
        for said in COMMAND.findall(line):
            wrong = refused(said, twofold, to_run=to_run)
            assert not wrong, f"{page.name}: twofold {said}: {wrong}"
        for target in TARGET.findall(line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"
        for module in MODULE.findall(line):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_what_the_program_tells_to_run_is_there() -> None:
    """In its messages, its help, its pages: every text of the code that names a command."""
    twofold = typer.main.get_command(build())
    said = {
        (place, found[1], text[: found.start()].endswith(("`", ">")))
        for place, text in texts()
        for found in COMMAND.finditer(text)
    }
    assert len(said) > 100
    wrong = {
        f"{place}: twofold {each}: {why}"
        for place, each, named in said
        if (why := refused(each, twofold, to_run=not named))
    }
    assert not wrong, "\n".join(sorted(wrong))


def texts() -> Iterator[tuple[str, str]]:
    """Yields (file, text): what stands in the strings of Python, a value in one as VALUE, and
    lines of templates and of the frontend's words."""
    for folder in ("twofold", "ingestion", "services", "models", "tools", "deploy"):
        for path in (ROOT / folder).rglob("*.py"):
            if "node_modules" in path.parts:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
                     for part in node.values}  # fmt: skip
            for node in ast.walk(tree):
                if isinstance(node, ast.JoinedStr):
                    text = "".join(
                        part.value if isinstance(part, ast.Constant) else "VALUE"
                        for part in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = "" if id(node) in parts else node.value
                else:
                    continue
                yield path.relative_to(ROOT).as_posix(), text
    for pattern in ("services/**/*.j2", "services/widget/frontend/locales/**/*.json"):
        for path in ROOT.glob(pattern):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def code(page: Path) -> Iterator[tuple[str, bool]]:
    """Yields the code of a page, line by line, without its comments, and whether it is to be run
    as it stands: what is named within a sentence may leave its arguments out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    indented = re.findall(r"^ {4}.*", text, re.MULTILINE)
    for part in (*blocks, *indented):
        yield from ((line.split(" #")[0], True) for line in part.splitlines())
    for part in re.findall(r"`([^`\n]+)`", text):
        yield part.split(" #")[0], False


def refused(said: str, at: Any, *, to_run: bool) -> str:
    """Returns why a command as it is written would be refused, empty where it would not. Where it
    is not `to_run`, it may stand alone, without what it needs; a … at its end leaves that out
    too."""
    words = [word.rstrip(",.;:)") for word in _END.split(said)[0].split()]
    while (inside := getattr(at, "commands", None)) and words and not words[0].startswith("-"):
        if words[0] not in inside:
            return f"there is no {words[0]!r}"
        at = inside[words.pop(0)]
    options = {name: each for each in at.params for name in (*each.opts, *each.secondary_opts)}
    given, loose = set(), []
    rest = iter(re.findall(r"""["“'][^"”']*["”']?|\S+""", " ".join(words)))
    for word in rest:
        name = re.split(r"[=\]]", word.lstrip("["))[0]
        if not name.startswith("--") or name in ("--help", "--json"):
            loose.append(word)
        elif name not in options:
            return f"there is no {name}"
        else:
            given.add(options[name].name)
            if not getattr(options[name], "is_flag", False) and "=" not in word:
                next(rest, None)
    if inside or "…" in words[-1:] or not (words or to_run):
        return ""
    needed = [each for each in at.params if each.required]
    arguments = [each for each in needed if each.param_type_name == "argument"]
    missing = [e.opts[0] for e in needed if e not in arguments and e.name not in given]
    return f"it needs {', '.join([*(e.name for e in arguments[len(loose) :]), *missing])}" * bool(
        missing or len(loose) < len(arguments)
    )


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
