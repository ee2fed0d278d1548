"""After generation: only what the sources support is said, and every mark shows where.

Each sentence that claims something must carry a mark of a packed chunk whose text holds its numbers
and most of its words. What fails is taken out; the verdicts are kept in the record.
"""

import re
from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple
from urllib.parse import urlsplit

from services.answer.contract import Candidate, Draft, Verdict, Verified
from services.answer.pack import Terms
from twofold.house import HousePolicy
from twofold.prose import blocks, numbers, parts, plain
from twofold.reply import Citation, marks, strip_marks

SUPPORT = 0.5
"""Share of a sentence's content terms that must stand in what it cites."""
ADOPT = 0.75
"""Share above which an uncited sentence is given the mark of the chunk that holds it."""
MIN_TERMS = 3
"""A sentence with fewer content terms claims nothing that could be checked."""

_URL = re.compile(r"<?(https?://[^\s<>)\]`]*[^\s<>)\]`.,;:!?])>?")
_MARK = re.compile(r"\s*\[(\d{1,2})\]")


class _Claim(NamedTuple):
    text: str
    lead: str
    """White space or line break that stood before it."""
    exempt: bool
    """Tables and code: the mark of the line that follows covers them."""


def verify(draft: Draft, packed: Sequence[Candidate], terms: Terms, house: HousePolicy) -> Verified:
    """The draft's text without what cannot be shown, marks renumbered 1.. by first appearance."""
    sources = _Sources(packed, terms)
    verdicts: list[Verdict] = []
    kept: list[str] = []
    quotes = dict(draft.quotes)
    for claim in _claims(draft.text):
        text = _safe(claim.text, house)
        bare = strip_marks(text)
        cited = {n for n in marks(text) if 1 <= n <= len(packed)}
        problem = "promise" if _promises(bare, house) else ""
        if not (problem or claim.exempt or sources.claims_nothing(bare)):
            if not cited and (holder := sources.holder(bare)):
                cited, text = {holder}, f"{text} [{holder}]"
            problem = sources.problem(bare, cited)
        verdicts.append(Verdict(bare.strip(), not problem, problem))
        if not problem:
            for n in cited - quotes.keys():
                quotes[n] = sources.best_span(n, bare)
            kept.append(claim.lead + _keep_marks(text, cited))
    return _renumbered("".join(kept).strip(), packed, quotes, tuple(verdicts))


class _Sources:
    """The packed chunks, as what a sentence can be checked against. Marks count from 1."""

    def __init__(self, packed: Sequence[Candidate], terms: Terms) -> None:
        self._texts = {n: c.chunk.embedded_text for n, c in enumerate(packed, start=1)}
        self._bodies = {n: c.chunk.text for n, c in enumerate(packed, start=1)}
        self._terms = terms
        self._known: dict[int, frozenset[int]] = {}

    def claims_nothing(self, sentence: str) -> bool:
        return len(self._terms.of(sentence)) < MIN_TERMS or sentence.rstrip().endswith((":", "?"))

    def support(self, n: int, sentence: str) -> float:
        """Share (0..1) of the sentence's content terms that chunk `n` holds."""
        if n not in self._known:
            self._known[n] = self._terms.of(self._texts[n])
        words = self._terms.of(sentence)
        return len(words & self._known[n]) / len(words)

    def holder(self, sentence: str) -> int | None:
        """The chunk that holds an uncited sentence nearly whole."""
        best = max(self._texts, key=lambda n: self.support(n, sentence), default=None)
        return best if best and self.support(best, sentence) >= ADOPT else None

    def problem(self, sentence: str, cited: Set[int]) -> str:
        if not cited:
            return "uncited"
        if max(self.support(n, sentence) for n in cited) < SUPPORT:
            return "unsupported"
        held = frozenset().union(*(numbers(self._texts[n]) for n in cited))
        return "" if numbers(sentence) <= held else "number"

    def best_span(self, n: int, sentence: str) -> str:
        """The sentence, item or block of chunk `n` that shares most with `sentence`."""
        text, words = self._bodies[n], self._terms.of(sentence)
        spans = [span for block in blocks(text) for span in parts(text, block)]
        pieces = [text[span.start : span.end] for span in spans]
        return max(pieces, key=lambda piece: len(words & self._terms.of(piece)))


def _renumbered(
    text: str, packed: Sequence[Candidate], quotes: dict[int, str], verdicts: tuple[Verdict, ...]
) -> Verified:
    order: dict[int, int] = {}
    for mark in marks(text):
        order.setdefault(mark, len(order) + 1)
    text = _MARK.sub(lambda m: m[0].replace(m[1], str(order[int(m[1])])), text)
    citations = tuple(_citation(n, packed[mark - 1], quotes[mark]) for mark, n in order.items())
    return Verified(text, citations, verdicts)


def _citation(n: int, candidate: Candidate, quote: str) -> Citation:
    chunk = candidate.chunk
    title = " > ".join((chunk.title, *chunk.heading_path[-1:]))
    return Citation(
        n, chunk.id, chunk.document, chunk.key, candidate.version, title, chunk.url, quote
    )


def _claims(text: str) -> Iterator[_Claim]:
    """The text cut into sentences, items and whole tables; joined again it is the text."""
    end = 0
    for block in blocks(text):
        gap = text[end : block.span.start]
        exempt = block.kind in ("table", "code")
        spans = [block.span] if exempt else parts(text, block)
        for i, span in enumerate(spans):
            lead = gap if i == 0 else text[spans[i - 1].end : span.start]
            yield _Claim(text[span.start : span.end], lead, exempt)
        end = block.span.end


def _promises(sentence: str, house: HousePolicy) -> bool:
    return any(re.search(deed, sentence, re.IGNORECASE) for deed in house.style.promises)


def _keep_marks(text: str, cited: Set[int]) -> str:
    return _MARK.sub(lambda m: m[0] if int(m[1]) in cited else "", text)


def _safe(text: str, house: HousePolicy) -> str:
    """No images, and links only to the house's own hosts; others lose their address."""
    text = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", text)
    if any(not _allowed(url, house) for url in _URL.findall(text)):
        text = _URL.sub(lambda m: m[0] if _allowed(m[1], house) else "", plain(text))
    return text


def _allowed(url: str, house: HousePolicy) -> bool:
    return urlsplit(url).hostname in house.allowed_hosts
