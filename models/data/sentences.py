"""A reply's sentences, and how well the documents of a row hold them: as the service judges it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from models.data.rows import Document
from twofold.index.sparse import Bm25Encoder
from twofold.text.blocks import BlockKind
from twofold.text.silence import hedged, leads_in
from twofold.text.statements import statements
from twofold.text.support import Passages as Judge

ENCODER = Bm25Encoder()


class Sentence(NamedTuple):
    """A sentence, list item, table or code block of a reply, and the marks that stand with it."""

    text: str
    """Without its marks."""
    marks: tuple[int, ...]
    kind: BlockKind

    def rendered(self, mark: int) -> str:
        """Returns the sentence with its mark where the house sets it; 0 sets none."""
        if not mark:
            return self.text
        gap = "\n\n" if self.kind in ("table", "code") else " "
        return f"{self.text}{gap}[{mark}]"


def sentences(text: str) -> list[Sentence]:
    """Returns the reply's sentences in order. A line of marks alone belongs to the table or code
    before it."""
    found: list[Sentence] = []
    for each in statements(text):
        if found and each.marks and not each.bare.strip():
            found[-1] = found[-1]._replace(marks=(*found[-1].marks, *each.marks))
        else:
            found.append(Sentence(each.bare.strip(), each.marks, each.kind))
    return found


def joined(said: Sequence[tuple[Sentence, int]]) -> str:
    """Returns sentences, each with its mark, as reply Markdown."""
    text, previous = "", ""
    for sentence, mark in said:
        kind = sentence.kind
        gap = " " if kind == previous == "paragraph" else "\n"
        gap = gap if kind == previous and kind in ("paragraph", "list") else "\n\n"
        text += (gap if text else "") + sentence.rendered(mark)
        previous = kind
    return text


class RowPassages:
    """Judges which of one row's documents holds a sentence. Marks count from 1."""

    def __init__(self, documents: Iterable[Document], locale: str) -> None:
        self.documents = {document.n: document for document in documents}
        self._locale = locale
        self._marks = list(self.documents)
        self._judge = Judge([self.whole(n) for n in self._marks], locale)

    def terms(self, text: str) -> frozenset[int]:
        """Stems of its content words."""
        return ENCODER.terms(text, self._locale)

    def claims(self, sentence: Sentence) -> bool:
        """Returns whether it says something that must be shown."""
        return not leads_in(sentence.text) and hedged(sentence.text) is None

    def whole(self, n: int) -> str:
        """Returns title, headings and text of a document."""
        document = self.documents[n]
        return " > ".join((document.title, *document.heading_path)) + "\n" + document.text

    def support(self, n: int, text: str) -> float:
        """Returns the probability (0..1) that document `n` supports `text`."""
        return self._judge.support(text, (self._marks.index(n) + 1,))

    def hold(self, cited: Iterable[int], sentence: Sentence) -> bool:
        """Returns whether the cited documents hold what the sentence says."""
        known = [self._marks.index(n) + 1 for n in cited if n in self.documents]
        if sentence.kind == "code":
            texts = [self._judge.texts[n] for n in known]
            return any(sentence.text in text for text in texts)
        if sentence.kind == "table":
            own = [self._judge.texts[n] for n in known]
            return not Judge(own, self._locale).judge_table(sentence.text).problem
        return not self._judge.problem(sentence.text, known)

    def holder(self, sentence: Sentence, among: Iterable[int]) -> int | None:
        """Returns the document, of those, that holds most of a sentence; the earlier one on a
        tie."""
        able = [n for n in among if self.hold((n,), sentence)]
        return max(able, key=lambda n: (self.support(n, sentence.text), -n), default=None)
