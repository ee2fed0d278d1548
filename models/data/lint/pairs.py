"""Rejected replies that would teach a fact, or nothing."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from models.data.lint.findings import RowFinding, RowPlace
from models.data.lint.leaks import leaks
from twofold.policy import HousePolicy
from twofold.reply import Header, render, split
from twofold.text.numbers import WORDS

FIX = "Take the rejected reply out."
_PIECE = re.compile(r"\[\d+\]|`[^`\n]+`|\*\*[^*\n]+\*\*|[^\s\[]+|\[")
_MARK = re.compile(r"\[\d+\]")
_STATES = re.compile(r"\A(?:[`*].|[^\d\n]*+\d)")
_FACT = "#"


def pairs(rows: Sequence[RowPlace], house: HousePolicy) -> Iterator[RowFinding]:
    """Yields rejected replies that do what the approved one does, and those that state what their
    prompt does not show: a model that is taught to avoid a fact reads it all the same."""
    for place in rows:
        approved = behaviour(place.row.target)
        for each in place.row.rejected:
            if behaviour(each.reply) == approved:
                reason = f"the reply by {each.by} differs from the approved one in facts alone"
                yield place.finding("pair", reason, FIX)
    said = [
        place._replace(row=place.row.model_copy(update={"target": _headed(each.reply)}))
        for place in rows
        for each in place.row.rejected
    ]
    for found in leaks(said, house):
        yield replace(found, reason=f"in a rejected reply {found.reason}", fix=FIX)


def behaviour(wire: str) -> tuple[Header | None, list[str]]:
    """Returns what a reply does: its header, and its words and marks with every fact as `#`, be it
    a figure, a name or a term."""
    header, text = split(wire)
    words, opens = [], True
    for piece in _PIECE.findall(text if header else wire):
        if _MARK.fullmatch(piece):
            words.append(piece)
            continue
        word = piece.strip(".,;:!?()\"'").lower()
        named = piece[:1].isupper() and not opens
        words.append(_FACT if named or word in WORDS or _STATES.match(piece) else word)
        opens = piece[-1] in ".!?:"
    return header, [word for word, _ in groupby(words)]


def _headed(wire: str) -> str:
    """Returns a reply whose every word is text: one without a header is text from its first."""
    return wire if split(wire)[0] else render("ANSWER", wire)
