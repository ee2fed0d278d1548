"""Whether a sentence keeps to the wording of a source: word order, numbers, negation.

That a source holds a sentence's words says little: it holds them for "kept 30 days" where it says
that backups are kept 14 and logs 30, for "is not refunded" where it is, and for the same words
thrown together. What each check finds and what it wrongly refuses: `benchmarks/verify.py`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from functools import lru_cache
from itertools import pairwise, takewhile
from typing import Literal, NamedTuple

from twofold.text.blocks import blocks, parts
from twofold.text.numbers import WORDS, read

Problem = Literal["", "garbled", "number", "contradicted"]

IN_ORDER = 0.4
"""Share of a sentence's neighbouring words that must follow each other in the source as well."""
REACH = 3
"""Words that may be left out between two that follow each other."""
MIN_PAIRS = 6
"""Fewer neighbours show no order."""
NEAR = 6
"""Words to each side of a number that say what it is the number of."""
REPEATS = 0.6
"""Share of a sentence's content words that one of the source's must hold to be what it repeats:
only then does a negation that one of the two lacks contradict."""
SCOPE = 3
"""Content words that a negation before them can reach."""
SHORT = 3
"""Letters of a word that is not inflected."""
REMEMBERED = 512
"""Sources whose wording is kept: some 10 MB."""

_TOKEN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?|[^\W_]+|[.;:,!?|]")
_STEP = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)]|\d{1,2}(?:\.\d{1,2})+)\s")
"""What opens a list item, or a clause of a policy: it counts nothing."""
_ANSWER = re.compile(r"^\s*(?:no|nein|not yet|yes|ja|sorry)\s*[,.:;!]\s*", re.IGNORECASE)
"""Answers the question, which may be put either way; what follows claims something."""
_NEGATION = re.compile(
    r"\A(?:not|no|never|cannot|nor|neither|none|nobody|nothing|without|\w+n['’]t"
    r"|nicht|kein\w*|nie|niemals|ohne|weder)"
)
_CLAUSE_ENDS = frozenset(".,;:!?|")
_CONDITIONS = frozenset(
    ("if", "when", "whether", "why", "unless", "until", "wenn", "falls", "ob", "warum", "sobald")
)
_FUNCTION_WORDS_LISTED = (
    "the a an of to in on for and or is are be by at it its as with that this you your we our from"
    " was been can could may might will would shall should must do does did has have had they need"
    " able der die das und oder ein eine einen einer ist sind von zu im am mit für auf den dem des"
    " wird werden kann können muss müssen"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS_LISTED.split())


@lru_cache(REMEMBERED)
def wording(text: str, locale: str = "en") -> "Wording":
    """Returns the wording of a source, which questions share."""
    return Wording(text, locale)


class _Count(NamedTuple):
    """A number, and the words that tell what it is the number of."""

    number: str
    behind: tuple[str, ...]
    """The two right behind it, as far as its clause goes, and without function words."""
    near: frozenset[str]
    """On either side, in its clause."""
    around: frozenset[str]
    """On either side; in a source all of the sentence, item or row, and what it stands below."""


class Wording:
    """A source as its words in order. The first line is its title and headings."""

    def __init__(self, text: str, locale: str = "en") -> None:
        self._locale = locale
        head, _, body = text.partition("\n")
        opening = _tokens(head, locale)
        tokens = [_tokens(_STEP.sub("", unit), locale) for unit in _units(body)]
        self._said = frozenset(map(tuple, tokens))
        """Sentences and items as they stand."""
        tokens = [[WORDS.get(token, token) for token in unit] for unit in tokens]
        self._heading_negates = any(map(negates, opening))
        self._units = [frozenset(map(stem, unit)) for unit in tokens]
        self._counts: list[_Count] = []
        self._places: dict[str, list[int]] = defaultdict(list)
        heading = frozenset(filter(_tells, map(stem, opening)))
        place = 0
        for unit in (opening, *tokens):
            keys = [stem(token) for token in unit]
            whole = heading.union(filter(_tells, keys))
            self._counts += (count._replace(around=whole) for count in _counts(keys))
            for key in keys:
                self._places[key].append(place)
                place += 1
        self._affirmed: set[str] = set()
        """Content words that are said at least once without a negation."""
        self._negated: set[str] = set()
        for unit in (opening, *tokens):
            affirmed, negated = _polarity(unit, SCOPE + 1)
            self._affirmed |= affirmed
            self._negated |= negated
        self._denied = [
            (said, key) for unit, said in zip(tokens, self._units, strict=True)
            for key in _denied(unit)
        ]  # fmt: skip

    def says(self, sentence: str) -> bool:
        """Returns whether one of its sentences or items is this one, word for word."""
        return tuple(_tokens(_STEP.sub("", sentence), self._locale)) in self._said

    def problem(self, sentence: str, locale: str = "") -> Problem:
        """Returns what the sentence (in `locale`, else the source's) makes of this wording that
        it does not say."""
        if self.says(sentence):
            return ""
        said = _ANSWER.sub("", _STEP.sub("", sentence))
        tokens = _tokens(said, locale or self._locale)
        if not self._in_order([stem(token) for token in tokens if token not in _CLAUSE_ENDS]):
            return "garbled"
        if not self._counts_alike([stem(token) for token in tokens]):
            return "number"
        return "contradicted" if self._contradicts(tokens) else ""

    def _in_order(self, keys: Sequence[str]) -> bool:
        """Returns whether enough neighbouring words are near each other in the source: a
        paraphrase keeps some runs, words thrown together keep next to none."""
        pairs = [
            any(0 < b - a <= REACH for a in self._places[one] for b in self._places[other])
            for one, other in pairwise(keys)
            if one in self._places and other in self._places
        ]
        return len(pairs) < MIN_PAIRS or sum(pairs) >= IN_ORDER * len(pairs)

    def _counts_alike(self, keys: Sequence[str]) -> bool:
        """Returns whether each number counts what it counts in the source, and stands where its
        neighbours do."""
        for said in _counts(keys):
            own = [count for count in self._counts if count.number == said.number]
            others = [count for count in self._counts if count.number != said.number]
            if not own:
                return False  # it only numbers a clause or a step
            thing = said.behind[:1]
            if any(thing == c.behind[:1] for c in others) and not any(
                {*thing} <= {*c.behind} for c in own
            ):
                return False
            alike = [c for c in others if any({*c.behind} & {*each.behind} for each in own)]
            if _closest(said.around, others) > _closest(said.around, own):
                return False
            if _closest(said.near, alike, near=True) > _closest(said.near, own, near=True):
                return False
        return True

    def _contradicts(self, tokens: Sequence[str]) -> bool:
        said = {stem(token) for token in tokens if _carries(token)}
        if not said:
            return False
        repeated = max((len(said & unit) for unit in self._units), default=0)
        repeats = repeated >= REPEATS * len(said) and not self._heading_negates
        if repeats and any(self._affirmed - self._negated >= {key} for key in _denied(tokens)):
            return True
        affirmed, negated = _polarity(tokens, SCOPE)
        return any(
            key in affirmed - negated and key not in self._affirmed
            for unit, key in self._denied
            if len(said & unit) >= REPEATS * len(said)
        )


