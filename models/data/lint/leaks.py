"""Facts in a reply that its own prompt does not show: a model would learn them by heart."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from functools import cached_property
from typing import NamedTuple

from models.data.lint.findings import RowFinding, RowPlace
from models.data.rows import Row
from twofold.policy import HousePolicy
from twofold.reply import strip_marks
from twofold.text import dates
from twofold.text.numbers import Number, numbers, read, worded

FIX = "Take the fact out of the reply, or build the row from passages that hold it."

_ADDRESS = re.compile(r"(?<![\w.+-])[\w.+-]++@[\w-]++(?:\.[\w-]++)++")
_URL = re.compile(r"(?:https?://|www\.)[^\s<>)\]`]*[^\s<>)\]`.,;:!?]")
_QUOTED = re.compile(r"`([^`\n]+)`|\*\*([^*\n]+)\*\*")
_CODE = re.compile(
    r"(?<![\w-])(?:--[a-z][\w-]+|[A-Za-z]+_\w+|(?=\w*\d)(?=\w*[A-Za-z])[\w-]{2,}"
    r"|[A-Za-z]+-\d[\w-]*|[a-z]+[A-Z]\w*|[A-Z]{3,})(?![\w-])"
)
_NAME = re.compile(r"(?<![\w'-])[A-ZÄÖÜ][\w'-]*")
_OPENS = re.compile(
    r"(?:^|[.!?…:]\s|\n[^\S\n]*+(?:(?:[-*+]|\d{1,3}[.)])[^\S\n]*+)?|\|[^\S\n]*+)[\"“'*_`(\[]*$"
)
_WORD = re.compile(r"\w+(?:['-]\w+)*")
CAPITALISING = ("de",)
"""Languages that write every noun like a name."""


class WordCounts(NamedTuple):
    """Counts words in the prompts of a dataset, within sentences: small, and capital."""

    small: Counter[str]
    capital: Counter[str]

    def is_name(self, word: str) -> bool:
        """Returns whether a word that opens a sentence would be a name elsewhere as well."""
        return self.capital[word.lower()] > self.small[word.lower()]


def leaks(rows: Sequence[RowPlace], house: HousePolicy) -> Iterator[RowFinding]:
    """Prices, percentages, dates, numbers, addresses, links, codes, names and product terms."""
    terms = [topic.lower() for topic in house.topics]
    own = _words_of(house)
    written = _written(rows)
    for place in rows:
        for what, fact in _strange(place.row, own, terms, written):
            yield place.finding("leak", f"{what} {fact!r} stands nowhere in its prompt", FIX)


class _Shown:
    """Tells what facts a text shows."""

    def __init__(self, text: str, locale: str) -> None:
        self._text = text
        self._small = text.lower()
        self._locale = locale

    @cached_property
    def words(self) -> frozenset[str]:
        return frozenset(_WORD.findall(self._small))

    @cached_property
    def stems(self) -> frozenset[str]:
        """Words without the ending that makes a plural or a genitive."""
        return frozenset(_stem(word) for word in self.words)

    @cached_property
    def figures(self) -> frozenset[str]:
        """Its numbers, also those within names, and the parts of those that stand together."""
        inside = set(re.findall(r"\d+(?:[.,:]\d+)*", self._text))
        return numbers(self._text, self._locale) | worded(self._text) | inside

    @cached_property
    def amounts(self) -> frozenset[tuple[str, str]]:
        return frozenset(map(_amount, _amounts(self._text, self._locale)))

    @cached_property
    def days(self) -> frozenset[tuple[int, int | None]]:
        return frozenset((date.month, date.day) for date in dates.read(self._text))

    def holds(self, phrase: str) -> bool:
        return phrase.lower() in self._small


def _strange(
    row: Row, own: str, terms: Sequence[str], written: WordCounts
) -> Iterator[tuple[str, str]]:
    """Yields (what it is, the fact) of everything in the reply that the prompt does not show."""
    text = strip_marks(row.text)
    shown = _Shown(
        "\n".join(
            (
                own,
                *(" > ".join((d.title, *d.heading_path)) for d in row.documents),
                *(d.text for d in row.documents),
                *(turn.text for turn in row.history),
                row.question,
            )
        ),
        row.locale,
    )
    seen: set[str] = set()
    for what, fact in _facts(text, shown, terms, written, row.locale):
        if fact.lower() not in seen:
            seen.add(fact.lower())
            yield what, fact


def _facts(
    text: str, shown: _Shown, terms: Sequence[str], written: WordCounts, locale: str
) -> Iterator[tuple[str, str]]:
    for match in _QUOTED.finditer(text):
        phrase = match[1] or match[2]
        if not shown.holds(phrase.strip()):
            yield "the term", phrase
    for pattern, what in ((_ADDRESS, "the address"), (_URL, "the link")):
        for match in pattern.finditer(text):
            if not shown.holds(match[0]):
                yield what, match[0]
        text = pattern.sub(" ", text)
    stated = list(_amounts(text, locale))
    for number in stated:
        if _amount(number) not in shown.amounts:
            yield "the amount", text[number.first : number.last]
    for date in dates.read(text):
        if date.day is not None and (date.month, date.day) not in shown.days:
            yield "the date", text[date.start : date.end]
    yield from (("the number", n) for n in sorted(_figures(text, locale) - shown.figures))
    for number in reversed(stated):
        text = f"{text[: number.first]} {text[number.last :]}"
    for match in _CODE.finditer(text):
        if not shown.holds(match[0]):
            yield "the code", match[0]
    yield from _names(text, shown, written, locale)
    lower = text.lower()
    for term in terms:
        if term in lower and not shown.holds(term) and _whole(term, lower):
            yield "the product term", term


def _names(text: str, shown: _Shown, written: WordCounts, locale: str) -> Iterator[tuple[str, str]]:
    if locale.partition("-")[0] in CAPITALISING:
        return
    for match in _NAME.finditer(text):
        word = match[0].strip("'-")
        if len(word) < 2 or _stem(word.lower()) in shown.stems:
            continue
        if _OPENS.search(text[: match.start()]) and not written.is_name(word):
            continue
        yield "the name", word


def _figures(text: str, locale: str) -> Set[str]:
    """Returns numbers of a reply, but not those of its steps; small ones as digits, however
    written."""
    plain = re.sub(r"^[^\S\n]*+\d{1,2}[.)]\s", "", text, flags=re.MULTILINE)
    return numbers(plain, locale) | worded(plain)


def _amounts(text: str, locale: str) -> Iterator[Number]:
    """Yields sums of money and percentages."""
    return (number for number in read(text, locale) if number.currency or number.unit == "%")


def _amount(number: Number) -> tuple[str, str]:
    return number.currency, number.value


def _stem(word: str) -> str:
    for ending in ("'s", "es", "s"):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            return word[: -len(ending)]
    return word


def _whole(term: str, text: str) -> bool:
    before = r"(?<!\w)" if term[0].isalnum() else ""
    after = r"(?!\w)" if term[-1].isalnum() else ""
    return re.search(before + re.escape(term) + after, text) is not None


def _words_of(house: HousePolicy) -> str:
    """Returns what a reply may always say: who we are, and the house's fixed sentences."""
    words = [house.company, house.product, house.scope, *house.allowed_hosts]
    for say in house.templates.values():
        words += [value for value in say.model_dump().values() if isinstance(value, str)]
        words += say.teams.values()
    return "\n".join(words)


def _written(rows: Sequence[RowPlace]) -> WordCounts:
    small: Counter[str] = Counter()
    capital: Counter[str] = Counter()
    texts = {d.text for place in rows for d in place.row.documents}
    for text in texts | {place.row.question for place in rows}:
        for match in re.finditer(r"(?<=[a-zäöü,;] )[\w'-]+", text):
            (capital if match[0][:1].isupper() else small)[match[0].lower()] += 1
    return WordCounts(small, capital)
