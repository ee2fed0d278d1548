"""After generation: only what the sources support is said, and every mark shows where.

Output is denied by default. Each sentence, item and row must be supported by packed chunks
(`twofold.text.support`), whose marks it then carries: one that lacks its mark, or has a wrong one,
gets the right one. What fails is taken out; the verdicts are kept in the record. What a sentence
leads to must be allowed, whatever it says (`twofold.text.links`).
"""

import re
from collections.abc import Mapping, Sequence

from services.answer.contract import Candidate, Draft, Verdict, Verified
from services.answer.search.pack import Terms
from twofold.injection import asks_for_secrets, gives_orders
from twofold.policy import HousePolicy
from twofold.reply import Citation, kept_marks, renumbered
from twofold.text.blocks import blocks, parts
from twofold.text.links import allowed, host_of, settled
from twofold.text.silence import hedged, leads_in
from twofold.text.statements import Statement, statements
from twofold.text.support import Passages, SentenceSupport, words

MIN_TERMS = 3
"""A composed sentence with fewer content terms claims nothing that could be checked."""
HEAD_ROWS = 2
"""The names of a table's columns, and the rule below them."""


def verify(draft: Draft, packed: Sequence[Candidate], terms: Terms, house: HousePolicy) -> Verified:
    """Returns the draft's text without what the sources do not show, its marks renumbered from 1
    by first appearance."""
    verifier = Verifier(Sources(packed, terms), house, draft.quotes)
    for statement in statements(draft.text):
        verifier.take(statement)
    return verifier.verified()


class Verifier:
    """Takes the statements of one draft in order and keeps what may be said.

    `quotes` are spans that a reply maker took literally from the chunks it marks; where it knows
    none, a model wrote, and everything it says is checked.
    """

    def __init__(
        self, sources: "Sources", house: HousePolicy, quotes: Mapping[int, str] | None = None
    ) -> None:
        self.supported = 0
        """Statements kept that a source was found to hold."""
        self._sources = sources
        self._house = house
        self._hosts = sources.hosts | frozenset(host.lower() for host in house.allowed_hosts)
        self._promises = [re.compile(deed, re.IGNORECASE) for deed in house.style.promises]
        self._literal = bool(quotes)
        self._quotes = quotes or {}
        self._first_said: dict[int, str] = {}
        """The first statement that each mark was kept with."""
        self._order: dict[int, int] = {}
        self._verdicts: list[Verdict] = []
        self._lead = ""
        self._before = ""
        """What the statement before this one says: marks on a line of their own stand for it."""
        self._marked = False
        """The table or code before this statement was given its mark."""
        self._waiting: Statement | None = None
        """What only leads to the next statement, and is said with it or not at all."""
        self.text = ""
        """What may be said so far; it only grows."""

    def take(self, statement: Statement) -> str:
        """Returns what the statement adds to the text; empty where it may not be said."""
        # Code of a source is shown unchanged: addresses in it are no links, and it must run.
        own = statement.kind == "code" and self._sources.hold(statement.text)
        if not own:
            statement = statement._replace(text=settled(statement.text, self._hosts))
        bare = statement.bare
        lead = max(statement.lead, self._lead, key=_breaks)
        if not bare.strip() and (self._lead or not self.text or self._behind_marks(statement)):
            return ""  # marks of a table or code that was taken out, or has its mark already
        if not self._literal and leads_in(bare):
            self._lead, self._waiting = lead, statement
            return ""
        judged = self._judge(statement, bare, own=own)
        self._verdicts.append(Verdict(bare.strip(), not judged.problem, judged.problem))
        waiting, self._waiting = self._waiting, None
        if judged.problem:
            self._lead = lead
            return ""
        added = self._keep(self._lead, waiting.bare) if waiting else ""
        said = _rows(bare) if statement.whole else bare
        said = self._before = said if bare.strip() else self._before
        for n in judged.marks:
            self._first_said.setdefault(n, said)
        self.supported += judged.support > 0
        self._marked = statement.whole and bool(judged.marks) and not self._literal
        return added + self._keep(
            statement.lead if waiting else lead, self._cited(statement, judged.marks)
        )

    def _behind_marks(self, statement: Statement) -> bool:
        marked, self._marked = self._marked, False
        return marked and bool(statement.marks)

    def _cited(self, statement: Statement, wanted: Sequence[int]) -> str:
        """Returns the statement with the marks that it should have; a table's stand on a line
        behind it."""
        text = statement.text
        if statement.kind != "code":
            text = kept_marks(text, wanted)
        missing = [f"[{mark}]" for mark in wanted if mark not in statement.marks]
        gap = "\n\n" if statement.whole else " "
        return gap.join((text, *missing))

    @property
    def struck(self) -> tuple[str, ...]:
        """Problems of the sentences that were taken out, in their order."""
        return tuple(verdict.problem for verdict in self._verdicts if not verdict.ok)

    def verified(self) -> Verified:
        citations = tuple(
            citation_of(n, self._sources.packed[mark - 1], self._quote(mark))
            for mark, n in self._order.items()
        )
        return Verified(self.text, citations, tuple(self._verdicts))

    def _quote(self, mark: int) -> str:
        # Looked up at the end, when no reader waits for it.
        known = self._quotes.get(mark)
        return known or self._sources.best_span(mark, self._first_said[mark])

    def _judge(self, statement: Statement, bare: str, *, own: bool) -> SentenceSupport:
        """Returns how the sources support the statement; `support` is 0 where it claims nothing."""
        sources = self._sources
        cited = tuple(mark for mark in statement.marks if mark in sources.passages)
        if any(deed.search(bare) for deed in self._promises):
            return SentenceSupport(0, (), "promise")
        if asks_for_secrets(bare) or gives_orders(bare):
            return SentenceSupport(0, (), "planted")  # whatever page holds it
        if not bare.strip():
            return SentenceSupport(0, cited, "")
        if self._literal:
            return self._judge_quoted(statement, bare, cited)
        if _banned(bare, self._house):
            return SentenceSupport(0, (), "banned")
        if statement.kind == "code":
            holder = sources.holder(statement.text) if own else None
            return (
                SentenceSupport(1, (holder,), "")
                if holder
                else SentenceSupport(0, (), "unsupported")
            )
        if statement.kind == "table":
            return sources.passages.judge_table(bare)
        unknown = None if cited else hedged(bare)
        if unknown is not None and sources.known(unknown):
            return SentenceSupport(0, (), "")
        return sources.passages.judge(bare, cited)

    def _judge_quoted(
        self, statement: Statement, bare: str, cited: tuple[int, ...]
    ) -> SentenceSupport:
        """Returns the support of words taken from the chunks, which need no other sign than
        their mark."""
        if cited:
            return SentenceSupport(1, cited, "")
        if statement.whole or self._sources.claims_nothing(bare):
            return SentenceSupport(0, (), "")
        return self._sources.passages.judge(bare)

    def _keep(self, lead: str, text: str) -> str:
        for mark in Statement(text, "", "paragraph").marks:
            self._order.setdefault(mark, len(self._order) + 1)
        text = renumbered(text, self._order)
        # White space at the end is not sent: the next statement brings its own.
        added = (lead + text if self.text else text.lstrip()).rstrip()
        self._lead = ""
        self.text += added
        return added