def _units(text: str) -> Iterator[str]:
    """Yields sentences, items, code blocks, and rows of tables, each below its head."""
    for block in blocks(text):
        spans = parts(text, block)
        pieces = [text[span.start : span.end] for span in spans]
        if block.kind == "table":
            yield from (f"{pieces[0]} {row}" for row in pieces[1:])
        if block.kind != "table" or len(pieces) == 1:
            yield from pieces


def _tokens(text: str, locale: str) -> list[str]:
    """Returns words in small letters, numbers as their values, and what ends a clause."""
    found: list[str] = []
    at = 0
    for number in read(text, locale):
        found += map(_name, _TOKEN.findall(text, at, number.start))
        found.append(number.value)
        at = number.end
    return [*found, *map(_name, _TOKEN.findall(text, at))]


def _name(token: str) -> str:
    """Returns the token in small letters; a name that begins with a digit is no number."""
    return f"#{token.lower()}" if token[0].isdigit() else token.lower()


@lru_cache(8192)
def stem(token: str) -> str:
    """Returns how words are compared: by their first letters, which inflection leaves alone."""
    if any(map(str.isdigit, token)):
        return token
    return token[:6].removesuffix("s") if len(token) > SHORT else token


def _counts(keys: Sequence[str]) -> Iterator[_Count]:
    for place, key in enumerate(keys):
        if key[0].isdigit():
            before = [*reversed(keys[max(0, place - NEAR) : place])]
            after = keys[place + 1 : place + NEAR + 1]
            clause = [*takewhile(_within, after)]
            yield _Count(
                key,
                tuple(filter(_tells, clause[:2])),
                frozenset(filter(_tells, (*takewhile(_within, before), *clause))),
                frozenset(filter(_tells, (*before, *after))),
            )


def _tells(key: str) -> bool:
    return key[0].isalpha() and key not in FUNCTION_WORDS


def _within(key: str) -> bool:
    return key not in _CLAUSE_ENDS


def _closest(words: Set[str], counts: Iterable[_Count], *, near: bool = False) -> int:
    """Returns most of `words` that one of `counts` shares."""
    return max((len(words & (c.near if near else c.around)) for c in counts), default=0)


@lru_cache(8192)
def negates(token: str) -> bool:
    return _NEGATION.fullmatch(token) is not None


@lru_cache(8192)
def _carries(token: str) -> bool:
    return token[0].isalpha() and token not in FUNCTION_WORDS and not negates(token)


def _polarity(tokens: Sequence[str], scope: int) -> tuple[set[str], set[str]]:
    """Returns the content words that are said plainly, and those that are negated: a negation
    stands within `scope` of them before it, or two behind, in its clause."""
    content = [place for place, token in enumerate(tokens) if _carries(token)]
    if not any(map(negates, tokens)):
        return {stem(tokens[place]) for place in content}, set()
    affirmed: set[str] = set()
    negated: set[str] = set()
    for place in content:
        before = _reaches(reversed(tokens[:place]), scope)
        reached = before or _reaches(tokens[place + 1 :], 2)
        (negated if reached else affirmed).add(stem(tokens[place]))
    return affirmed, negated


def _reaches(tokens: Iterable[str], scope: int) -> bool:
    for token in tokens:
        if negates(token):
            return True
        scope -= _carries(token)
        if token in _CLAUSE_ENDS or scope <= 0:
            return False
    return False


def _denied(tokens: Sequence[str]) -> Iterator[str]:
    """Yields the first content word behind each negation that stands in no condition."""
    conditional, negated = False, False
    for token in tokens:
        if token in _CLAUSE_ENDS:
            conditional = negated = False
        elif token in _CONDITIONS:
            conditional, negated = True, False
        elif negates(token):
            negated = not conditional
        elif negated and _carries(token):
            negated = False
            yield stem(token)
