"""A reply cut into what it claims, and how well passages hold a claim: as the service judges it."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.data.rows import Document
from twofold.clients.sparse import Bm25Encoder
from twofold.prose import BlockKind, Span, blocks, numbers, parts
from twofold.reply import marks, strip_marks
from twofold.wording import wording

SUPPORT = 0.5
"""Share of a sentence's content terms that must stand in what it cites: the service's bound."""
MIN_TERMS = 3
"""A sentence with fewer content terms claims nothing: the service's bound."""

ENCODER = Bm25Encoder()

_ORDINAL = re.compile(r"^\s*\d{1,2}[.)]\s")
_ONLY_MARKS = re.compile(r"(?:\s*\[\d{1,2}\])+\s*")


class Sentence(NamedTuple):
    """A sentence, list item, table or code block of a reply, and the marks that stand with it."""

    text: str
    """Without its marks."""
    marks: tuple[int, ...]
    kind: BlockKind

    @property
    def figures(self) -> frozenset[str]:
        """Its numbers, but not that of a step."""
        return numbers(_ORDINAL.sub("", self.text))

    def rendered(self, mark: int) -> str:
        """With one mark, where the house sets it; 0 sets none."""
        if not mark:
            return self.text
        gap = "\n\n" if self.kind in ("table", "code") else " "
        return f"{self.text}{gap}[{mark}]"


def sentences(text: str) -> list[Sentence]:
    """In order. A line of marks alone belongs to the table or code before it."""
    found: list[Sentence] = []
    for block in blocks(text):
        whole = text[block.span.start : block.span.end]
        if _ONLY_MARKS.fullmatch(whole) and found:
            found[-1] = found[-1]._replace(marks=(*found[-1].marks, *marks(whole)))
            continue
        spans = [block.span] if block.kind in ("table", "code") else parts(text, block)
        found += [_sentence(text, span, block.kind) for span in spans]
    return found


def joined(said: Sequence[tuple[Sentence, int]]) -> str:
    """Sentences, each with its mark, as reply Markdown."""
    text, previous = "", ""
    for sentence, mark in said:
        kind = sentence.kind
        gap = " " if kind == previous == "paragraph" else "\n"
        gap = gap if kind == previous and kind in ("paragraph", "list") else "\n\n"
        text += (gap if text else "") + sentence.rendered(mark)
        previous = kind
    return text


class Passages:
    """The documents of one row, as what a sentence can be held against. Marks count from 1."""

    def __init__(self, documents: Iterable[Document], locale: str) -> None:
        self.documents = {document.n: document for document in documents}
        self._locale = locale
        self._words: dict[int, frozenset[int]] = {}

    def terms(self, text: str) -> frozenset[int]:
        """Stems of its content words."""
        return frozenset(ENCODER.document(text, self._locale).indices)

    def claims(self, sentence: Sentence) -> bool:
        """Whether it says something that can be checked."""
        enough = len(self.terms(sentence.text)) >= MIN_TERMS
        return enough and not sentence.text.rstrip().endswith((":", "?"))

    def whole(self, n: int) -> str:
        """Title, headings and text of a document."""
        document = self.documents[n]
        return " > ".join((document.title, *document.heading_path)) + "\n" + document.text

    def support(self, n: int, text: str) -> float:
        """Share (0..1) of the content terms of `text` that document `n` holds."""
        if n not in self._words:
            self._words[n] = self.terms(self.whole(n))
        words = self.terms(text)
        return len(words & self._words[n]) / len(words) if words else 1.0

    def hold(self, cited: Iterable[int], sentence: Sentence) -> bool:
        """Whether the cited documents hold the sentence's words and numbers, and say that."""
        known = [n for n in cited if n in self.documents]
        if not known or max(self.support(n, sentence.text) for n in known) < SUPPORT:
            return False
        if not sentence.figures <= frozenset().union(*(numbers(self.whole(n)) for n in known)):
            return False
        source = wording("\n\n".join(map(self.whole, known)))
        lined = sentence.kind in ("table", "code")
        pieces = sentence.text.splitlines() if lined else [sentence.text]
        return not any(map(source.problem, pieces))

    def holder(self, sentence: Sentence, among: Iterable[int]) -> int | None:
        """The document, of those, that holds most of a sentence; the earlier one on a tie."""
        able = [n for n in among if self.hold((n,), sentence)]
        return max(able, key=lambda n: (self.support(n, sentence.text), -n), default=None)


def _sentence(text: str, span: Span, kind: BlockKind) -> Sentence:
    said = text[span.start : span.end]
    return Sentence(strip_marks(said).strip(), tuple(marks(said)), kind)
