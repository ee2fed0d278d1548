"""Pages that say the same: equal texts, and texts that share most of their phrases (MinHash)."""

from collections import Counter
from collections.abc import Iterator, Sequence

from datasketch import MinHash, MinHashLSH  # type: ignore[import-untyped]

from ingestion.lint.findings import Finding
from ingestion.lint.pages import Page
from ingestion.lint.upkeep import supersedes
from twofold.counted import counted
from twofold.index.contract import content_hash

PERMUTATIONS = 128
SHINGLE = 3
"""Words of a phrase."""
NEAR = 0.28
"""Share of phrases in common (Jaccard), without those of a template. Pages that tell one story of
two products share about so much; unrelated articles of one house style under a tenth."""
TEMPLATE_PAGES = 4
TEMPLATE_SHARE = 0.02
"""A phrase of more pages than that is of a template, and says nothing about any two of them."""
MIN_PHRASES = 30


def duplicates(pages: Sequence[Page], now: float) -> Iterator[Finding]:
    """Yields near-duplicates among pages of one language that apply now."""
    equal: dict[str, list[Page]] = {}
    for page in pages:
        if page.applies(now) and page.words:
            digest = content_hash(page.locale, " ".join(page.words).lower())
            equal.setdefault(digest, []).append(page)
    for group in equal.values():
        if len(group) > 1:
            yield Finding(
                "duplicate",
                f"{counted(len(group), 'page')} hold the same text",
                [page.place(page.title) for page in group],
                "Keep one, and let the others' addresses lead to it.",
            )
    firsts = [group[0] for group in equal.values()]
    for one, two, share in near_pairs(firsts):
        if supersedes(one, two) or supersedes(two, one):
            continue
        yield Finding(
            "near_duplicate",
            f"{one.title!r} and {two.title!r} share {share:.0%} of their phrases",
            [one.place(one.title), two.place(two.title)],
            "Put what they share on one page, or say in each what sets it apart.",
        )


def near_pairs(pages: Sequence[Page]) -> Iterator[tuple[Page, Page, float]]:
    """Yields pairs over NEAR with their exact Jaccard index; MinHash only finds the candidates."""
    # Bands that miss few at the threshold; the exact index below takes out what is too far.
    lsh = MinHashLSH(threshold=NEAR - 0.1, num_perm=PERMUTATIONS)
    phrases = _without_templates([_phrases(page) for page in pages])
    for at, page in enumerate(pages):
        if len(phrases[at]) < MIN_PHRASES:
            continue
        sketch = MinHash(PERMUTATIONS)
        sketch.update_batch([phrase.encode() for phrase in phrases[at]])
        for other in sorted(lsh.query(sketch)):
            share = len(phrases[at] & phrases[other]) / len(phrases[at] | phrases[other])
            if share >= NEAR and pages[other].locale == page.locale:
                yield pages[other], page, share
        lsh.insert(at, sketch)


def _phrases(page: Page) -> set[str]:
    words = [word.strip(".,;:!?()[]*_`\"'").lower() for word in page.words]
    return {" ".join(words[at : at + SHINGLE]) for at in range(len(words) - SHINGLE + 1)}


def _without_templates(phrases: list[set[str]]) -> list[set[str]]:
    spread = Counter(phrase for each in phrases for phrase in each)
    most = max(TEMPLATE_PAGES, TEMPLATE_SHARE * len(phrases))
    return [{phrase for phrase in each if spread[phrase] <= most} for each in phrases]
