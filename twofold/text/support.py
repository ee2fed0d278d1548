"""How well passages support a sentence: a calibrated probability, and what speaks against it.

Several signs are weighed: rare words of the sentence that a passage holds, whole or nearly; how
many stand together in two or three of its sentences, and in the same order; how its small words
agree; whether it speaks of the writer. The weights are fitted (`tools/fit/support.py`) and lie in
`support.json`. Whatever the weights say, a number, a negation or an order of words that no passage
has is never supported, nor is an address.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal, NamedTuple

from twofold.text.blocks import blocks, parts
from twofold.text.links import host_of
from twofold.text.numbers import numbers, worded
from twofold.text.wording import FUNCTION_WORDS, stem, wording

Problem = Literal["", "uncited", "unsupported", "garbled", "number", "contradicted", "address"]
"""`uncited`: nothing was cited, and nothing is there to cite."""

SIGNS: Final = ("words", "together", "missing", "order", "small", "self", "length", "numbers")
"""What is weighed, each 0..1:
`words`: share of the sentence's words, by rarity, that the passages hold; near misses count in part
`together`: the same within one unit of a passage and its neighbours
`missing`: rare words that nothing in the passages resembles, of at most four
`order`: share of neighbouring words that follow each other in the passages
`small`: share of function words that the best unit has as well
`self`: it speaks of its writer ("I", "my")
`length`: logarithm of its number of content words
`numbers`: it has a number that the passages lack"""
REACH = 3
"""Words that may be left out between two that follow each other."""
ALIKE = 0.45
"""Share of letter triples in common (Dice) from which a word resembles another."""
PLACES = 24
"""Of a word that stands more often only so many places are looked at."""
MISSING = 4
LONG = 30
SHORT = 2
"""A sentence of no more content words has none that nothing in the passages resembles."""
ROW = 0.6
"""Share of a table row's words that must stand in one unit; then it is judged as a sentence is."""
RARE = 9.0
"""Rarity (natural log of one over the share of texts) of a word that is not in the table."""
REMEMBERED = 512
"""Passages and groups of passages that are kept as read."""

_SHORT = math.log1p(SHORT + 0.5) / math.log1p(LONG)
_SELF = frozenset(("i", "my", "me", "mine", "myself", "i'm", "i've", "i'd", "i'll", "im"))
_MORE_SMALL = (
    "me my mine myself he she they them his her their theirs not no nor so if but there here just"
    " also very too more most some any all what which who whom when where why how than then about"
    " into out up over yes yeah well really like i'm it's that's don't nicht kein keine ja nein"
    " auch noch nur sehr so wenn aber hier da sie er es ihr ihre ihren mein meine was wer wie wo"
    " warum"
)
_SMALL = FUNCTION_WORDS | frozenset(_MORE_SMALL.split()) | _SELF
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+(?:['’](?:[^\W\d_])+)?")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")
_LEAD = re.compile(r"^\s*(?:[-*+]\s+|\d{1,3}[.)]\s+|\d{1,2}(?:\.\d{1,2})+\s+|#{1,6}\s+|>\s?|\*\*)*")
"""What opens an item, step, clause, heading or quotation: it counts nothing."""
_REFERENCE = re.compile(
    r"[(\[]?\b(?:(?:as (?:stated|mentioned|described|per) in|according to|see|per|from|in|laut)"
    r"\s+)?"
    r"(?:the\s+)?(?:passages?|documents?|sources?|contexts?|excerpts?|articles?|steps?|abschnitt)"
    r"\s*+(?:(?:no\.?|number|nr\.?|#)\s*+)?\d{1,2}"
    r"(?:\s*+(?:[,&]|(?<=\s)and(?=\s))\s*+\d{1,2})*+[)\]]?,?",
    re.IGNORECASE,
)
"""Points to a passage or step by its number, which counts nothing either."""
_OPENER = re.compile(
    r"^\W*(?:(?:according to|based on|as (?:stated|mentioned|described) in|per) (?:the |our )?"
    r"(?:provided |given |above |available )*(?:passages?|documents?|sources?|context|information"
    r"|text|documentation|excerpts?)(?: provided| given| above)?\s*[,:]\s*)",
    re.IGNORECASE,
)
_RULE = re.compile(r"^[\s|:-]*$|^\s*(```|~~~)")
_ADDRESS = re.compile(
    r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s<>)\]`\"']*[^\s<>)\]`\"'.,;:!?*_]"
    r"|(?<![\w.@+-])(?:[\w+-]+(?:\.[\w+-]+)*@)?(?:[\w-]{2,63}\.)+(?:[a-z]{2,24}|[A-Z]{2,24})(?![\w.-]\w)"
)
"""Links, e-mail addresses, hosts and names of files: what has a point inside is spelt as it is."""


