"""The project's own text as material for practice: passages, with the spans that can be quoted.

Nothing of what a text says survives: each row maps content words and numbers to others, by one
mapping, so that a passage stays consistent with the questions about it. What is left to learn is
reading.
"""

import random
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from twofold.text import blocks as prose

WORD = re.compile(r"[A-Za-zÄÖÜäöüß]{4,}")
_TOKEN = re.compile(r"[A-Za-zÄÖÜäöüß]{4,}|\d+")
_FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_HEADING = re.compile(r"^(#{1,6})\s+(.+)$", re.MULTILINE)
_SYLLABLES_TEXT = (
    "ba be bi bo bu da de di do du fa fe fi fo ga ge go ka ke ki ko la le li lo lu ma me mi mo mu"
    " na ne ni no pa pe po ra re ri ro ru sa se si so ta te ti to tu va ve vi vo za zo bran cor dal"
    " fen gril hol jas kel lum mar nor pel quin ras sten tol vern wick yar"
)
_SYLLABLES = _SYLLABLES_TEXT.split()
_COMMON_TEXT = (
    "about above after again also always another any because been before being below between"
    " both cannot could does doing done down during each either else even ever every first from"
    " have here into itself just last less like long longer make many more most much must need"
    " never next none once only other over same several shall should since some such take than"
    " that their them then there these they this those through time under until upon used using"
    " very want well were what when where whether which while whom whose will with within"
    " without would your yours aber alle auch dann dass dein deine denn diese dieser durch eine"
    " einem einen einer eines haben hier ihre ihrem ihren ihrer kann kein keine mehr nach nicht"
    " noch oder sein sich sind über und unter wenn werden wird wurde zum zur"
)
HEAD_ROWS = 2
"""The names of a table's columns, and the rule below them."""
COMMON = frozenset(_COMMON_TEXT.split())
"""Words that stay: they carry a sentence's grammar, not its subject."""


class Quotable(NamedTuple):
    """A sentence, a list item, or a row of a table with that table's head."""

    span: prose.Span
    head: prose.Span | None = None


class Section(NamedTuple):
    """Text under one heading. `pieces` are what can be quoted of it, in order; code is none."""

    title: str
    heading_path: tuple[str, ...]
    text: str
    pieces: tuple[Quotable, ...]


class Corpus:
    """Sections of every Markdown file below a folder, and the words that they use."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.rglob("*.md"))
        self.texts = [file.read_text(encoding="utf-8") for file in files]
        self.sections = [s for text in self.texts for s in _sections(text) if s.pieces]

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Content words, in lower case."""
        found = {word.lower() for text in self.texts for word in WORD.findall(text)}
        return tuple(sorted(found - COMMON))


class Mapping:
    """Other words and numbers for those of a text: the same within one row, new for the next."""

    def __init__(self, rng: random.Random, words: Sequence[str], share: float) -> None:
        """`share` (0..1) of the content words are replaced; all numbers are."""
        self._rng = rng
        self._words = words
        self._share = share
        self._known: dict[str, str] = {}

    def __call__(self, text: str) -> str:
        return _TOKEN.sub(lambda match: self._other(match[0]), text)

    def _other(self, token: str) -> str:
        key = token.lower()
        if key in COMMON:
            return token
        if key not in self._known:
            self._known[key] = self._number(token) if token.isdigit() else self._word(key)
        other = self._known[key]
        return other.capitalize() if token[0].isupper() else other

    def _word(self, word: str) -> str:
        if self._rng.random() >= self._share:
            return word
        return invented(self._rng) if self._rng.random() < 0.3 else self._rng.choice(self._words)

    def _number(self, token: str) -> str:
        digits = max(1, len(token) + self._rng.choice((-1, 0, 0, 0, 1)))
        return str(self._rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits))


def invented(rng: random.Random) -> str:
    """A word that is none, such as `velkorma`."""
    return "".join(rng.choices(_SYLLABLES, k=rng.choice((2, 2, 3))))


def _sections(text: str) -> list[Section]:
    text = _FRONT_MATTER.sub("", text)
    headings = list(_HEADING.finditer(text))
    title = headings[0][2] if headings else "Help"
    found: list[Section] = []
    path: list[str] = []
    ends = [match.start() for match in headings[1:]] + [len(text)]
    for match, end in zip(headings, ends, strict=False):
        depth = len(match[1])
        path = [*path[: depth - 1], match[2]]
        body = text[match.end() : end].strip()
        pieces = tuple(piece for block in prose.blocks(body) for piece in _pieces(body, block))
        found.append(Section(title, tuple(path[1:]), body, pieces))
    return found


def _pieces(text: str, block: prose.Block) -> Iterator[Quotable]:
    spans = prose.parts(text, block)
    if block.kind in ("paragraph", "list"):
        yield from map(Quotable, spans)
    elif block.kind == "table" and len(spans) > HEAD_ROWS:
        head = prose.Span(spans[0].start, spans[HEAD_ROWS - 1].end)
        yield from (Quotable(span, head) for span in spans[HEAD_ROWS:])
