"""Rest: where a passage's length cuts a list, a table or what a sentence leads to, the passage that
holds the rest is packed as well; and where it only says what a page is about, or what goes wrong,
the section that says what is done about it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from services.answer.contract import Candidate, Found, Question
from services.answer.search.units import HEADER_ROWS
from twofold.index.contract import Chunk
from twofold.ledger import points_of
from twofold.stack import Stack
from twofold.text.blocks import blocks

FAR: Final = 4
"""Passages before one, and behind it, that may hold its rest. Of Magento's 700 lists of steps 132
are cut by a passage's end, 15 of them over more than three passages."""
SOLVED: Final = 2
"""Documents of which the section is packed that says what to do."""
AHEAD: Final = 12
"""Passages behind one among which its page's section is looked for that says what to do."""

_TROUBLE = re.compile(
    r"\A\W*+(?:issues?|symptoms?|problems?|steps to reproduce|description|error message)\b",
    re.IGNORECASE,
)
_SOLVES = re.compile(
    r"\b(?:solutions?|solve|fix|resolution|resolve|workarounds?|recommendations?|lösung"
    r"|steps?(?! to reproduce)|how to|apply|patch(?:es)?|troubleshooting)\b",
    re.IGNORECASE,
)
_SOLUTION = re.compile(r"\A\W*+(?:solutions?|resolution|workarounds?|lösung)\b", re.IGNORECASE)
_APPLIES = re.compile(r"\A\W*+(?:how to )?apply\b", re.IGNORECASE)
"""How any patch is applied, whatever it mends."""
_CAUSE = re.compile(r"\A\W*+(?:(?:possible |root )?causes?|reasons?|ursachen?)\b", re.IGNORECASE)
"""Sections of a page about a problem: what goes wrong, what is done about it, and why it does."""

_NUMBERED = re.compile(r"\A[ \t]*+(\d{1,3})[.)]\s")


def with_rest(
    packed: Sequence[Candidate], found: Found, question: Question, stack: Stack
) -> tuple[Candidate, ...]:
    """Returns the packed candidates, each before those that hold the rest of what is cut at its
    ends; and behind them what the best page says to do, where its opening or its problem is
    packed. As long as all fit into `context_chars`.

    A rest is of the same section and version, and the asker may see it; where it was not found
    itself, it has the scores of the passage that it belongs to.
    """
    known = {each.chunk.id: each for each in found.candidates}
    taken = {each.chunk.id for each in (*packed, *found.overruled)}
    room = stack.settings.context_chars - sum(len(each.chunk.text) for each in packed)
    beside = _beside(packed, stack)
    wanted = {id for ways in beside for ids in ways for id in ids} - taken
    chunks = stack.index.retrieve(sorted(wanted)) if wanted else []
    near = {chunk.id: chunk for chunk in chunks if question.scope.admits(chunk)}
    whole: list[Candidate] = []
    for candidate, ways in zip(packed, beside, strict=True):
        whole.append(candidate)
        for ids, forward in zip(ways, (True, False), strict=True):
            last = candidate.chunk
            for chunk in map(near.get, ids):
                if chunk is None or chunk.id in taken or len(chunk.text) > room:
                    break
                before, after = (last, chunk) if forward else (chunk, last)
                same = chunk.heading_path == candidate.chunk.heading_path
                if not (same and goes_on(before.text, after.text)):
                    break
                whole.append(known.get(chunk.id) or replace(candidate, chunk=chunk))
                taken.add(chunk.id)
                room -= len(chunk.text)
                last = chunk
    first: dict[str, int] = {}
    for at, candidate in enumerate(packed):
        if _only_tells(candidate):
            first.setdefault(candidate.chunk.document, at)
    best = list(dict.fromkeys(each.chunk.document for each in packed))[:SOLVED]
    for told in (first[document] for document in best if document in first):
        behind = [chunk for chunk in map(near.get, beside[told][0]) if chunk]
        path = next((chunk.heading_path for chunk in behind if solves(chunk)), ())
        for chunk in behind:
            solving = bool(path) and chunk.heading_path[: len(path)] == path
            new = chunk.id not in taken and (solving or gives_cause(chunk))
            if new and len(chunk.text) <= room:
                whole.append(known.get(chunk.id) or replace(packed[told], chunk=chunk))
                taken.add(chunk.id)
                room -= len(chunk.text)
    return tuple(whole)


def _only_tells(candidate: Candidate) -> bool:
    """Returns whether a passage opens its page, or says what goes wrong."""
    return not candidate.chunk.heading_path or tells_trouble(candidate.chunk)


def tells_trouble(chunk: Chunk) -> bool:
    """Returns whether the passage's section is about what goes wrong."""
    return bool(chunk.heading_path) and _TROUBLE.match(chunk.heading_path[-1]) is not None


def solves(chunk: Chunk) -> bool:
    """Returns whether it is about what is done about it, or stands below that."""
    path = chunk.heading_path
    mends = any(map(_SOLVES.search, path)) and not any(map(_APPLIES.match, path))
    return mends and not tells_trouble(chunk)


def is_solution(chunk: Chunk) -> bool:
    """Returns whether it is called the solution, or stands below that."""
    return any(map(_SOLUTION.match, chunk.heading_path))


def gives_cause(chunk: Chunk) -> bool:
    """Returns whether the passage's section says why something goes wrong."""
    return bool(chunk.heading_path) and _CAUSE.match(chunk.heading_path[-1]) is not None


def goes_on(before: str, after: str) -> bool:
    """Returns whether the second of two neighbouring passages goes on with a list or a table of
    the first, or holds what its last sentence leads to."""
    one, two = blocks(before)[-1:], blocks(after)[:1]
    if not one or not two:
        return False
    ends, begins = before[slice(*one[0].span)], after[slice(*two[0].span)]
    if ends.rstrip("*_ ").endswith((":", "：")):
        return True
    if (number := _NUMBERED.match(begins)) is not None and two[0].kind == "list":
        return int(number[1]) > 1
    if one[0].kind != two[0].kind:
        return False
    return two[0].kind == "list" or (two[0].kind == "table" and _head(ends) == _head(begins))


def _beside(packed: Sequence[Candidate], stack: Stack) -> list[tuple[Sequence[str], Sequence[str]]]:
    """Returns, for each of the packed, the ids of the next passages of its version behind it, and
    of those before it; the nearest first."""
    versions = {each.chunk.document: each.version for each in packed}
    with stack.ledger.connection() as connection:
        points = points_of(connection, versions)
    found: list[tuple[Sequence[str], Sequence[str]]] = []
    for each in packed:
        ids = points.get(each.chunk.document, [])
        if each.chunk.id not in ids:
            found.append(((), ()))
            continue
        at = ids.index(each.chunk.id)
        ahead = AHEAD if _only_tells(each) else FAR
        found.append((ids[at + 1 : at + 1 + ahead], ids[max(0, at - FAR) : at][::-1]))
    return found


def _head(table: str) -> list[str]:
    return table.splitlines()[:HEADER_ROWS]
