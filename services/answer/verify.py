"""After generation: only what the sources support is said, and every mark shows where.

Each sentence that claims something must carry a mark of a packed chunk that holds most of its words
and says with them what the sentence says (`twofold.wording`). What fails is taken out; the verdicts
are kept in the record. A sentence is judged alike in a whole draft and in one that is still being
written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import NamedTuple
from urllib.parse import urlsplit

from services.answer.contract import Candidate, Draft, Verdict, Verified
from services.answer.pack import Terms
from twofold.house import HousePolicy
from twofold.prose import blocks, numbers, parts, plain
from twofold.reply import Citation, marks, strip_marks
from twofold.wording import wording

SUPPORT = 0.5
"""Share of a sentence's content terms that must stand in what it cites."""
ADOPT = 0.75
"""Share above which an uncited sentence is given the mark of the chunk that holds it."""
MIN_TERMS = 3
"""A sentence with fewer content terms claims nothing that could be checked."""

HEAD_ROWS = 2
"""The names of a table's columns, and the rule below them."""

_URL = re.compile(r"<?(https?://[^\s<>)\]`]*[^\s<>)\]`.,;:!?])>?")
_MARK = re.compile(r"\s*\[(\d{1,2})\]")
_ORDINAL = re.compile(r"^\s*\d{1,2}[.)]\s")
_RULE = re.compile(r"^[\s|:-]*$|^\s*(```|~~~)")
_STOP = re.compile(r"[.!?…\n]")
_LETTER = re.compile(r"[^\W\d_]")
"""Behind a stop, marks, quotes and ordinals may belong to either side: a letter tells."""
_ENDING = re.compile(r"[.!?…\n][\W\d_]*\Z")
_OPENING = re.compile(r"[\s\"'“‘(*_`~|>#-]*(?:\[\d{0,2}\]?\s*)*(?:\d{1,3}[.)]?)?")
"""What may still turn out to belong to the sentence before it, a list, a table or a fence."""


class Claim(NamedTuple):
    text: str
    lead: str
    """White space or line break that stood before it."""
    exempt: bool
    """Tables and code: judged line by line, and the mark of the line that follows covers them."""


def verify(draft: Draft, packed: Sequence[Candidate], terms: Terms, house: HousePolicy) -> Verified:
    """The draft's text without what cannot be shown, marks renumbered 1.. by first appearance."""
    verifier = Verifier(Sources(packed, terms), house, draft.quotes)
    for claim in claims(draft.text):
        verifier.take(claim)
    return verifier.verified()


