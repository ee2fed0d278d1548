"""A website: the pages its sitemaps name, or those that its links lead to."""

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from fnmatch import translate
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import httpx
from protego import Protego
from pydantic import Field

from ingestion.sources.addresses import shown
from ingestion.sources.base import Fetched, Incomplete, NotRead
from ingestion.sources.cache import Cache
from ingestion.sources.config import SourceConfig, Texts, read_config
from ingestion.sources.fetcher import AGENT, FetchedPage, Fetcher
from ingestion.sources.pages import Repeats, WebText, allows_index, read_page
from ingestion.sources.sitemap import NoSitemap, SitemapEntry, read_sitemap
from ingestion.sources.web import Web
from twofold.counted import counted
from twofold.errors import (
    Forbidden,
    InvalidInput,
    NotFound,
    Overloaded,
    TwofoldError,
    UpstreamError,
)

KIND = "website"
MAX_CRAWL_DELAY = 10.0
FAILURES_IN_A_ROW = 10
SHOWN_PROBLEMS = 3
ROBOTS_CHARS = 512_000
"""More of a robots.txt is not read (RFC 9309, 2.5)."""
MOST_RULES = 2_000_000
MAX_ORIGINALS = 3
"""Pages that name an original that names an original, and so on."""
ALIKE = 0.9
"""Share of words that a page and its original have in common."""
_HTML = ("text/html", "application/xhtml+xml")
_READ = (*_HTML, "text/plain", "text/markdown", "application/pdf")
_TRACKING = re.compile(r"utm_\w+|gclid|fbclid|mc_[ce]id|ref|_ga")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")


class WebsiteConfig(SourceConfig):
    """`include` and `exclude` are patterns of paths, such as /help/*; excluding wins."""

    url: str
    sitemaps: Texts = ()
    hosts: Texts = ()
    include: Texts = ()
    exclude: Texts = ()
    content: str = ""
    without: Texts = ()
    crawl: bool = False
    max_pages: int = Field(default=5000, ge=1, le=100_000)
    requests_per_second: float = Field(default=4.0, gt=0, le=50)


class WebPage(NamedTuple):
    """A page that was visited; `problem` is why it could not be read."""

    external_id: str
    cache: Cache
    repeats: Repeats
    problem: TwofoldError | NotRead | None = None

    def fetch(self) -> Fetched:
        if self.problem is not None:
            raise self.problem
        kept = self.cache.record("page", self.external_id)
        if "text" in kept:
            body = self.repeats.without(self.external_id, kept["text"]).encode()
        else:
            body = bytes.fromhex(kept["raw"])
        return Fetched(body, kept["media_type"], kept["updated_at"], kept["meta"], trusted=False)


class Website:
    """Pages of one site, known by their canonical address.

    robots.txt is obeyed. A page that is gone (404, 410), forbidden (401, 403) or shut out by
    robots.txt is not there; one that fails otherwise keeps what was live of it.
    """

    kind = KIND

    def __init__(self, name: str, config: Mapping[str, Any], web: Web) -> None:
        self.name = name
        self._config = read_config(WebsiteConfig, KIND, config)
        self._web = web
        self._start = httpx.URL(web.check(self._config.url))
        self._hosts = {self._start.host, *(host.lower() for host in self._config.hosts)}
        self._include = [re.compile(translate(each)) for each in self._config.include]
        self._exclude = [re.compile(translate(each)) for each in self._config.exclude]
        for sitemap in self._config.sitemaps:
            web.check(sitemap)

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config.record()

    def discover(self) -> Iterator[WebPage]:
        """Visits every page. Raises UpstreamError where the site as a whole cannot be read, and
        Incomplete behind the pages where there may be others."""
        cache = self._web.cache(KIND, self.name, self.config)
        pace = 1 / self._config.requests_per_second
        with self._web.fetcher(cache, pace=pace) as fetcher:
            visit = _Visit(self, fetcher, cache)
            yield from visit.pages()
            if visit.problems:
                raise Incomplete(" ".join(visit.problems[:SHOWN_PROBLEMS]))
            cache.drop_others("page", visit.emitted)
            cache.drop_other_pages(visit.requested)

    def wanted(self, url: httpx.URL) -> bool:
        if url.host not in self._hosts or url.scheme not in ("http", "https"):
            return False
        path = url.raw_path.decode("ascii", "replace")
        if any(pattern.match(path) for pattern in self._exclude):
            return False
        return not self._include or any(pattern.match(path) for pattern in self._include)


