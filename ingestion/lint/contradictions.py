"""Two pages that say the same with another number: "a run holds 50,000" and "holds 20,000".

Two claims of different pages are compared where nearly all of their words, weighed by rarity, are
the same. What repeats over many pages is a template, not a claim.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ingestion.lint.findings import Finding
from ingestion.lint.pages import Page, PagePart
from ingestion.lint.upkeep import supersedes
from twofold.clients.embedder import Embedder
from twofold.text.claims import Claim, alike, apart, claims, differing, names, words_of

NEAR = 0.75
"""Cosine of the two claims, quantities taken out."""
TEMPLATE_PAGES = 3
"""A claim that so many pages word alike is a template: each speaks of its own subject."""
COMMON_SHARE = 0.1
"""Words of more pages than that do not lead to a pair, though they count once there is one."""


class _Stated(NamedTuple):
    """A claim, and where it stands."""

    page: Page
    part: PagePart
    claim: Claim


def contradictions(
    pages: Sequence[Page], now: float, embedder: Embedder | None = None
) -> Iterator[Finding]:
    """Yields contradictions among pages of one language that apply now. With an embedder, it has
    to agree."""
    stated = [each for page in pages if page.applies(now) for each in _stated(page)]
    weights = _weights(stated)
    pairs = [
        (one, two)
        for one, two in _candidates(stated, weights)
        if not (supersedes(one.page, two.page) or supersedes(two.page, one.page))
    ]
    for (one, two), units in _agreed(pairs, embedder):
        yield _finding(one, two, units)


def _stated(page: Page) -> Iterator[_Stated]:
    for place, claim in claims((part.text for part in page.parts), page.locale):
        yield _Stated(page, page.parts[place], claim)


def _weights(stated: Sequence[_Stated]) -> dict[int, float]:
    """Returns the rarity of each word among the pages."""
    pages: dict[int, set[str]] = defaultdict(set)
    for each in stated:
        for word in each.claim.words:
            pages[word].add(each.page.id)
    total = len({each.page.id for each in stated}) + 1
    return {word: math.log(total / len(held)) for word, held in pages.items()}


def _candidates(
    stated: Sequence[_Stated], weights: Mapping[int, float]
) -> Iterator[tuple[_Stated, _Stated]]:
    """Yields pairs of different pages that are alike in words, and no template."""
    holding: dict[int, list[int]] = defaultdict(list)
    for at, each in enumerate(stated):
        for word in each.claim.words:
            holding[word].append(at)
    most = max(20.0, COMMON_SHARE * len(stated))
    same: dict[int, list[int]] = {}
    for at, each in enumerate(stated):
        near: Counter[int] = Counter()
        for word in each.claim.words:
            if len(holding[word]) <= most:
                near.update(other for other in holding[word] if other != at)
        same[at] = [
            other
            for other, shared in near.items()
            if shared >= 2
            and stated[other].page.id != each.page.id
            and stated[other].page.locale == each.page.locale
            and alike(each.claim, stated[other].claim, weights)
        ]
    for at, found in same.items():
        if len({stated[other].page.id for other in found}) >= TEMPLATE_PAGES:
            continue
        for other in found:
            if at < other and len(same[other]) < TEMPLATE_PAGES:
                yield stated[at], stated[other]


def _agreed(
    pairs: Sequence[tuple[_Stated, _Stated]], embedder: Embedder | None
) -> Iterator[tuple[tuple[_Stated, _Stated], list[str]]]:
    found = [(pair, units) for pair in pairs if (units := _differing(*pair))]
    if embedder is None or not found:
        yield from found
        return
    ones = embedder.embed([one.claim.masked for (one, _), _ in found])
    twos = embedder.embed([two.claim.masked for (_, two), _ in found])
    for each, cosine in zip(found, (ones * twos).sum(axis=1), strict=True):
        if cosine >= NEAR:
            yield each


def _differing(one: _Stated, two: _Stated) -> list[str]:
    """Units on which they disagree; none where the pages speak of others."""
    if apart(*map(names, (one.page.title, two.page.title))):
        return []
    # A claim that names nothing of either title speaks of its own page's subject.
    if not one.claim.words & two.claim.words & (_title(one.page) | _title(two.page)):
        return []
    return differing(one.claim, two.claim)


def _title(page: Page) -> frozenset[int]:
    return words_of(page.title, page.locale)


def _finding(one: _Stated, two: _Stated, units: Sequence[str]) -> Finding:
    said = "; ".join(
        " against ".join(", ".join(sorted(each.claim.quantities[unit])) for each in (one, two))
        for unit in units
    )
    return Finding(
        "contradiction",
        f"{one.page.title!r} and {two.page.title!r} disagree: {said}",
        [each.page.place(each.part.text, each.part.line) for each in (one, two)],
        "Find out which holds and correct the other; until then hide one with"
        " `twofold knowledge quarantine`.",
    )
