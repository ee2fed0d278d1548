"""Fourteen languages: whether the right page comes first, and the right thing is done.

    python -m benchmarks.languages [--only ja,zh] [--embedder english] [--show]

The pages of all languages stand in one index, none saying its language; then each question is asked
again of the English pages alone. Prints a table, and last one line of JSON.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from benchmarks.harness import publish
from ingestion.sources.folder import Folder
from ingestion.sync.pipeline import sync
from services.answer.app import open_parts
from services.answer.contract import Ask
from services.answer.events import Answered
from services.answer.pipeline import ask_once, find
from twofold.settings import Settings
from twofold.stack import Stack, open_stack

SUITE = Path(__file__).parent.parent / "examples" / "languages"
SOURCE = "shop"


class Case(NamedTuple):
    """A question, the page that answers it ("" where none does), and words of the answer."""

    language: str
    ask: str
    page: str
    says: str

    @property
    def key(self) -> str:
        return f"{SOURCE}/{self.language}/{self.page}.md"


class Told(NamedTuple):
    """What became of a case: the key of the page that was found first, and the answer."""

    first: str
    answered: Answered

    def acts(self, case: Case) -> bool:
        return self.answered.action == ("ANSWER" if case.page else "ESCALATE")

    def says(self, case: Case) -> bool:
        cited = case.key in [citation.document for citation in self.answered.citations]
        return not case.page or (cited and case.says in self.answered.text)


class Tally(NamedTuple):
    """Of one language; `page_first`, `told` and `across` of the questions that a page answers."""

    questions: int
    answerable: int
    page_first: int
    action: int
    told: int
    """The right page is cited, and the words of the answer stand in the reply."""
    declined: int
    across: int
    """Right page first among the English ones."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="languages, with commas between; not kept")
    parser.add_argument("--embedder", default="auto", choices=("auto", "english", "multilingual"))
    parser.add_argument("--show", action="store_true", help="print what goes wrong")
    arguments = parser.parse_args()
    languages = tuple(filter(None, arguments.only.split(",")))
    with tempfile.TemporaryDirectory() as folder:
        tallies = measure(Path(folder), languages, arguments.embedder, show=arguments.show)
    table = Table("language", "page first", "action", "told", "declined", "of English pages")
    for name, each in tallies.items():
        table.add_row(
            name,
            f"{each.page_first}/{each.answerable}",
            f"{each.action}/{each.questions}",
            f"{each.told}/{each.answerable}",
            str(each.declined),
            f"{each.across}/{each.answerable}",
        )
    if languages:
        Console().print(table)
        return
    whole = Tally(*map(sum, zip(*tallies.values(), strict=True)))
    by_language = {name: each._asdict() for name, each in tallies.items()}
    name = "languages" if arguments.embedder == "auto" else f"languages_{arguments.embedder}"
    publish(name, {"whole": whole._asdict(), "by_language": by_language}, table)


def measure(
    home: Path, languages: Sequence[str] = (), embedder: str = "auto", *, show: bool = False
) -> dict[str, Tally]:
    """Of each of the suite's languages, or of those named, under `home`."""
    suite = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in SUITE.glob("*.yaml")}
    names = [name for name in sorted(suite) if not languages or name in languages]
    cases = [
        Case(name, each["ask"], each["page"] or "", each.get("says", ""))
        for name in names
        for each in suite[name]["questions"]
    ]
    with _shop(home / "all", suite, names, names, embedder) as stack:
        told = asyncio.run(_told(stack, cases, show=show))
    with _shop(home / "english", suite, ["en"], names, embedder) as stack:
        across = asyncio.run(_first(stack, cases))
    return {name: _tally(name, cases, told, across) for name in names}


def _shop(
    home: Path, suite: Mapping[str, Any], pages: Sequence[str], spoken: Sequence[str], embedder: str
) -> Stack:
    """An index of the pages in some languages, of a house that speaks some."""
    tree = home / "pages"
    for name in pages:
        (tree / name).mkdir(parents=True)
        for page, said in suite[name]["pages"].items():
            text = f"# {said['title']}\n\n{said['text']}"
            (tree / name / f"{page}.md").write_text(text, encoding="utf-8")
    house = home / "house.yaml"
    about = {"extends": "neutral", "company": "Lumo", "product": "Lumo", "locales": [*spoken]}
    house.write_text(yaml.safe_dump(about), encoding="utf-8")
    stack = open_stack(Settings(home=home, house=house, embedder=embedder))
    sync(stack, stack.settings.workspace, Folder(SOURCE, tree))
    return stack


async def _told(stack: Stack, cases: Sequence[Case], *, show: bool) -> list[Told]:
    parts = open_parts(stack)
    found = []
    for case in cases:
        ask = Ask(case.ask, stack.settings.workspace, evaluation=True)
        searched, answered = await find(ask, parts), await ask_once(ask, parts)
        told = Told(searched.found.candidates[0].chunk.key, answered)
        found.append(told)
        if show and not (told.acts(case) and told.says(case)):
            print(f"{case.language} {case.ask}\n   {told.first} {answered.action}: {answered.text}")
    await parts.aclose()
    return found


async def _first(stack: Stack, cases: Sequence[Case]) -> list[str]:
    parts = open_parts(stack)
    asked = [Ask(case.ask, stack.settings.workspace, evaluation=True) for case in cases]
    found = [(await find(ask, parts)).found.candidates[0].chunk.key for ask in asked]
    await parts.aclose()
    return found


def _tally(name: str, cases: Sequence[Case], told: Sequence[Told], across: Sequence[str]) -> Tally:
    rows = [row for row in zip(cases, told, across, strict=True) if row[0].language == name]
    held = [row for row in rows if row[0].page]
    return Tally(
        questions=len(rows),
        answerable=len(held),
        page_first=sum(each.first == case.key for case, each, _ in held),
        action=sum(each.acts(case) for case, each, _ in rows),
        told=sum(each.says(case) for case, each, _ in held),
        declined=sum(each.answered.action == "DECLINE" for _, each, _ in rows),
        across=sum(first == f"{SOURCE}/en/{case.page}.md" for case, _, first in held),
    )


if __name__ == "__main__":
    main()
