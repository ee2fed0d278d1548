"""Names of products and services: who asks for one is not told what holds for another."""

import re
from collections.abc import Sequence, Set
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import yaml

from services.answer.search.expand import Synonyms
from twofold.index.contract import Chunk


class Name(NamedTuple):
    """A product or service; `kind` is what it is for."""

    kind: str
    spellings: tuple[str, ...]
    pattern: re.Pattern[str]

    def is_in(self, text: str, also: Synonyms) -> bool:
        """Returns whether the text holds it, or what the house calls it."""
        if self.pattern.search(text):
            return True
        words = also.beside(self.spellings[0]).lower().split(", ")
        return any(word and word in text.lower() for word in words)


class Unknown(NamedTuple):
    """A name that nothing found holds; `beside`: there are pages about others of its kind."""

    name: str
    beside: bool


def names_in(text: str) -> list[Name]:
    """Returns the names that the text holds; none that is part of a longer one ("Azure AD")."""
    found = [
        (match, name) for name in _lists().names for match in [name.pattern.search(text)] if match
    ]
    return [
        name
        for match, name in found
        if not any(
            other.start() <= match.start() and match.end() <= other.end() and other[0] != match[0]
            for other, _ in found
        )
    ]


def unknown(asked: str, found: Sequence[Chunk], also: Synonyms) -> list[Unknown]:
    """Returns the names in what is asked that stand nowhere in what was found, where that says
    nothing that holds for all of their kind. Where there are pages about others of a kind, only a
    heading can say that of a page."""
    said = "\n".join(chunk.embedded_text for chunk in found)
    names = []
    for name in names_in(asked):
        if name.is_in(said, also):
            continue
        own = [chunk.heading for chunk in found if not _about(chunk, {name.kind})]
        beside = len(own) < len(found)
        if not _all_of(name.kind, "\n".join(own) if beside else said):
            names.append(Unknown(name.spellings[0], beside))
    return names


def of_another(chunk: Chunk, asked: Sequence[Name], also: Synonyms) -> bool:
    """Returns whether the headings of a passage name another one of a kind than what is asked for,
    which the passage does not name."""
    if not asked or any(name.is_in(chunk.embedded_text, also) for name in asked):
        return False
    return _about(chunk, {name.kind for name in asked})


def _about(chunk: Chunk, kinds: Set[str]) -> bool:
    """Returns whether the headings of a passage name one of these kinds."""
    return any(name.kind in kinds for name in names_in(chunk.heading))


class _Lists(NamedTuple):
    """`names.yaml`. `any`: for a kind, the words of pages that hold for all of it."""

    any: dict[str, list[str]]
    names: tuple[Name, ...]


@cache
def _lists() -> _Lists:
    read = yaml.safe_load(files("services.answer.search").joinpath("names.yaml").read_text("utf-8"))
    names = (
        Name(kind, tuple(spellings), _pattern(spellings))
        for kind, each in read["kinds"].items()
        for spellings in each
    )
    return _Lists(read["any"], tuple(names))


def _all_of(kind: str, said: str) -> bool:
    low = said.lower()
    return any(word in low for word in _lists().any.get(kind, ()))


def _pattern(spellings: Sequence[str]) -> re.Pattern[str]:
    """What begins with a capital is a name only so written."""
    each = (re.escape(s) if s != s.lower() else f"(?i:{re.escape(s)})" for s in spellings)
    return re.compile(rf"(?<![\w.@/-])(?:{'|'.join(each)})(?![\w-]|\.\w)")