class _Visit:
    """One walk over the site."""

    def __init__(self, site: Website, fetcher: Fetcher, cache: Cache) -> None:
        self._site = site
        self._config = site._config
        self._fetcher = fetcher
        self._cache = cache
        self._robots: dict[str, Protego] = {}
        self._crawling = False
        self._queue: deque[SitemapEntry] = deque()
        self._known: set[str] = set()
        self._visited: set[str] = set()
        self._words: dict[str, frozenset[str]] = {}
        """Identity of each page that was kept, and the words of its content."""
        self._repeats = Repeats()
        self._failures = 0
        self.problems: list[str] = []
        """Why there may be pages that were not found."""
        self.emitted: set[str] = set()
        self.requested: set[str] = set()

    def pages(self) -> Iterator[WebPage]:
        self._crawling = self._config.crawl or not self._from_sitemaps()
        if self._crawling:
            self._add(SitemapEntry(str(self._site._start), None), start=True)
        while self._queue:
            yield from self._visit(self._queue.popleft())

    def _from_sitemaps(self) -> bool:
        start = self._site._start
        named = self._config.sitemaps or list(self._rules_of(start).sitemaps)
        addresses = named or [str(start.join("/sitemap.xml"))]
        found = False
        seen: set[str] = set()
        for address in addresses:
            self.requested.add(address)
            try:
                for entry in read_sitemap(self._fetcher, address, self.problems, seen):
                    self._add(entry)
                    found = True
            except (NotFound, NoSitemap) as error:
                # A missing sitemap at the usual place is no error: nobody named it.
                if named:
                    self.problems.append(error.message)
        return found

    def _add(self, entry: SitemapEntry, *, start: bool = False) -> None:
        try:
            url = httpx.URL(entry.url)
            address = normal(url)
        except (httpx.InvalidURL, ValueError):
            return
        if address in self._known or not (start or self._site.wanted(url)):
            return
        if len(self._known) >= self._config.max_pages:
            raise InvalidInput(
                f"The site has over {self._config.max_pages} pages. Narrow `include`, or raise"
                " `max_pages`."
            )
        self._known.add(address)
        self._queue.append(SitemapEntry(address, entry.changed))

    def _visit(self, entry: SitemapEntry, depth: int = 0) -> Iterator[WebPage]:
        url = httpx.URL(entry.url)
        if entry.url in self._visited or not self._rules_of(url).can_fetch(entry.url, AGENT):
            return
        self._visited.add(entry.url)
        self.requested.add(entry.url)
        try:
            page = self._fetcher.get(entry.url, accept=_READ)
            self._failures = 0
        except NotFound:
            self._failures = 0
            return
        except Forbidden as error:
            self._failed(error)
            return
        except Overloaded:
            raise
        except TwofoldError as error:
            self._failed(error)
            if self._crawling:
                # Where its links lead is not known.
                self.problems.append(error.message)
            yield from self._emit(self._cache.record("identity", entry.url) or entry.url, error)
            return
        self.requested.add(page.url)
        try:
            yield from self._keep(entry, page, depth)
        except TwofoldError as error:
            yield from self._emit(entry.url, error)

    def _failed(self, error: TwofoldError) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise UpstreamError(
                f"{counted(self._failures, 'page')} in a row could not be read"
                f" ({error.message}) Nothing was removed. Mend that, then sync again."
            ) from error

    def _emit(
        self, identity: str, problem: TwofoldError | NotRead | None = None
    ) -> Iterator[WebPage]:
        if identity not in self.emitted:
            self.emitted.add(identity)
            yield WebPage(identity, self._cache, self._repeats, problem)

    def _keep(self, entry: SitemapEntry, page: FetchedPage, depth: int) -> Iterator[WebPage]:
        """Stores what the page holds, unless it is another page's copy, or not of the site."""
        final = httpx.URL(page.url)
        if final.host not in self._site._hosts:
            return
        identity, record = normal(final), self._record(entry, page)
        indexed = allows_index(page.headers.get("x-robots-tag", ""))
        edges: Sequence[str] = ()
        if page.media_type in _HTML:
            read = self._read(page)
            indexed = indexed and read.indexed
            canonical = self._canonical(identity, read.canonical)
            if canonical != identity:
                yield from self._original(canonical, depth)
                held = self._words.get(canonical)
                if held is not None and _alike(held, read.words):
                    self._cache.keep("identity", entry.url, canonical)
                    return
                # Different pages that all name one of them stay what they are.
                identity = canonical if held is None else identity
            locale = read.locale if _LOCALE.fullmatch(read.locale) else ""
            meta = self._config.meta(title=read.title, url=identity, locale=locale)
            record |= {"text": read.html, "media_type": "text/html", "meta": meta}
            edges = read.edges
            self._words.setdefault(identity, read.words)
        if not self._site.wanted(httpx.URL(identity)):
            return
        self._cache.keep("identity", entry.url, identity)
        if not indexed:
            out = NotRead("It is not for the public: its robots tag says noindex.", hidden=True)
            yield from self._emit(identity, out)
            return
        if identity not in self.emitted:
            self._cache.keep("page", identity, record)
            if "text" in record:
                self._repeats.add(identity, edges)
        yield from self._emit(identity)

    def _read(self, page: FetchedPage) -> WebText:
        config = self._config
        read = read_page(
            page.body,
            page.headers.get("content-type", ""),
            page.url,
            content=config.content,
            without=config.without,
            bounds=self._site._web.bounds,
        )
        if self._crawling:
            for link in read.links:
                self._add(SitemapEntry(link, None))
        return read

    def _original(self, canonical: str, depth: int) -> Iterator[WebPage]:
        """Yields the page that another one names as its original, read first."""
        if depth < MAX_ORIGINALS and self._site.wanted(httpx.URL(canonical)):
            self._known.add(canonical)
            yield from self._visit(SitemapEntry(canonical, None), depth + 1)

    def _canonical(self, landed: str, canonical: str) -> str:
        if not canonical:
            return landed
        try:
            url = httpx.URL(canonical)
            # A page may not speak for another site.
            return normal(url) if url.host in self._site._hosts else landed
        except (httpx.InvalidURL, ValueError):
            return landed

    def _record(self, entry: SitemapEntry, page: FetchedPage) -> dict[str, Any]:
        changed = entry.changed or _date(page.headers.get("last-modified", ""))
        meta = self._config.meta(url=page.url)
        record = {"media_type": page.media_type, "updated_at": changed, "meta": meta}
        return record if page.media_type in _HTML else {**record, "raw": page.body.hex()}

    def _rules_of(self, url: httpx.URL) -> Protego:
        origin = str(url.copy_with(raw_path=b"/robots.txt", fragment=None))
        if origin not in self._robots:
            self.requested.add(origin)
            try:
                text = self._fetcher.get(origin).body.decode("utf-8", "replace")
            except (NotFound, Forbidden):
                # RFC 9309, 2.3.1.3: what may not be read forbids nothing.
                text = ""
            rules = _robots(text, origin)
            if delay := rules.crawl_delay(AGENT):
                self._fetcher.slow_down(url.host, min(float(delay), MAX_CRAWL_DELAY))
            self._robots[origin] = rules
        return self._robots[origin]


def _robots(text: str, url: str) -> Protego:
    """Raises UpstreamError where it names so many robots that nobody means it."""
    text = text[:ROBOTS_CHARS]
    lines = text.lower().splitlines()
    # Each robot of a group is given a rule of its own for each line.
    if sum("agent" in line for line in lines) * len(lines) > MOST_RULES:
        raise UpstreamError(f"{shown(url)} names too many robots to be read.")
    return Protego.parse(text)


def _alike(a: frozenset[str], b: frozenset[str]) -> bool:
    return len(a & b) >= len(a | b) * ALIKE


def normal(url: httpx.URL) -> str:
    """Returns one spelling for one page: no fragment, no tracking keys, no default port."""
    query = url.query.decode("ascii", "replace")
    kept = [
        (key, value)
        for key, value in parse_qsl(query, keep_blank_values=True)
        if not _TRACKING.fullmatch(key)
    ]
    query = urlencode(kept) if len(kept) != len(parse_qsl(query, keep_blank_values=True)) else query
    path = url.raw_path.partition(b"?")[0] or b"/"
    return str(
        url.copy_with(raw_path=path + (b"?" + query.encode() if query else b""), fragment=None)
    )


def _date(header: str) -> float | None:
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
