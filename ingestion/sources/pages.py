"""Web pages: what each holds, and what most pages of a site begin or end with."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ingestion.confined import Bounds, ask

_READ = "ingestion.sources.read.page:answer"
_TRIM = "ingestion.sources.read.page:trimmed"
_NOT_INDEXED = re.compile(r"\b(?:noindex|none)\b", re.IGNORECASE)


class WebText(NamedTuple):
    """What a page holds. Addresses are absolute; `canonical` is "" where it names none."""

    title: str
    locale: str
    links: Sequence[str]
    indexed: bool
    """Whether the page lets itself be found."""
    html: str = ""
    canonical: str = ""
    words: frozenset[str] = frozenset()
    """Of its main content."""
    edges: Sequence[str] = ()
    """Marks of the blocks that it begins and ends with."""


def read_page(
    body: bytes,
    content_type: str,
    url: str,
    *,
    content: str = "",
    without: Sequence[str] = (),
    bounds: Bounds | None = None,
) -> WebText:
    """Returns the page's main content, or that of the element that the selector `content` finds.

    Elements that a selector of `without` finds are taken out. Raises InvalidInput where `content`
    finds nothing, a selector is none, or the page takes more than a page may.
    """
    asked = {"content_type": content_type, "url": url, "content": content, "without": without}
    said = ask(_READ, asked, body, bounds)
    return WebText(**{**said, "words": frozenset(said.get("words", ()))})


def allows_index(robots: str) -> bool:
    """Returns whether a robots tag, of a page or of a header, lets a page be found."""
    return not _NOT_INDEXED.search(robots)


class Repeats:
    """Blocks that stand at the edge of most pages of a site: they are the site's, not the page's.

    What they say is kept once, on the first page: no fact goes.
    """

    LEAST = 5
    """Fewer pages do not tell a site's blocks from a coincidence."""
    SHARE = 0.6

    def __init__(self) -> None:
        self._pages = 0
        self._counts: Counter[str] = Counter()
        self._first = ""
        self._repeated: tuple[int, list[str]] = (0, [])
        """Of so many pages."""

    def add(self, identity: str, edges: Sequence[str]) -> None:
        self._pages += 1
        self._first = min(self._first or identity, identity)
        self._counts.update(edges)

    def without(self, identity: str, html: str) -> str:
        """Returns the page without what most pages begin or end with."""
        if self._pages < self.LEAST or identity == self._first:
            return html
        if self._repeated[0] != self._pages:
            most = self._pages * self.SHARE
            self._repeated = self._pages, [mark for mark, n in self._counts.items() if n >= most]
        repeated = self._repeated[1]
        if not repeated:
            return html
        trimmed: str = ask(_TRIM, {"repeated": repeated}, html.encode())["html"]
        return trimmed