class Verifier:
    """Takes the claims of one draft in order and keeps what may be said.

    `quotes` are spans that a reply maker took literally from the chunks it marks; where it knows
    none, a model wrote, and everything it says is checked.
    """

    def __init__(
        self, sources: "Sources", house: HousePolicy, quotes: Mapping[int, str] | None = None
    ) -> None:
        self.supported = 0
        """Claims kept that a source was found to hold."""
        self._sources = sources
        self._house = house
        self._literal = bool(quotes)
        self._quotes = quotes or {}
        self._first_said: dict[int, str] = {}
        """The first sentence that each mark was kept with."""
        self._order: dict[int, int] = {}
        self._verdicts: list[Verdict] = []
        self._lead = ""
        self._before = ""
        """What the claim before this one says: marks on a line of their own stand for it."""
        self.text = ""
        """What may be said so far; it only grows."""

    def take(self, claim: Claim) -> str:
        """What the claim adds to the text; nothing where it may not be said."""
        # A source's own code is shown as it stands: its addresses are no links, and it must run.
        own = claim.exempt and self._sources.hold(claim.text)
        text = claim.text if own else _safe(claim.text, self._house)
        bare = strip_marks(text)
        if not bare.strip() and (self._lead or not self.text):
            return ""  # marks of a table or code block that was taken out
        cited = {n for n in marks(text) if n in self._sources}
        judged = self._judge(bare, cited, claim.exempt)
        self._verdicts.append(Verdict(bare.strip(), not judged.problem, judged.problem))
        lead = max(claim.lead, self._lead, key=lambda white: white.count("\n"))
        if judged.problem:
            self._lead = lead
            return ""
        before, self._before = self._before, _rows(bare) if claim.exempt else bare
        if judged.holder:
            cited, text = {judged.holder}, f"{text} [{judged.holder}]"
        said = bare if bare.strip() else before
        for n in cited:
            self._first_said.setdefault(n, said)
        self.supported += judged.checked
        return self._keep(lead, _keep_marks(text, cited))

    def verified(self) -> Verified:
        citations = tuple(
            _citation(n, self._sources.packed[mark - 1], self._quote(mark))
            for mark, n in self._order.items()
        )
        return Verified(self.text, citations, tuple(self._verdicts))

    def _quote(self, mark: int) -> str:
        # Looked for at the end: no reader waits for it.
        known = self._quotes.get(mark)
        return known or self._sources.best_span(mark, self._first_said[mark])

    def _judge(self, bare: str, cited: Set[int], exempt: bool) -> "_Judged":
        sources = self._sources
        if _promises(bare, self._house):
            return _Judged("promise")
        if self._literal:
            if exempt or sources.claims_nothing(bare):
                return _Judged()
        elif _banned(bare, self._house):
            return _Judged("banned")
        elif exempt:
            return _Judged(sources.stray_line(bare), checked=True)
        elif sources.claims_nothing(bare) and not (cited and sources.checkable(bare)):
            return _Judged("" if sources.numbers_known(bare) else "number")
        holder = None if cited else sources.holder(bare)
        holders = cited or ({holder} if holder else set())
        problem = sources.problem(bare, holders) or (
            "" if self._literal else sources.misread(bare, holders)
        )
        return _Judged(problem, holder, checked=True)

    def _keep(self, lead: str, text: str) -> str:
        for mark in marks(text):
            self._order.setdefault(mark, len(self._order) + 1)
        text = _MARK.sub(lambda m: m[0].replace(m[1], str(self._order[int(m[1])])), text)
        # White space at an end is never said: what follows brings its own.
        added = (lead + text if self.text else text.lstrip()).rstrip()
        self._lead = ""
        self.text += added
        return added


class _Judged(NamedTuple):
    problem: str = ""
    holder: int | None = None
    """The chunk that an uncited sentence was found in."""
    checked: bool = False


class Claims:
    """Claims of a text that is still being written, each once nothing can change it any more."""

    def __init__(self) -> None:
        self._tail = ""
        self._ends = False

    def ripe(self, piece: str) -> bool:
        """Whether what comes with `piece` may complete a claim. Asked of every token: cheap."""
        if not self._ends:
            stop = _STOP.search(piece)
            if stop is None:
                return False
            self._ends = True
            piece = piece[stop.end() :]
        return _LETTER.search(piece) is not None

    def feed(self, text: str) -> list[Claim]:
        """What is whole now. `text` is one piece or many; `ripe` may have been asked of them."""
        self._tail += text
        if not self.ripe(text):
            return []
        *whole, last = self._read()
        if whole and _OPENING.fullmatch(last.text):
            whole.pop()
        self._tail = self._tail[sum(len(c.lead) + len(c.text) for c in whole) :]
        self._ends = _ENDING.search(self._tail) is not None
        return whole

    def finish(self, *, cut: bool = False) -> list[Claim]:
        """The rest; without its last sentence where the text was `cut` off."""
        rest = self._read()
        self._tail = ""
        return rest[:-1] if cut else rest

    def _read(self) -> list[Claim]:
        # The tail may begin within a line: the space there is no indentation.
        text = self._tail.lstrip(" ")
        space = self._tail[: len(self._tail) - len(text)]
        first, *rest = list(claims(text)) or [Claim("", "", exempt=False)]
        return [first._replace(lead=space + first.lead), *rest]


