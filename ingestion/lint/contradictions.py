"""Two pages that say the same with another number: "a run holds 50,000" and "holds 20,000".

A claim is a sentence or list item with its quantities taken out. Two claims of different pages are
compared where nearly all of their words, weighed by rarity, are the same; they contradict where
both give the same unit another value. What repeats over many pages is a template, not a claim.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ingestion.lint.findings import Finding
from ingestion.lint.pages import Page, Part
from ingestion.lint.upkeep import supersedes
from twofold.clients.embedder import Embedder
from twofold.clients.sparse import Bm25Encoder

ALIKE = 0.55
"""Share of the two claims' words in common, by weight."""
NEAR = 0.75
"""Cosine of the two claims, quantities taken out."""
MIN_WORDS = 4
TEMPLATE_PAGES = 3
"""A claim that so many pages word alike is a template: each speaks of its own subject."""
COMMON_SHARE = 0.1
"""Words of more pages than that do not lead to a pair, though they count once there is one."""

_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DATE = re.compile(
    rf"\b(?:\d{{1,2}}\.? (?:{_MONTHS})|(?:{_MONTHS}) \d{{1,2}})(?:,? \d{{4}})?\b"
    r"|\b\d{4}-\d\d-\d\d\b",
    re.IGNORECASE,
)
_QUANTITY = re.compile(
    r"(?<![\w.#/:-])([$€£])?(\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)(?![\d.]*[\w/:#-]*\d)"
    r"(?:\s*(%)|[\s-]+(?:(?:business|working|calendar)\s+)?([A-Za-zäöüÄÖÜß]{2,}))?"
)
_CODE = re.compile(r"`[^`]*`|https?://\S+|\[([^\]]*)\]\([^)]*\)")
_STEP = re.compile(r"\s*\d{1,3}[.)]\s")
"""What a step tells to type is an example, not a claim."""
_CAPITAL = re.compile(r"(?<=[\w,;:)] )\**_*([A-Z][\w-]+)")

_ENCODER = Bm25Encoder()


class Claim(NamedTuple):
    page: Page
    part: Part
    quantities: Mapping[str, frozenset[str]]
    """Unit -> values."""
    words: frozenset[int]
    names: frozenset[str]
    """Capitalised words inside the sentence: plans, products, people."""
    masked: str


def contradictions(
    pages: Sequence[Page], now: float, embedder: Embedder | None = None
) -> Iterator[Finding]:
    """Among pages of one language that apply now. With an embedder, it has to agree."""
    claims = [claim for page in pages if page.applies(now) for claim in _claims(page)]
    weights = _weights(claims)
    pairs = [
        (one, two)
        for one, two in _candidates(claims, weights)
        if not (supersedes(one.page, two.page) or supersedes(two.page, one.page))
    ]
    for (one, two), units in _agreed(pairs, embedder):
        yield _finding(one, two, units)


def _claims(page: Page) -> Iterator[Claim]:
    for part in page.parts:
        if _STEP.match(part.text):
            continue
        plain = _CODE.sub(lambda match: match[1] or " ", part.text)
        quantities: dict[str, set[str]] = defaultdict(set)
        for found in _DATE.finditer(plain):
            quantities["date"].add(found[0].lower())
        rest = _DATE.sub(" ", plain)
        for found in _QUANTITY.finditer(rest):
            unit = found[1] or found[3] or _stem(found[4] or "")
            if unit:
                quantities[unit].add(found[2].replace(",", ""))
        if not quantities:
            continue
        masked = " ".join(_QUANTITY.sub(lambda m: f" {m[4] or ''} ", rest).split())
        words = frozenset(_ENCODER.document(masked, page.locale).indices)
        if len(words) >= MIN_WORDS:
            sealed = {unit: frozenset(values) for unit, values in quantities.items()}
            yield Claim(page, part, sealed, words, _names(rest), masked)


def _stem(word: str) -> str:
    return word.lower().removesuffix("s")


