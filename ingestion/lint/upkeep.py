"""Rules that look at one page, or at its links: stale, expired, thin, broken links, orphans."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from urllib.parse import unquote

from ingestion.lint.findings import Finding, Place
from ingestion.lint.pages import Page, today
from twofold.counted import counted

THIN_WORDS = 30
"""A page of fewer words hardly answers anything that its title promises."""
SHOWN_CHARS = 160

_PAGES = {"md", "markdown", "mdx", "html", "htm"}
_LINK = re.compile(r"(?<!!)\[([^\[\]]*+)\]\(<?([^()\s>]++)>?(?:\s++\"[^\"]*+\")?\)")


def freshness(pages: Sequence[Page], now: float) -> Iterator[Finding]:
    """Yields pages past their review date, and rules that ended with nothing in their place."""
    day = today(now)
    superseded = {
        _target(page, str(page.meta["supersedes"])) for page in pages if _supersedes(page)
    }
    for page in pages:
        review = page.day("review_by")
        if review is not None and review < day and page.ends > now:
            late = (day - review).days
            place = page.place(f"review_by: {review}", page.key_line("review_by"))
            yield Finding(
                "stale",
                f"{page.title!r} was to be reviewed by {review}, {counted(late, 'day')} ago",
                [place],
                "Check what it says, mend it, and set review_by to the next date.",
            )
        if page.ends <= now and page.id not in superseded and not _followed(page, pages, now):
            ended = today(page.ends - 1)
            yield Finding(
                "expired",
                f"{page.title!r} ended on {ended} and nothing took its place",
                [page.place(f"expires_at: {ended}", page.key_line("expires_at"))],
                "Publish what applies now with `supersedes:` naming this page, or remove it.",
            )


def thin(pages: Sequence[Page]) -> Iterator[Finding]:
    for page in pages:
        if len(page.words) < THIN_WORDS:
            line = page.sections[0]["line"] if page.sections else 1
            shown = " ".join(page.words)[:SHOWN_CHARS]
            yield Finding(
                "thin",
                f"{page.title!r} holds {counted(len(page.words), 'word')}",
                [page.place(shown, page.line_of(page.text, line))],
                "Say what a customer does next, or join it to the page that needs it.",
            )


def links(pages: Sequence[Page]) -> Iterator[Finding]:
    """Yields relative links to pages that are not there, and pages that none links to."""
    ids = {page.id for page in pages}
    reached: set[str] = set()
    for page in pages:
        for place, target in _targets(page):
            if target in ids:
                reached.update({target} - {page.id})
            else:
                yield Finding(
                    "broken_link",
                    f"{page.title!r} links to {target}, which is not there",
                    [place],
                    "Correct the link, or write the page.",
                )
    if not reached:
        return
    for page in pages:
        if page.id not in reached:
            yield Finding(
                "orphan",
                f"No page links to {page.title!r}",
                [page.place(page.title)],
                "Link to it from the page that one reads before it.",
            )


def supersedes(page: Page, other: Page) -> bool:
    """Returns whether one of two pages took the other's place: they may differ."""
    named = _supersedes(page) and _target(page, str(page.meta["supersedes"])) == other.id
    return named or page.starts >= other.ends


def _targets(page: Page) -> Iterator[tuple[Place, str]]:
    for section in page.sections:
        for match in _LINK.finditer(section["text"]):
            path = unquote(match[2].partition("#")[0].partition("?")[0])
            if not path or "://" in path or path.startswith(("/", "mailto:", "tel:")):
                continue
            if path.rpartition(".")[2].lower() in _PAGES:
                line = page.line_of(match[0], section["line"])
                yield page.place(match[0], line), _target(page, path)


def _target(page: Page, path: str) -> str:
    """Returns the external id of what a relative path names; `supersedes` may also start at the
    root."""
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(page.id), path))
    root, _, _ = page.id.partition("/")
    return posixpath.normpath(path) if path.startswith(f"{root}/") else beside


def _supersedes(page: Page) -> bool:
    return isinstance(page.meta.get("supersedes"), str)


def _followed(page: Page, pages: Sequence[Page], now: float) -> bool:
    """Returns whether a page that applies takes over where this one ends, and links are how it
    says so."""
    ours = {target for _, target in _targets(page)}
    return any(each.id in ours and each.kind == page.kind and each.applies(now) for each in pages)
