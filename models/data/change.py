"""Rows with other facts: numbers changed alike in passages, question and reply.

A model that has seen three prices for one plan can only learn to read the price, not to know it.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from models.data.rows import MADE, Row
from models.suite.facts import says
from twofold.reply import render
from twofold.text.numbers import TWO_TO_TWELVE, Number, read

CHANGED: Final = "changed"
_JOINED = re.compile(r"[\w.,:/#\[-]")
_JOINS = re.compile(r"[/\]]|[.,:-]\d")
"""Before or behind a number: it is a part of a name, a version, a day, a range or a citation."""
_ORDINAL = re.compile(r"^[^\S\n]*+(?:[-*+][^\S\n]++)?\d{1,3}[.)]\s", re.MULTILINE)
_VALUES: Final = {word: value for words in TWO_TO_TWELVE for value, word in enumerate(words, 2)}
_LANGUAGE: Final = {word: words for words in TWO_TO_TWELVE for word in words}
_WORD = re.compile(rf"\b(?:{'|'.join(_VALUES)})\b", re.IGNORECASE)
LARGEST_WORD: Final = 12
SMALL: Final = 31
"""Up to here a number may be a day of a month, and stays one."""
TRIES: Final = 50


def changed(row: Row, copy: int, seed: int) -> Row | None:
    """Returns copy number `copy` of an ANSWER row with the numbers of its reply changed
    everywhere; None where it has none that may change. Equal arguments give equal rows."""
    rng = random.Random(f"{seed}:{row.id}:{copy}")  # noqa: S311  not a secret
    texts = [*(d.text for d in row.documents), row.question, *(t.text for t in row.history)]
    taken = {value for text in (*texts, row.text) for value in _figures(text)}
    worded = {value for text in (*texts, row.text) for value in _worded(text)}
    mixed = _written_in_two_ways((*texts, row.text))
    new: dict[str, str] = {}
    for old in dict.fromkeys(_figures(row.text)):
        value = None if old in mixed else _other(old, taken, old in worded, rng)
        if value is not None:
            new[old] = value
            taken.add(value)
    if not new:
        return None

    def put(text: str) -> str:
        return _replaced(text, new)

    header, text = row.reply
    if header is None:
        return None
    ref = f"{row.ref}{MADE}{CHANGED}-{copy}"
    made = row.model_copy(
        update={
            "id": f"{row.origin}:{ref}",
            "ref": ref,
            "documents": tuple(d.model_copy(update={"text": put(d.text)}) for d in row.documents),
            "history": tuple(t.model_copy(update={"text": put(t.text)}) for t in row.history),
            "question": put(row.question),
            "target": render(header.action, put(text), header.escalation),
            "facts": tuple(_spellings(fact, put) for fact in row.facts),
        }
    )
    return made if all(says(made.text, fact) for fact in made.facts) else None


def _spellings(fact: tuple[str, ...], put: Callable[[str], str]) -> tuple[str, ...]:
    """Returns a fact's changed spellings, without those that the change left alone: they say the
    old fact."""
    after = [put(spelling) for spelling in fact]
    moved = [new for old, new in zip(fact, after, strict=True) if new != old]
    return tuple(moved or after)


def _figures(text: str) -> Iterator[str]:
    """Yields its numbers as they stand, words as digits; not the ordinals of its steps."""
    for number in _changeable(text):
        yield text[number.start : number.end]
    yield from _worded(text)


def _changeable(text: str) -> Iterator[Number]:
    """Yields the numbers that could be others: `30`, `$249`, `9GB`; not those of steps and
    names."""
    for number in read(_blanked(text)):
        before = text[max(0, number.start - 1) : number.start]
        if not (_JOINED.match(before) or _JOINS.match(text, number.end)):
            yield number


def _written_in_two_ways(texts: Sequence[str]) -> set[str]:
    """Returns the numbers, as they stand, that also stand in another way: `1,200` beside `1200`."""
    ways: dict[str, set[str]] = defaultdict(set)
    for text in texts:
        for number in _changeable(text):
            ways[number.value].add(text[number.start : number.end])
    return {each for written in ways.values() if len(written) > 1 for each in written}


def _worded(text: str) -> Iterator[str]:
    for match in _WORD.finditer(text):
        yield str(_VALUES[match[0].lower()])


def _blanked(text: str) -> str:
    """Returns the text, as long as before, without the ordinals of its steps."""
    return _ORDINAL.sub(lambda match: " " * len(match[0]), text)


def _replaced(text: str, new: dict[str, str]) -> str:
    pieces, at = [], 0
    for number in _changeable(text):
        other = new.get(text[number.start : number.end])
        if other is not None:
            pieces += [text[at : number.start], other]
            at = number.end
    return _WORD.sub(lambda match: _word(match[0], new), "".join([*pieces, text[at:]]))


def _word(word: str, new: dict[str, str]) -> str:
    value = new.get(str(_VALUES[word.lower()]))
    if value is None:
        return word
    if int(value) > LARGEST_WORD:
        return value
    other = _LANGUAGE[word.lower()][int(value) - 2]
    return other.capitalize() if word[0].isupper() else other


def _other(old: str, taken: set[str], worded: bool, rng: random.Random) -> str | None:
    """Returns another number that could stand there and does not stand anywhere yet."""
    if old in ("0", "1") or (len(old) == 4 and old.isdigit() and old[:2] in ("19", "20")):
        return None  # a year is no limit, and "1 day" would lose its grammar
    for _ in range(TRIES):
        new = _drawn(old, worded, rng)
        if new != old and new not in taken:
            return new
    return None


def _drawn(old: str, worded: bool, rng: random.Random) -> str:
    if worded:
        return str(rng.randint(2, LARGEST_WORD))
    if ":" in old:
        return f"{rng.randint(0, 23):02d}{old[old.index(':') :]}"
    if old.isdigit() and int(old) <= SMALL:
        return str(rng.randint(2, SMALL - 3))
    zeros = len(old) - len(old.rstrip("0,."))
    kept = old[len(old) - zeros :]
    head = old[: len(old) - zeros] if zeros else old
    digits = [rng.choice("123456789") if c.isdigit() and i == 0 else
              rng.choice("0123456789") if c.isdigit() else c
              for i, c in enumerate(head)]  # fmt: skip
    if digits[-1] == "0":
        digits[-1] = rng.choice("123456789")
    return "".join(digits) + kept