class Sources:
    """The packed chunks that a reply is checked against. Marks count from 1."""

    def __init__(self, packed: Sequence[Candidate], terms: Terms) -> None:
        self.packed = packed
        self.hosts = frozenset(filter(None, (host_of(c.chunk.url) for c in packed)))
        """Of the sources' own pages: a reply may link there."""
        self.passages = Passages(
            [c.chunk.embedded_text for c in packed],
            terms.locale,
            locales=[c.chunk.locale for c in packed],
            hosts=self.hosts,
        )
        self._bodies = {n: c.chunk.text for n, c in enumerate(packed, start=1)}
        self._terms = terms

    def read(self) -> None:
        """Reads the chunks now, while a model is still waited for, not at the first sentence."""
        self.passages.read()

    def claims_nothing(self, sentence: str) -> bool:
        return len(self._terms.of(sentence)) < MIN_TERMS or sentence.rstrip().endswith((":", "?"))

    def hold(self, text: str) -> bool:
        """Returns whether `text` stands in a chunk word for word."""
        return self.holder(text) is not None

    def holder(self, text: str) -> int | None:
        """Returns the number of the chunk that holds `text` word for word; None where none does."""
        return next((n for n, body in self._bodies.items() if text in body), None)

    def known(self, text: str) -> bool:
        """Returns whether question and chunks have all content words of `text`."""
        held = frozenset().union(self._terms.question, *map(self._terms.of, self._bodies.values()))
        return self._terms.of(text) <= held

    def best_span(self, n: int, sentence: str) -> str:
        """Returns the sentence, item or block of chunk `n` that shares most with `sentence`."""
        text, said = self._bodies[n], set(words(sentence))
        spans = [span for block in blocks(text) for span in parts(text, block)]
        pieces = [text[span.start : span.end] for span in spans]
        return max(pieces, key=lambda piece: (len(said & set(words(piece))), -len(piece)))


def _rows(block: str) -> str:
    """Returns the table below its head: the head could quote every one of its rows."""
    lines = block.splitlines()
    return "\n".join(lines[HEAD_ROWS:] if block.startswith("|") else lines)


def citation_of(n: int, candidate: Candidate, quote: str) -> Citation:
    """Returns the citation of mark `[n]`: a passage and the words in it that are quoted."""
    chunk = candidate.chunk
    title = " > ".join((chunk.title, *chunk.heading_path[-1:]))
    url = chunk.url if allowed(chunk.url, {host_of(chunk.url)}) else ""
    return Citation(n, chunk.id, chunk.document, chunk.key, candidate.version, title, url, quote)


def _banned(sentence: str, house: HousePolicy) -> bool:
    lower = sentence.lower()
    return any(phrase.lower() in lower for phrase in house.style.banned)


def _breaks(white: str) -> int:
    return white.count("\n")
