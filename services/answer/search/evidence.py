"""What a search's findings say of a question: whether the sources hold its answer.

A related page is not an answer. What tells them apart was fitted on help centers of many kinds,
each question asked twice: with the pages that answer it, and without them (`tools/fit`).
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

from services.answer.contract import Candidate, Clues, Evidence, Found, Question
from services.answer.search.asks import bare, questions_in
from services.answer.search.expand import Synonyms, synonyms
from services.answer.search.match import Matched, best, only_past
from services.answer.search.names import Unknown, unknown
from services.answer.search.pack import Terms

WEIGHTS = Path(__file__).with_name("evidence.json")
FOREIGN = 0.2
"""Share of the questions without an answer that have nothing to do with the sources."""
UNKNOWN = 1.2
BESIDE = 3.0
"""Log odds against an answer where a short message asks for a product by a name that nothing found
holds, and where pages about others of its kind were found. Of questions to 141 made-up help centers
35 in 100 have no answer, of 197 of the first kind 155 (1.9, of which the reader sees some), of 8 of
the second 7; and of 436 with an answer that name a product, one is answered by a page about another
of its kind."""
ONLY_PAST = 4.0
"""The same where what is to come is asked for, and what comes nearest was to come, and is past."""
SHORT = 12
"""Words up to which a message is short: a long one names things that it does not ask for."""
NEXT = 5
"""Candidates that the best one is held against."""

_NAME = re.compile(r"\b\w*[a-z][A-Z]\w*")
_NAME_OR_CAPITAL = re.compile(r"(?<=[\w,;] )[A-Z]\w*[a-z]{2}\w*|\b\w*[a-z][A-Z]\w*")
_CODE = re.compile(r"\b[A-Za-z]{1,6}-\d+\b|\b\w*[a-z]_\w*|\b[1-5]\d\d\b(?![.,]?\d)")
_CALENDAR = re.compile(
    r"(january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(mon|tues|wednes|thurs|fri|satur|sun)day|christmas|easter)",
    re.IGNORECASE,
)
"""Words with a capital that name no product. Which day a text means, `twofold.text.dates` says."""


def weigh(
    question: Question,
    found: Found,
    packed: Sequence[Candidate],
    terms: Terms,
    matched: Matched | None = None,
    also: Synonyms | None = None,
) -> Evidence:
    """Returns the evidence that the candidates make, of which `packed` are shown to the reply
    maker; with the matcher's scores where it has read them. `also` are the house's other words."""
    if not found.candidates:
        return Evidence()
    seen = clues(question, found, packed, terms)
    answerable, foreign = "answerable", "foreign"
    if matched:
        nearest = best(matched, packed)
        seen = seen._replace(matched=nearest.near, read=nearest.odds)
        answerable, foreign = "answerable_matched", "foreign_matched"
    far = _logit(foreign, seen)
    unanswered = math.log1p(FOREIGN * math.expm1(far))
    names = _unknown(question, found, also or synonyms())
    odds = _logit(answerable, seen) - unanswered - ONLY_PAST * only_past(matched or {})
    odds -= max((BESIDE if each.beside else UNKNOWN for each in names), default=0.0)
    return Evidence(odds, far, seen, tuple(each.name for each in names))


def weigh_given(
    question: Question, found: Found, packed: Sequence[Candidate], terms: Terms
) -> Evidence:
    """Returns the same as `weigh` of candidates that nobody searched for: they stand out from no
    others."""
    if not found.candidates:
        return Evidence()
    seen = clues(question, found, packed, terms)
    return Evidence(_logit("given", seen), 0.0, seen)


def clues(question: Question, found: Found, packed: Sequence[Candidate], terms: Terms) -> Clues:
    """Returns the clues to be weighed; there must be a candidate."""
    candidates = found.candidates
    dense = sorted((c.dense for c in candidates), reverse=True)
    own = terms.of(bare(question.asked))
    held = [terms.of(c.chunk.embedded_text) for c in packed]
    first = candidates[0].chunk.document
    said = "\n".join(c.chunk.embedded_text for c in candidates).lower()
    return Clues(
        cosine=dense[0],
        cosine_margin=dense[0] - fmean(dense[1 : NEXT + 1] or dense),
        fused=max(c.fused for c in candidates),
        passage=max(map(terms.coverage, held)),
        likeness=max(c.dense * len(own & t) for c, t in zip(packed, held, strict=True))
        / max(1, len(own)),
        one_document=fmean(c.chunk.document == first for c in candidates[: NEXT + 1]),
        stranger=float(_stranger(question, said)),
        code=float(any(code.lower() in said for code in _CODE.findall(question.asked))),
    )


@cache
def fitted() -> Mapping[str, Mapping[str, float]]:
    """Returns, for each log odds, the weight of each clue by name, and the bias. Made by `python
    -m tools.fit.evidence`."""
    weights: Mapping[str, Mapping[str, float]] = json.loads(WEIGHTS.read_text("utf-8"))["weights"]
    return weights


def _logit(kind: str, seen: Clues) -> float:
    weights = fitted()[kind]
    return weights["bias"] + sum(
        weights[name] * float(x) for name, x in seen._asdict().items() if name in weights
    )


def _unknown(question: Question, found: Found, also: Synonyms) -> list[Unknown]:
    """Returns the names of products that are asked for and that no candidate holds."""
    asked = [each.asked for each in questions_in(question).values()]
    short = [text for text in asked if len(text.split()) <= SHORT]
    chunks = [candidate.chunk for candidate in found.candidates]
    return list(dict.fromkeys(name for text in short for name in unknown(text, chunks, also)))


def _stranger(question: Question, said: str) -> bool:
    """Returns whether the question holds a name ("Kafka", "iPhone") that no candidate does.

    German capitalises every noun, so there only an inner capital makes a name; acronyms are no
    names, product or not.
    """
    pattern = _NAME if question.locale == "de" else _NAME_OR_CAPITAL
    names = (match.group() for match in pattern.finditer(question.asked))
    return any(not _CALENDAR.fullmatch(name) and name.lower() not in said for name in names)
