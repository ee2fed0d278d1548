"""Replies that break the reply contract or the house policy."""

import re
from collections.abc import Iterator, Sequence

from models.data.lint.findings import RowFinding, RowPlace
from models.data.rows import Row
from models.data.sentences import RowPassages, sentences
from twofold.counted import counted
from twofold.policy import HousePolicy
from twofold.reply import SILENT, marks
from twofold.text.links import foreign

_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
FIX = "Mend the reply, or take the row out."


def policy(rows: Sequence[RowPlace], house: HousePolicy) -> Iterator[RowFinding]:
    for place in rows:
        for reason in _broken(place.row, house):
            yield place.finding("policy", reason, FIX)


def _broken(row: Row, house: HousePolicy) -> Iterator[str]:
    header, text = row.reply
    if header is None:
        yield f"its first line is no header: {row.target.partition(chr(10))[0][:60]!r}"
        return
    if header.escalation is not None:
        team, reason = header.escalation
        if reason not in house.reasons:
            yield f"the house has no reason {reason!r}"
        elif house.reasons[reason].team != team:
            yield f"{reason} is for {house.reasons[reason].team}, not for {team}"
    if not text and header.action not in SILENT:
        yield "it says nothing after its header"
    yield from unstylish(text, house, "\n".join(document.text for document in row.documents))
    stray = sorted({n for n in marks(text) if not 1 <= n <= len(row.documents)})
    if stray:
        yield f"it cites [{stray[0]}], and was shown {counted(len(row.documents), 'document')}"
    elif header.action == "ANSWER":
        yield from _uncited(row, text)


def unstylish(text: str, house: HousePolicy, shown: str = "") -> Iterator[str]:
    """Yields what in a reply's text the house does not allow: length, banned phrases, promises,
    links.

    A source's own code is shown as it stands: an address in code may be one that stands in `shown`.
    """
    words = len(text.split())
    if words > house.style.max_words:
        yield f"it has {counted(words, 'word')}; the house allows {house.style.max_words}"
    lower = text.lower()
    yield from (f"it says {p!r}, which the house bans" for p in house.style.banned
                if p.lower() in lower)  # fmt: skip
    for promise in house.style.promises:
        if match := re.search(promise, text, re.IGNORECASE):
            yield f"it promises: {match[0]!r}"
    hosts = frozenset(host.lower() for host in house.allowed_hosts)
    for address in foreign(text, hosts):
        yield f"it links to {address}, a host that the house does not allow"
    for code in _CODE.findall(text):
        for address in foreign(code.strip("`~"), hosts):
            if address not in shown:
                yield f"its code leads to {address}, which no passage has"


def _uncited(row: Row, text: str) -> Iterator[str]:
    """Yields sentences without a mark, or with one whose passage does not hold them."""
    passages = RowPassages(row.documents, row.locale)
    cited = False
    for sentence in sentences(text):
        cited = cited or bool(sentence.marks)
        shown = " ".join(sentence.text.split())[:60]
        if not sentence.marks and passages.claims(sentence):
            yield f"nothing is cited for {shown!r}"
        elif sentence.marks and not passages.hold(sentence.marks, sentence):
            yield f"what it cites does not hold {shown!r}"
    if not cited:
        yield "it answers and cites nothing"
