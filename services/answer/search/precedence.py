"""After retrieval: of candidates that state the same with another number, those that hold.

A policy binds, whatever a page says. A release note tells what became so on a day: what is newer
overrules it, and it overrules what is older. Two articles that disagree both stay: which one is
wrong is for `twofold knowledge lint` to ask and for a person to say.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import permutations

from services.answer.contract import Found, Question
from services.answer.search.condense import asks_what_changed
from twofold.index.contract import Chunk
from twofold.text import blocks as prose
from twofold.text.claims import Claim, alike, claims, differing

ASKED = 2
"""Terms of the question that both claims must hold (or all of it): else they disagree on what
nobody asked, and the rest of the passage may be the answer."""
NEWER_S = 86_400
"""Dates of sources are days."""
REMEMBERED = 4096
"""Chunks whose claims are kept."""


def drop_overruled(found: Found, question: Question) -> Found:
    """Returns `found` without the candidates that another one overrules, which it then names.

    Asked what changed, nothing is overruled: what was so before is part of the answer.
    """
    if asks_what_changed(question.standalone):
        return found
    asked = frozenset(found.keywords.indices)
    enough = min(ASKED, len(asked))
    stated = [
        (candidate, [claim for claim in _claims(candidate.chunk.text, candidate.chunk.locale)
                     if len(claim.words & asked) >= enough])
        for candidate in found.candidates
    ]  # fmt: skip
    stated = [(candidate, made) for candidate, made in stated if made]
    overruled = {
        two.chunk.id
        for (one, ones), (two, twos) in permutations(stated, 2)
        if _stands_over(one.chunk, two.chunk) and _disagree(ones, twos, asked, enough)
    }
    if not overruled:
        return found
    return replace(
        found,
        candidates=tuple(c for c in found.candidates if c.chunk.id not in overruled),
        overruled=tuple(c for c in found.candidates if c.chunk.id in overruled),
    )


def _stands_over(one: Chunk, two: Chunk) -> bool:
    if one.document == two.document or (one.product and two.product and one.product != two.product):
        return False
    if "policy" in (one.kind, two.kind):
        return one.kind == "policy" != two.kind
    return "release_note" in (one.kind, two.kind) and one.updated_at >= two.updated_at + NEWER_S


def _disagree(
    ones: Sequence[Claim], twos: Sequence[Claim], asked: frozenset[int], enough: int
) -> bool:
    return any(
        len(one.words & two.words & asked) >= enough and alike(one, two) and differing(one, two)
        for one in ones
        for two in twos
    )


@lru_cache(REMEMBERED)
def _claims(text: str, locale: str) -> tuple[Claim, ...]:
    parts = (
        text[span.start : span.end]
        for block in prose.blocks(text)
        if block.kind not in ("code", "table")
        for span in prose.parts(text, block)
    )
    return tuple(claim for _, claim in claims(parts, locale))
