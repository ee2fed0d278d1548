"""The example company's approved dialogues: many, varied, in house style, and held by the pages
that they name."""

import re
from functools import cache
from pathlib import Path

import pytest

from models.data.lint.policy import unstylish
from models.data.rows import Document
from models.data.seeds import Seed, of_dialogues
from models.data.sentences import RowPassages, sentences
from twofold.errors import NotFound
from twofold.house_file import load_house
from twofold.policy import HousePolicy

HOME = Path(__file__).parents[2] / "examples" / "brackwater"
FILES = sorted((HOME / "dialogues").glob("*.yaml"))


@cache
def _house() -> HousePolicy:
    return load_house(HOME / "house.yaml")


@cache
def _all() -> list[Seed]:
    return of_dialogues(HOME / "dialogues")


@cache
def _page(name: str) -> tuple[str, str, tuple[tuple[str, ...], ...]]:
    """Locale, title, and sections as (text, heading) of a page of the help center."""
    _, front, body = (HOME / "help-center" / name).read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(re.findall(r"^(locale|title): \"?(.*?)\"?$", front, re.MULTILINE))
    parts = re.split(r"^(?=## )", body, flags=re.MULTILINE)
    sections = [
        (part.strip(), *([part.partition("\n")[0][3:]] if part.startswith("## ") else []))
        for part in parts
        if part.strip()
    ]
    return fields["locale"], fields["title"], tuple(sections)


@pytest.mark.heavy
def test_the_dialogues_are_as_many_and_varied_as_promised() -> None:
    seeds = _all()
    assert len(seeds) >= 600
    assert len({seed.ref for seed in seeds}) == len(seeds)
    assert len({(seed.question.lower(), seed.history) for seed in seeds}) == len(seeds)
    assert sum(seed.locale == "de" for seed in seeds) >= 60
    assert sum(bool(seed.history) for seed in seeds) >= 40
    assert {seed.reason for seed in seeds} - {""} == _house().reasons.keys()
    for seed in seeds:
        if seed.action == "ESCALATE":
            assert seed.team == _house().reasons[seed.reason].team, seed.ref


@pytest.mark.heavy
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_replies_are_in_house_style_and_held_by_the_pages_they_cite(file: Path) -> None:
    wrong = [f"{seed.ref}: {why}" for seed in of_dialogues(file) for why in _faults(seed)]
    assert wrong == []


def _faults(seed: Seed) -> list[str]:
    shown = "\n".join(text for c in seed.cites.values() for text, *_ in _page(c.document)[2])
    faults = list(unstylish(seed.text, _house(), shown))
    if seed.action != "ANSWER":
        return faults
    documents: list[Document] = []
    meant: dict[int, list[int]] = {}
    for mark, cite in seed.cites.items():
        locale, title, sections = _page(cite.document)
        if locale != seed.locale:
            return faults  # words of two languages cannot be held against each other
        for text, *heading in sections:
            n = len(documents) + 1
            documents.append(
                Document(
                    n=n, document=f"help/{cite.document}", version=1, chunk=str(n), title=title,
                    heading_path=tuple(heading), kind="article", text=text,
                )
            )  # fmt: skip
            meant.setdefault(mark, []).append(n)
    passages = RowPassages(documents, seed.locale)
    for sentence in sentences(seed.text):
        among = [n for mark in sentence.marks for n in meant[mark]]
        if sentence.marks and passages.holder(sentence, among) is None:
            faults.append(f"not held: {sentence.text}")
        elif not sentence.marks and passages.claims(sentence):
            faults.append(f"uncited: {sentence.text}")
    return faults


def test_a_folder_without_dialogues_says_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="Put YAML files of them there"):
        of_dialogues(tmp_path)
