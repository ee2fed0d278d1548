"""What a text states in numbers, and whether two texts state the same with another number.

A claim is a sentence or list item with its quantities taken out: "a run holds 50,000 rows" and "a
run holds 20,000 rows" are the same claim and disagree on rows.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from twofold.index.sparse import Bm25Encoder
from twofold.text import dates
from twofold.text.numbers import Number, read

MIN_WORDS = 4
ALIKE = 0.55
"""Share of the words of two claims in common, from which on they are the same claim."""

_UNIT = re.compile(r"[\s-]{1,20}+(?:(?:business|working|calendar)\s{1,20}+)?([^\W\d_]{2,})")
_WIDE = 40
"""Characters behind a number in which its unit must end."""
_CODE = re.compile(r"`[^`]*`|https?://\S+|\[([^\[\]]*+)\]\([^()]*+\)")
_STEP = re.compile(r"\A\s*+\d{1,3}[.)]\s")
"""What a step tells to type is an example, not a claim."""
_CAPITAL = re.compile(r"(?<=[\w,;:)] )\**_*([A-Z][\w-]+)")

_ENCODER = Bm25Encoder()


class Claim(NamedTuple):
    quantities: Mapping[str, frozenset[str]]
    """Unit -> values."""
    words: frozenset[int]
    names: frozenset[str]
    """Capitalised words inside the sentence: plans, products, people."""
    masked: str
    """The sentence without its quantities."""


def claims(parts: Iterable[str], locale: str) -> Iterator[tuple[int, Claim]]:
    """Yields the claims among sentences or list items, each with the place of its part."""
    for place, part in enumerate(parts):
        if _STEP.match(part):
            continue
        plain = _CODE.sub(lambda match: match[1] or " ", part)
        quantities: dict[str, set[str]] = defaultdict(set)
        days = [date for date in dates.read(plain) if date.day is not None]
        if days:
            quantities["date"] = {str(day) for day in days}
        rest = dates.cut(plain, days)
        kept, at = [], 0
        for number, unit, end in _counted(rest, locale):
            if unit:
                quantities[unit].add(number.value)
            kept += [rest[at : number.first], unit if unit.isalpha() else ""]
            at = end
        if not quantities:
            continue
        masked = " ".join(" ".join([*kept, rest[at:]]).split())
        words = words_of(masked, locale)
        if len(words) >= MIN_WORDS:
            sealed = {unit: frozenset(values) for unit, values in quantities.items()}
            yield place, Claim(sealed, words, names(rest), masked)


def _counted(text: str, locale: str) -> Iterator[tuple[Number, str, int]]:
    """Yields each number that may count something, its unit, and where that ends."""
    for number in read(text, locale):
        before = text[max(0, number.start - 1) : number.start]
        after = text[number.end : number.end + 2]
        if before in ("#", "/", ":", "-") or re.match(r"[/:#-]\d", after):
            continue  # a part of an address, a ticket or a range
        if not number.is_quantity:
            continue  # a version, a time, a day
        if number.unit:
            yield number, _stem(number.currency or number.unit), number.last
            continue
        word = _UNIT.match(text[number.last : number.last + _WIDE])
        yield number, _stem(word[1]) if word else "", number.last + (word.end() if word else 0)


def alike(one: Claim, two: Claim, weights: Mapping[int, float] | None = None) -> bool:
    """Returns whether they are the same claim: by the words in common, all of one weight or
    weighed."""
    both, either = one.words & two.words, one.words | two.words
    if weights is None:
        return len(both) >= ALIKE * len(either)
    whole = sum(weights[word] for word in either)
    return whole > 0 and sum(weights[word] for word in both) >= ALIKE * whole


def differing(one: Claim, two: Claim) -> list[str]:
    """Units of which both name values, and none in common; none where they speak of others."""
    if apart(one.names, two.names):
        return []
    return [
        unit
        for unit in sorted(one.quantities.keys() & two.quantities.keys())
        if one.quantities[unit].isdisjoint(two.quantities[unit])
    ]


def words_of(text: str, locale: str) -> frozenset[int]:
    return frozenset(_ENCODER.document(text, locale).indices)


def names(text: str) -> frozenset[str]:
    """Returns the capitalised words inside a sentence, in small letters."""
    return frozenset(name.lower() for name in _CAPITAL.findall(text))


def apart(one: frozenset[str], two: frozenset[str]) -> bool:
    """Returns whether each names something that the other does not."""
    return bool(one - two and two - one)


def _stem(word: str) -> str:
    return word.lower().removesuffix("s")
