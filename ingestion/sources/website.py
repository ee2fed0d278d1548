"""A website: the pages its sitemaps name, or those that its links lead to."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from fnmatch import translate
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlencode

import httpx
from protego import Protego
from pydantic import Field

from ingestion.sources.base import Fetched, without_front_matter
from ingestion.sources.cache import Cache
from ingestion.sources.config import SourceConfig, Texts, read_config
from ingestion.sources.fetcher import AGENT, Fetcher, Page
from ingestion.sources.pages import decode_page, read_page
from ingestion.sources.sitemap import Entry, read_sitemap
from ingestion.sources.web import Web
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
    problem: TwofoldError | None = None

    def fetch(self) -> Fetched:
        if self.problem is not None:
            raise self.problem
        kept = self.cache.record("page", self.external_id)
        body = kept["text"].encode() if "text" in kept else bytes.fromhex(kept["raw"])
        if kept["media_type"].startswith("text/"):
            body = without_front_matter(body)
        return Fetched(body, kept["media_type"], kept["updated_at"], kept["meta"])


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
        """Visits every page. Raises UpstreamError where the site as a whole cannot be read."""
        cache = self._web.cache(KIND, self.name, self.config)
        pace = 1 / self._config.requests_per_second
        with self._web.fetcher(cache, pace=pace) as fetcher:
            visit = _Visit(self, fetcher, cache)
            yield from visit.pages()
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
        self._queue: deque[Entry] = deque()
        self._known: set[str] = set()
        self._failures = 0
        self.emitted: set[str] = set()
        self.requested: set[str] = set()

    def pages(self) -> Iterator[WebPage]:
        crawling = self._config.crawl or not self._from_sitemaps()
        if crawling:
            self._add(Entry(str(self._site._start), None), start=True)
        while self._queue:
            entry = self._queue.popleft()
            yield from self._visit(entry, follow=crawling)

    def _from_sitemaps(self) -> bool:
        start = self._site._start
        named = self._config.sitemaps or list(self._rules_of(start).sitemaps)
        addresses = named or [str(start.join("/sitemap.xml"))]
        found = False
        for address in addresses:
            self.requested.add(address)
            try:
                for entry in read_sitemap(self._fetcher, address):
                    self._add(entry)
                    found = True
            except NotFound:
                if self._config.sitemaps:
                    raise
        return found

    def _add(self, entry: Entry, *, start: bool = False) -> None:
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
        self._queue.append(Entry(address, entry.changed))

    def _visit(self, entry: Entry, *, follow: bool) -> Iterator[WebPage]:
        url = httpx.URL(entry.url)
        if not self._rules_of(url).can_fetch(entry.url, AGENT):
            return
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
            yield from self._emit(self._cache.record("identity", entry.url) or entry.url, error)
            return
        self.requested.add(page.url)
        try:
            identity = self._keep(entry, page, follow=follow)
        except TwofoldError as error:
            yield from self._emit(entry.url, error)
            return
        if identity:
            self._cache.keep("identity", entry.url, identity)
            yield from self._emit(identity)

    def _failed(self, error: TwofoldError) -> None:
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise UpstreamError(
                f"{self._failures} pages in a row could not be read ({error.message}) Nothing was"
                " removed. Mend that, then sync again."
            ) from error

    def _emit(self, identity: str, problem: TwofoldError | None = None) -> Iterator[WebPage]:
        if identity not in self.emitted:
            self.emitted.add(identity)
            yield WebPage(identity, self._cache, problem)

    def _keep(self, entry: Entry, page: Page, *, follow: bool) -> str:
        """Store what the page holds; "" where it is another page's copy, or not of the site."""
        final = httpx.URL(page.url)
        if final.host not in self._site._hosts:
            return ""
        landed = normal(final)
        identity, record = landed, self._record(entry, page)
        if page.media_type in _HTML:
            config = self._config
            text = decode_page(page.body, page.headers.get("content-type", ""))
            read = read_page(text, page.url, content=config.content, without=config.without)
            if follow:
                for link in read.links:
                    self._add(Entry(link, None))
            identity = self._identity(landed, read.canonical)
            locale = read.locale if _LOCALE.fullmatch(read.locale) else ""
            record["text"] = read.html
            record["media_type"] = "text/html"
            record["meta"] = config.meta(title=read.title, url=identity, locale=locale)
        if not self._site.wanted(httpx.URL(identity)):
            return ""
        if identity != entry.url and identity in self._known:
            return ""
        if identity not in self.emitted:
            self._cache.keep("page", identity, record)
        return identity

    def _identity(self, landed: str, canonical: str) -> str:
        if not canonical:
            return landed
        try:
            url = httpx.URL(canonical)
            # A page may not speak for another site.
            return normal(url) if url.host in self._site._hosts else landed
        except (httpx.InvalidURL, ValueError):
            return landed

    def _record(self, entry: Entry, page: Page) -> dict[str, Any]:
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
            rules = Protego.parse(text)
            if delay := rules.crawl_delay(AGENT):
                self._fetcher.slow_down(url.host, min(float(delay), MAX_CRAWL_DELAY))
            self._robots[origin] = rules
        return self._robots[origin]


def normal(url: httpx.URL) -> str:
    """One spelling for one page: no fragment, no tracking keys, no default port."""
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
    except (ValueError, TypeError):
        return None