class _Fitted(NamedTuple):
    """`support.json`: the log odds are `bias + weights · signs + squares · signs²`."""

    bias: float
    weights: tuple[float, ...]
    squares: tuple[float, ...]
    least: float
    """The probability below which a sentence is taken for unsupported."""
    rarity: dict[str, float]


def _load() -> _Fitted:
    raw = json.loads(Path(__file__).with_name("support.json").read_text(encoding="utf-8"))
    by_sign = ([raw[what][sign] for sign in SIGNS] for what in ("weights", "squares"))
    weights, squares = map(tuple, by_sign)
    return _Fitted(raw["bias"], weights, squares, raw["least"], raw["rarity"])


FITTED: Final = _load()


class SentenceSupport(NamedTuple):
    """Of one sentence: the probability (0..1) that it is supported, by which passages, and what is
    wrong with it; empty where nothing is. A caller may have problems of its own."""

    support: float
    marks: tuple[int, ...]
    problem: str


class Passage:
    """One text, or several, read for comparing. The first line is its title and headings."""

    def __init__(self, text: str, locale: str) -> None:
        self.text = text
        self._locale = locale
        head, _, body = text.partition("\n")
        headed = words(head)
        units = [headed, *(words(unit) for unit in units_of(body))]
        self._units = [frozenset(map(stem, unit)) for unit in units]
        near = zip(self._units, [*self._units[1:], frozenset()], [frozenset(), *self._units],
                   strict=False)  # fmt: skip
        self._windows = [self._units[0].union(*each) for each in near]
        self._rows = [(row, frozenset(map(stem, words(row)))) for row in rows_of(body)]
        self._all = frozenset().union(*self._units)
        self._places: dict[str, list[int]] = {}
        place = 0
        for unit in units:
            for word in unit:
                self._places.setdefault(stem(word), []).append(place)
                place += 1
            place += REACH
        self._spelt = sorted({word for unit in units for word in unit if len(word) > 3})

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Values of its numbers, written in digits or as words."""
        return numbers(self.text, self._locale) | worded(self.text)

    @cached_property
    def plain(self) -> str:
        """Its text in small letters."""
        return self.text.lower()

    @cached_property
    def _triples(self) -> dict[str, list[int]]:
        """Letter triple -> places in `_spelt` of the words that have it."""
        found: dict[str, list[int]] = {}
        for at, word in enumerate(self._spelt):
            for triple in _triples(word):
                found.setdefault(triple, []).append(at)
        return found

    def shares_row(self, row: str, locale: str) -> float:
        """Returns the most of a table's row (0..1 of its words) that stands in one unit with all
        of its numbers."""
        said = frozenset(map(stem, words(row)))
        figures = numbers(row, locale)
        shares = (
            len(said & unit) / len(said)
            for text, unit in self._rows
            if said and figures <= numbers(text, self._locale) | worded(text)
        )
        return max(shares, default=0.0)

    def signs(self, sentence: str) -> tuple[float, ...]:
        """Returns the SIGNS of a sentence against this text."""
        said = words(sentence)
        content = list(dict.fromkeys(w for w in said if w not in _SMALL and not w.isdecimal()))
        keys = [stem(word) for word in content]
        weights = [rarity(each) for each in keys]
        whole = sum(weights)
        near = [
            1.0 if each in self._all else self._resemblance(word)
            for word, each in zip(content, keys, strict=True)
        ]
        held = sum(weight * share for weight, share in zip(weights, near, strict=True))
        together, best = 0.0, 0
        for at, window in enumerate(self._windows):
            inside = sum(w for w, each in zip(weights, keys, strict=True) if each in window)
            if inside > together:
                together, best = inside, at
        small = [word for word in said if word in _SMALL]
        agreeing = sum(stem(word) in self._windows[best] for word in small)
        return (
            held / whole if whole else 0.0,
            together / whole if whole else 0.0,
            min(MISSING, sum(share < ALIKE for share in near)) / MISSING,
            self._order([stem(word) for word in said]),
            agreeing / len(small) if small else 1.0,
            float(not _SELF.isdisjoint(said)),
            math.log1p(min(LONG, len(content))) / math.log1p(LONG),
            float(not numbers(sentence, self._locale) <= self.numbers),
        )

    def _order(self, keys: Sequence[str]) -> float:
        pairs = list(pairwise(keys))
        following = sum(
            any(
                0 < b - a <= REACH
                for a in self._places.get(one, ())[:PLACES]
                for b in self._places.get(other, ())[:PLACES]
            )
            for one, other in pairs
        )
        return following / len(pairs) if pairs else float(set(keys) <= self._all)

    def _resemblance(self, word: str) -> float:
        """Returns share (0..1) of letter triples in common with the word most like it; 0 below
        ALIKE."""
        own = _triples(word)
        shared: dict[int, int] = {}
        for triple in own:
            for at in self._triples.get(triple, ()):
                shared[at] = shared.get(at, 0) + 1
        best = max(
            (2 * n / (len(own) + len(self._spelt[at])) for at, n in shared.items()), default=0.0
        )
        return best if best >= ALIKE else 0.0


class Passages:
    """What the sentences of one reply are judged against. Marks count from 1."""

    def __init__(
        self,
        texts: Sequence[str],
        locale: str = "en",
        *,
        locales: Sequence[str] = (),
        hosts: Set[str] = frozenset(),
    ) -> None:
        """`locale` is that of the sentences; `locales` those of the texts, where they differ. An
        address on one of `hosts` needs no passage."""
        self.texts = dict(enumerate(texts, start=1))
        self._locale = locale
        self._locales = dict(enumerate(locales or [locale] * len(texts), start=1))
        self._hosts = hosts
        self._known: dict[tuple[tuple[int, ...], str], float] = {}
        self._slight: set[tuple[tuple[int, ...], str]] = set()

    def __contains__(self, mark: int) -> bool:
        return mark in self.texts

    def read(self) -> None:
        """Reads the texts now, so that the first sentence need not wait for it."""
        for mark, text in self.texts.items():
            _ = passage(text, self._locales[mark]).numbers
            wording(text, self._locales[mark])

    def support(self, sentence: str, cited: Iterable[int]) -> float:
        """Returns the probability (0..1) that the cited texts together support a sentence."""
        marks, said = self._shown(cited), bare(sentence)
        if not marks or not said:
            return 0.0
        found = self._known.get((marks, said))
        if found is None:
            signs = self._of(marks).signs(said)
            # A sentence without a word of the passages is not supported, however short it is.
            found = self._known[marks, said] = probability(signs) if signs[0] else 0.0
            if _too_little(signs):
                self._slight.add((marks, said))
        return found

    def problem(self, sentence: str, cited: Iterable[int]) -> Problem:
        """Returns what is wrong with a sentence that cites those texts; empty where nothing is."""
        marks = self._shown(cited)
        if not marks:
            return "uncited"
        said, own = bare(sentence), self._of(marks)
        wordings = [wording(self.texts[mark], self._locales[mark]) for mark in marks]
        if any(each.says(said) for each in wordings):
            return ""
        if not numbers(said, self._locale) <= self._numbers(marks):
            return "number"
        if self.support(sentence, marks) < FITTED.least or (marks, said) in self._slight:
            return "unsupported"
        if any(each not in own.plain for each in self._addresses(said)):
            return "address"
        return wording(own.text, self._locales[marks[0]]).problem(said, self._locale)

    def judge(self, sentence: str, cited: Iterable[int] = ()) -> SentenceSupport:
        """Judges a sentence by the texts it cites; where they do not hold it or it cites none,
        by the one that does, or the two best that do together."""
        marks = self._shown(cited)
        problem = self.problem(sentence, marks)
        if not problem:
            return SentenceSupport(self.support(sentence, marks), marks, "")
        ranked = sorted(self.texts, key=lambda n: (-self.support(sentence, (n,)), n))
        problems = {n: self.problem(sentence, (n,)) for n in ranked}
        both = tuple(sorted(ranked[:2]))
        for each in [*((n,) for n in ranked if not problems[n]), both]:
            # Where one passage denies it or has another number, a second passage mends nothing.
            alone = len(each) == 1 or {problems[n] for n in each} <= {"unsupported"}
            if each and alone and not self.problem(sentence, each):
                return SentenceSupport(self.support(sentence, each), each, "")
        best = problems[ranked[0]] if ranked else "uncited"
        if not marks:
            problem = "uncited" if best == "unsupported" else best
        return SentenceSupport(self.support(sentence, marks or ranked[:1]), (), problem)

    def judge_table(self, table: str) -> SentenceSupport:
        """Judges a table by its rows: the cells of each must stand together in one row or
        sentence of a text, or the row be supported as a sentence is."""
        held: Counter[int] = Counter()
        for row in table.splitlines():
            if not _RULE.match(row):
                holders = [n for n in self.texts if self._holds_row(n, row)]
                if not holders:
                    return SentenceSupport(0.0, (), self.judge(row).problem or "unsupported")
                held.update(holders)
        best = max(held, key=lambda n: (held[n], -n), default=0)
        return (
            SentenceSupport(1.0, (best,), "") if best else SentenceSupport(0.0, (), "unsupported")
        )

    def _holds_row(self, mark: int, row: str) -> bool:
        own = passage(self.texts[mark], self._locales[mark])
        share = own.shares_row(row, self._locale)
        return share == 1 or (share >= ROW and not self.problem(row, (mark,)))

    def _addresses(self, said: str) -> Iterator[str]:
        for match in _ADDRESS.finditer(said):
            if host_of(match[0]) not in self._hosts and match[0] not in self._hosts:
                yield match[0].lower().rstrip(".")

    def _numbers(self, marks: Iterable[int]) -> frozenset[str]:
        return frozenset().union(
            *(passage(self.texts[mark], self._locales[mark]).numbers for mark in marks)
        )

    def _shown(self, cited: Iterable[int]) -> tuple[int, ...]:
        return tuple(sorted({mark for mark in cited if mark in self.texts}))

    def _of(self, marks: tuple[int, ...]) -> Passage:
        text = "\n\n".join(self.texts[mark] for mark in marks)
        return passage(text, self._locales[marks[0]])


@lru_cache(REMEMBERED)
def passage(text: str, locale: str) -> Passage:
    """Returns a text as read: questions share their passages."""
    return Passage(text, locale)


@lru_cache(4096)
def bare(sentence: str) -> str:
    """Returns what a sentence claims: without item marks, references to passages and their
    announcement."""
    return _OPENER.sub("", _REFERENCE.sub(" ", _LEAD.sub("", sentence))).strip()


def probability(signs: Sequence[float]) -> float:
    """Returns the fitted probability (0..1) for SIGNS."""
    odds = FITTED.bias
    for weight, square, sign in zip(FITTED.weights, FITTED.squares, signs, strict=True):
        odds += weight * sign + square * sign * sign
    return 1 / (1 + math.exp(-odds))


def _too_little(signs: Sequence[float]) -> bool:
    """Returns whether one of a sentence's few words stands nowhere: a short lie leaves little to
    be unlike its source."""
    missing, length = signs[2], signs[6]
    return missing > 0 and length < _SHORT


def rarity(word: str) -> float:
    """Returns how rare a word (by its `stem`) is among texts: natural log of one over its share
    of them."""
    return FITTED.rarity.get(word, RARE)


def words(text: str) -> list[str]:
    """Returns words in order, in small letters; scripts without spaces as overlapping pairs of
    signs."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if len(word) > 2 and _IS_UNSPACED.match(word):
            found += [word[at : at + 2] for at in range(len(word) - 1)]
        else:
            found.append(word.lower().replace("’", "'"))
    return found


def units_of(text: str) -> Iterator[str]:
    """Yields sentences, items, rows and code blocks of Markdown."""
    for block in blocks(text):
        for span in parts(text, block):
            yield text[span.start : span.end]


def rows_of(text: str) -> Iterator[str]:
    """Yields rows of tables, each below its head, and the other units."""
    for block in blocks(text):
        pieces = [text[span.start : span.end] for span in parts(text, block)]
        if block.kind == "table":
            yield from (f"{pieces[0]} {row}" for row in pieces[1:])
        if block.kind != "table" or len(pieces) == 1:
            yield from pieces


@lru_cache(8192)
def _triples(word: str) -> frozenset[str]:
    edged = f"^{word}$"
    return frozenset(edged[at : at + 3] for at in range(len(edged) - 2))
