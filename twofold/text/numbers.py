"""The numbers of a text, whatever the language and hand that wrote them.

`9GB`, `24h`, `v18.2`, `$1,200.00`, `1'000`, `1 000`, `10.000` in German, `1.5M`, `１２`, `٣٠` are
numbers; `2FA`, `sha256` and `abc123` are names. `$5`, `USD 5` and `5 dollars` are one sum.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

_DECIMAL_COMMA_LISTED = (
    "bg ca cs da de el es fi fr hr hu id it lt lv nb nl nn no pl pt ro ru sk sl sr sv tr uk vi"
)
_DECIMAL_COMMA = frozenset(_DECIMAL_COMMA_LISTED.split())
"""Languages that write 1,5 and 10.000."""
_GAPS = " '’\u00a0\u2009\u202f"
"""What parts thousands in any language."""
_RUN = re.compile(rf"\d+(?:[.,:٫٬{_GAPS}]\d+)*")
_SUFFIX = re.compile(r"[^\W\d_]+")
_SCALE_WORD = re.compile(
    r"\s?(?:(?P<million>million(?:s|en)?|mio)|(?P<billion>billions?|milliarden?|mrd))\b"
    r"(?:(?<=mio|mrd)\.)?",
    re.IGNORECASE,
)
_SCALES = {"k": 3, "K": 3, "M": 6}
_UNITS_LISTED = (
    "B KB MB GB TB PB KiB MiB GiB TiB kB kbit Mbit Gbit Mbps Gbps Kbps Hz KHz kHz MHz GHz C F V A W"
    " kW MW kWh MWh mA mAh L mL USD EUR GBP CHF DPI FPS KM KG"
)
_UNITS = frozenset(_UNITS_LISTED.split())
"""Written behind a number without a space, in capitals; a suffix of small letters is one anyway."""
_SIGNS = "$€£¥₹"
_CURRENCIES: Final = {
    spelling: code
    for code, spellings in {
        "USD": "$ usd dollar dollars bucks",
        "EUR": "€ eur euro euros",
        "GBP": "£ gbp",
        "CHF": "chf",
        "JPY": "¥",
        "INR": "₹",
    }.items()
    for spelling in spellings.split()
}
_CURRENCY_WORD = "|".join(sorted(filter(str.isalpha, _CURRENCIES), key=len, reverse=True))
_LED = re.compile(
    rf"(?P<sign>[{_SIGNS}])(?:(?<!\d.)(?<!\d\s.)\s)?\Z"
    r"|(?<![^\W_])(?P<code>(?:usd|eur|gbp|chf|euro)\s?)\Z",
    re.IGNORECASE,
)
"""A currency before a number; one with a space between them may belong to a number before it."""
_LONGEST_LED = 8
_PRICED = re.compile(rf"[\s-]?(%|[{_SIGNS}](?!\d)|(?:{_CURRENCY_WORD})(?![^\W_]))", re.IGNORECASE)
_THOUSAND = re.compile(r"\s?[kK](?![^\W_])")
_COUNTED = (
    (range(2, 13), "two three four five six seven eight nine ten eleven twelve"),
    (range(2, 13), "zwei drei vier fünf sechs sieben acht neun zehn elf zwölf"),
    (range(20, 101, 10), "twenty thirty forty fifty sixty seventy eighty ninety hundred"),
    (range(20, 101, 10), "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig hundert"),
)
WORDS: Final = {
    word: str(value)
    for values, words in _COUNTED
    for value, word in zip(values, words.split(), strict=True)
}
"""Numbers that are often written as words -> their values."""
TWO_TO_TWELVE: Final = tuple(words.split() for values, words in _COUNTED if 2 in values)
"""Their words in English and in German, in order."""
_WORD = re.compile(rf"\b(?:{'|'.join(WORDS)})\b", re.IGNORECASE)
_THOUSANDS = 3
_OCTETS = 4
_OCTET = 255


class Number(NamedTuple):
    """`text[start:end]`, without its sign, unit or scale."""

    start: int
    end: int
    value: str
    """Plain decimal digits, scaled; versions, times and days as they stand: `2.1.0`, `10:30`."""
    unit: str
    """A currency, `%`, or letters written behind it, as they stand; else empty."""
    first: int
    last: int
    """`text[first:last]` has the currency, unit and scale as well: `$5`, `9GB`, `1.5 million`."""

    @property
    def currency(self) -> str:
        """The code of the currency, `USD` for `$`, `usd` and `dollars`; empty where it has none."""
        return _CURRENCIES.get(self.unit.lower(), "")

    @property
    def is_quantity(self) -> bool:
        """Whether the value is a decimal number, not a time, a day or a version of three parts."""
        return self.value.replace(".", "", 1).isdecimal()


def numbers(text: str, locale: str = "en") -> frozenset[str]:
    """Returns the values of the numbers in `text`, whose language decides about commas and
    points."""
    return frozenset(number.value for number in read(text, locale))


def worded(text: str) -> frozenset[str]:
    """Returns the values of the small numbers that `text` writes as words, English or German."""
    return frozenset(WORDS[match[0].lower()] for match in _WORD.finditer(text))


def read(text: str, locale: str = "en") -> Iterator[Number]:
    """Yields the numbers in `text`, in order. Takes time linear in its length."""
    comma = locale.replace("_", "-").partition("-")[0].lower() in _DECIMAL_COMMA
    for run in _RUN.finditer(text):
        for start, end, value in _literals(run[0], comma):
            found = _number(text, run.start() + start, run.start() + end, value)
            if found is not None:
                yield found


def _number(text: str, start: int, end: int, value: str) -> Number | None:
    """Returns the number with what stands around it; None where it is a part of a name."""
    before = text[max(0, start - _LONGEST_LED) : start]
    led = _LED.search(before)
    suffix = _SUFFIX.match(text, end)
    letters = suffix[0] if suffix else ""
    if (led is None and _goes_on(before)) or text[end : end + 1] == "_" or _is_name(letters):
        return None
    scale, at = _scale(text, end, letters, led=led is not None)
    priced = _PRICED.match(text, at)
    unit = led[0].strip() if led else priced[1] if priced else "" if scale else letters
    last = priced.end() if priced else at if scale else end + len(letters)
    if re.fullmatch(r"\d+(?:\.\d+)?", value):
        value = _plain(value, scale, money=unit.lower() in _CURRENCIES)
    return Number(start, end, value, unit, start - len(led[0]) if led else start, last)


def _goes_on(before: str) -> bool:
    """Returns whether a word or name goes on with the digits behind `before`; a version's v is
    none."""
    last = before[-1:]
    if not last.isalpha():
        return last in (".", "_")
    return last not in "vV" or before[-2:-1].isalnum() or before[-2:-1] == "_"


def _is_name(letters: str) -> bool:
    """Returns whether digits and the letters behind them are a name (`2FA`), not a number with a
    unit."""
    known = letters in _SCALES or letters in _UNITS or letters.lower() in _CURRENCIES
    return not (known or letters.islower() or not letters)


def _scale(text: str, end: int, letters: str, *, led: bool) -> tuple[int, int]:
    """Returns the power of ten that a number ending at `end` is scaled by, and where that is said.

    `led`: a currency stands before it; a sum may have its k behind a space."""
    word = _SCALE_WORD.match(text, end)
    if word:
        return (6 if word["million"] else 9), word.end()
    if letters in _SCALES:
        return _SCALES[letters], end + len(letters)
    thousand = _THOUSAND.match(text, end)
    if thousand and (led or _PRICED.match(text, thousand.end())):
        return 3, thousand.end()
    return 0, end


def _plain(value: str, scale: int, *, money: bool) -> str:
    """Returns the value without a last `.0`, and without the last zeros of a price; scaled by a
    power of ten."""
    if scale or (money and "." in value):
        scaled = format(Decimal(value).scaleb(scale), "f")
        return scaled.rstrip("0").rstrip(".") if "." in scaled else scaled
    whole, _, rest = value.partition(".")
    return whole if not rest.strip("0") else value


def _literals(run: str, comma: bool) -> Iterator[tuple[int, int, str]]:
    """Yields (start, end, value) of each number in a run of digits and separators."""
    pieces = re.split(r"(\D)", run)
    groups, seps = pieces[::2], pieces[1::2]
    starts = [0]
    for group, _ in zip(groups, seps, strict=False):
        starts.append(starts[-1] + len(group) + 1)
    at = 0
    while at < len(groups):
        last = _spaced(groups, seps, at)
        joined = last > at
        while last < len(seps) and seps[last] not in _GAPS and (not joined or seps[last] in ".,٫"):
            last += 1
        for first, end, value in _values(groups, seps, at, last, comma):
            yield starts[first], starts[end] + len(groups[end]), value
        at = last + 1


def _spaced(groups: Sequence[str], seps: Sequence[str], at: int) -> int:
    """Returns the last group of thousands that gaps part, from `at` on; `at` where there are
    none."""
    if at == len(seps) or seps[at] not in _GAPS or not 0 < len(groups[at]) <= _THOUSANDS:
        return at
    if _ascii(groups[at])[0] == "0":
        return at
    last = at
    while last < len(seps) and seps[last] == seps[at]:
        if len(groups[last + 1]) != _THOUSANDS:
            return at  # a telephone number, or numbers side by side
        last += 1
    return last


def _values(
    groups: Sequence[str], seps: Sequence[str], first: int, last: int, comma: bool
) -> Iterator[tuple[int, int, str]]:
    """Yields (first group, last group, value) of the numbers that `groups[first..last]` make."""
    own = [_ascii(group) for group in groups[first : last + 1]]
    marks = list(seps[first:last])
    while marks and marks[0] in (*_GAPS, "٬"):
        own[:2] = ["".join(own[:2])]
        del marks[0]
    if not marks:
        yield first, last, own[0]
    elif ":" in marks:
        yield first, last, _as_written(own, marks)
    elif len(set(marks)) == 1:
        yield from _alike(own, marks, first, last, comma)
    elif len(set(marks[:-1])) == 1 and marks[-1] != marks[0] and _grouped(own[:-1]):
        yield first, last, f"{''.join(own[:-1])}.{own[-1]}"
    else:
        yield from _apart(own, first, last)


def _alike(
    own: Sequence[str], marks: Sequence[str], first: int, last: int, comma: bool
) -> Iterator[tuple[int, int, str]]:
    """Yields the same as `_values`, where one separator stands between all groups."""
    single = len(marks) == 1
    grouped = _grouped(own)
    if marks[0] == "٫" and single:
        yield first, last, ".".join(own)
    elif marks[0] == ",":
        if grouped and not (single and comma):
            yield first, last, "".join(own)
        elif single:
            yield first, last, ".".join(own)
        else:
            yield from _apart(own, first, last)
    elif grouped and (comma or not single) and not _address(own):
        yield first, last, "".join(own)
    else:
        yield first, last, _as_written(own, marks)


def _apart(own: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int, str]]:
    shift = last - first + 1 - len(own)
    for at, group in enumerate(own):
        place = first + at + shift
        yield (first if at == 0 else place), place, group


def _grouped(own: Sequence[str]) -> bool:
    """Returns whether these are thousands; the Indian way has pairs before the last three."""
    head, *rest = own
    if not 0 < len(head) <= _THOUSANDS or head[0] == "0" or not rest:
        return False
    western = all(len(group) == _THOUSANDS for group in rest)
    pairs = len(head) < _THOUSANDS and all(len(group) == 2 for group in rest[:-1])
    return len(rest[-1]) == _THOUSANDS and (western or pairs)


def _address(own: Sequence[str]) -> bool:
    return len(own) == _OCTETS and all(
        int(group) <= _OCTET and group == str(int(group)) for group in own
    )


def _as_written(own: Sequence[str], marks: Sequence[str]) -> str:
    return own[0] + "".join(mark + group for mark, group in zip(marks, own[1:], strict=True))


def _ascii(digits: str) -> str:
    return digits if digits.isascii() else "".join(str(unicodedata.decimal(d)) for d in digits)