def _weights(claims: Sequence[Claim]) -> dict[int, float]:
    """Word -> its rarity among the pages."""
    pages: dict[int, set[str]] = defaultdict(set)
    for claim in claims:
        for word in claim.words:
            pages[word].add(claim.page.id)
    total = len({claim.page.id for claim in claims}) + 1
    return {word: math.log(total / len(held)) for word, held in pages.items()}


def _candidates(
    claims: Sequence[Claim], weights: Mapping[int, float]
) -> Iterator[tuple[Claim, Claim]]:
    """Pairs of different pages that are alike in words, and no template."""
    holding: dict[int, list[int]] = defaultdict(list)
    for at, claim in enumerate(claims):
        for word in claim.words:
            holding[word].append(at)
    most = max(20.0, COMMON_SHARE * len(claims))
    alike: dict[int, list[int]] = {}
    for at, claim in enumerate(claims):
        near: Counter[int] = Counter()
        for word in claim.words:
            if len(holding[word]) <= most:
                near.update(other for other in holding[word] if other != at)
        found = [
            other
            for other, shared in near.items()
            if shared >= 2
            and claims[other].page.id != claim.page.id
            and claims[other].page.locale == claim.page.locale
            and _alike(claim, claims[other], weights) >= ALIKE
        ]
        alike[at] = found
    for at, found in alike.items():
        if len({claims[other].page.id for other in found}) >= TEMPLATE_PAGES:
            continue
        for other in found:
            if at < other and len(alike[other]) < TEMPLATE_PAGES:
                yield claims[at], claims[other]


def _alike(one: Claim, two: Claim, weights: Mapping[int, float]) -> float:
    both = sum(weights[word] for word in one.words & two.words)
    all_words = sum(weights[word] for word in one.words | two.words)
    return both / all_words if all_words else 0.0


def _agreed(
    pairs: Sequence[tuple[Claim, Claim]], embedder: Embedder | None
) -> Iterator[tuple[tuple[Claim, Claim], list[str]]]:
    differing = [(pair, units) for pair in pairs if (units := _differing(*pair))]
    if embedder is None or not differing:
        yield from differing
        return
    ones = embedder.embed([one.masked for (one, _), _ in differing])
    twos = embedder.embed([two.masked for (_, two), _ in differing])
    for each, cosine in zip(differing, (ones * twos).sum(axis=1), strict=True):
        if cosine >= NEAR:
            yield each


def _differing(one: Claim, two: Claim) -> list[str]:
    """Units of which both name values, and none in common; none where they speak of others."""
    if _apart(one.names, two.names) or _apart(*map(_names, (one.page.title, two.page.title))):
        return []
    # A claim that names nothing of either title speaks of its own page's subject.
    if not one.words & two.words & (_title(one) | _title(two)):
        return []
    return [
        unit
        for unit in sorted(one.quantities.keys() & two.quantities.keys())
        if one.quantities[unit].isdisjoint(two.quantities[unit])
    ]


def _names(text: str) -> frozenset[str]:
    """Capitalised words inside a sentence."""
    return frozenset(name.lower() for name in _CAPITAL.findall(text))


def _apart(one: frozenset[str], two: frozenset[str]) -> bool:
    return bool(one - two and two - one)


def _title(claim: Claim) -> frozenset[int]:
    return frozenset(_ENCODER.document(claim.page.title, claim.page.locale).indices)


def _finding(one: Claim, two: Claim, units: Sequence[str]) -> Finding:
    said = "; ".join(
        " against ".join(", ".join(sorted(claim.quantities[unit])) for claim in (one, two))
        for unit in units
    )
    return Finding(
        "contradiction",
        f"{one.page.title!r} and {two.page.title!r} disagree: {said}",
        [claim.page.place(claim.part.text, claim.part.line) for claim in (one, two)],
        "Find out which holds and correct the other; until then hide one with"
        " `twofold knowledge quarantine`.",
    )