class Sources:
    """The packed chunks, as what a sentence can be checked against. Marks count from 1."""

    def __init__(self, packed: Sequence[Candidate], terms: Terms) -> None:
        self.packed = packed
        self._texts = {n: c.chunk.embedded_text for n, c in enumerate(packed, start=1)}
        self._bodies = {n: c.chunk.text for n, c in enumerate(packed, start=1)}
        self._terms = terms
        self._known: dict[int, frozenset[int]] = {}
        self._numbers: dict[int, frozenset[str]] = {}

    def __contains__(self, mark: int) -> bool:
        return mark in self._texts

    def read(self) -> None:
        """Read the chunks now, while a model is still waited for, not at the first sentence."""
        for n in self._texts:
            self._words(n)
            self._figures(n)
            wording(self._texts[n])

    def claims_nothing(self, sentence: str) -> bool:
        return len(self._terms.of(sentence)) < MIN_TERMS or sentence.rstrip().endswith((":", "?"))

    def checkable(self, sentence: str) -> bool:
        return bool(self._terms.of(sentence))

    def hold(self, text: str) -> bool:
        """Whether `text` stands in a chunk as it is."""
        return any(text in body for body in self._bodies.values())

    def support(self, n: int, sentence: str) -> float:
        """Share (0..1) of the sentence's content terms that chunk `n` holds."""
        words = self._terms.of(sentence)
        return len(words & self._words(n)) / len(words) if words else 1.0

    def holder(self, sentence: str) -> int | None:
        """The chunk that holds an uncited sentence nearly whole."""
        best = max(self._texts, key=lambda n: self.support(n, sentence), default=None)
        return best if best and self.support(best, sentence) >= ADOPT else None

    def problem(self, sentence: str, cited: Set[int]) -> str:
        if not cited:
            return "uncited"
        if max(self.support(n, sentence) for n in cited) < SUPPORT:
            return "unsupported"
        held = frozenset().union(*(self._figures(n) for n in cited))
        return "" if _figures_of(sentence) <= held else "number"

    def misread(self, sentence: str, cited: Set[int]) -> str:
        """What the sentence makes of words and numbers that the cited chunks do hold."""
        return wording("\n\n".join(self._texts[n] for n in sorted(cited))).problem(sentence)

    def numbers_known(self, sentence: str) -> bool:
        """Whether any chunk holds every number of the sentence."""
        figures = _figures_of(sentence)
        return not figures or any(figures <= self._figures(n) for n in self._texts)

    def stray_line(self, block: str) -> str:
        """The problem of a table's or code block's first line that no chunk supports."""
        for line in block.splitlines():
            if _RULE.match(line):
                continue
            holders = [n for n in self._texts if not self.problem(line, {n})]
            if not holders:
                return "unsupported" if self.numbers_known(line) else "number"
            misread = [self.misread(line, {n}) for n in holders]
            if all(misread):
                return misread[0]
        return ""

    def best_span(self, n: int, sentence: str) -> str:
        """The sentence, item or block of chunk `n` that shares most with `sentence`."""
        text, words = self._bodies[n], self._terms.of(sentence)
        spans = [span for block in blocks(text) for span in parts(text, block)]
        pieces = [text[span.start : span.end] for span in spans]
        return max(pieces, key=lambda piece: len(words & self._terms.of(piece)))

    def _words(self, n: int) -> frozenset[int]:
        if n not in self._known:
            self._known[n] = self._terms.of(self._texts[n])
        return self._known[n]

    def _figures(self, n: int) -> frozenset[str]:
        if n not in self._numbers:
            self._numbers[n] = numbers(self._texts[n])
        return self._numbers[n]


def claims(text: str) -> Iterator[Claim]:
    """The text cut into sentences, items and whole tables; joined again it is the text."""
    end = 0
    for block in blocks(text):
        gap = text[end : block.span.start]
        exempt = block.kind in ("table", "code")
        spans = [block.span] if exempt else parts(text, block)
        for i, span in enumerate(spans):
            lead = gap if i == 0 else text[spans[i - 1].end : span.start]
            yield Claim(text[span.start : span.end], lead, exempt)
        end = block.span.end


def _rows(block: str) -> str:
    """What a table says below its head, which every one of its rows could be quoted by."""
    lines = block.splitlines()
    return "\n".join(lines[HEAD_ROWS:] if block.startswith("|") else lines)


def _citation(n: int, candidate: Candidate, quote: str) -> Citation:
    chunk = candidate.chunk
    title = " > ".join((chunk.title, *chunk.heading_path[-1:]))
    return Citation(
        n, chunk.id, chunk.document, chunk.key, candidate.version, title, chunk.url, quote
    )


def _figures_of(sentence: str) -> frozenset[str]:
    """Its numbers, but not that of a step: a model counts its steps as it writes them."""
    return numbers(_ORDINAL.sub("", sentence))


def _promises(sentence: str, house: HousePolicy) -> bool:
    return any(re.search(deed, sentence, re.IGNORECASE) for deed in house.style.promises)


def _banned(sentence: str, house: HousePolicy) -> bool:
    lower = sentence.lower()
    return any(phrase.lower() in lower for phrase in house.style.banned)


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
