"""An RSS or Atom feed, of release notes for instance."""

import calendar
import re
from collections.abc import Iterator, Mapping
from typing import Any

import feedparser
from pydantic import Field

from ingestion.sources.addresses import shown
from ingestion.sources.cache import Cache
from ingestion.sources.config import SourceConfig, read_config
from ingestion.sources.fetcher import Fetcher, Page
from ingestion.sources.records import Record, text
from ingestion.sources.web import Web
from twofold.errors import UpstreamError

KIND = "feed"
_HEAD = 4096
_FEEDS = (
    "application/rss+xml",
    "application/atom+xml",
    "application/rdf+xml",
    "application/xml",
    "text/xml",
    "text/plain",
)


class FeedConfig(SourceConfig):
    """A feed names its newest entries only. With `keep_older`, those that it named before stay;
    `max_pages` bounds how far its links to older entries (RFC 5005) are followed."""

    url: str
    locale: str = ""
    keep_older: bool = True
    max_pages: int = Field(default=20, ge=1, le=1000)


class Feed:
    kind = KIND

    def __init__(self, name: str, config: Mapping[str, Any], web: Web) -> None:
        self.name = name
        self._config = read_config(FeedConfig, KIND, config)
        self._web = web
        web.check(self._config.url)

    @property
    def config(self) -> Mapping[str, Any]:
        return self._config.record()

    def discover(self) -> Iterator[Record]:
        """Raises UpstreamError where it is no feed."""
        with (
            self._web.cache(KIND, self.name, self.config) as cache,
            self._web.fetcher(cache) as fetcher,
        ):
            found = {record.external_id: record for record in self._entries(fetcher)}
            yield from found.values()
            if self._config.keep_older:
                yield from _older(cache, found)

    def _entries(self, fetcher: Fetcher) -> Iterator[Record]:
        url: str | None = self._config.url
        seen: set[str] = set()
        while url and url not in seen and len(seen) < self._config.max_pages:
            seen.add(url)
            page = fetcher.get(url, accept=_FEEDS)
            parsed = _parse(page)
            for entry in parsed.entries:
                if (record := self._record(entry)) is not None:
                    yield record
            links = {link.get("rel"): link.get("href") for link in parsed.feed.get("links", [])}
            url = links.get("next") or links.get("prev-archive")

    def _record(self, entry: Any) -> Record | None:
        key = text(entry.get("id")) or text(entry.get("link"))
        contents = [text(each.get("value")) for each in entry.get("content", [])]
        body = max([*contents, text(entry.get("summary"))], key=len)
        if not key or not body:
            return None
        # Asked for what is not there, feedparser gives the other one, with a warning.
        named = "updated_parsed" if "updated_parsed" in entry else "published_parsed"
        moment = entry.get(named)
        link = text(entry.get("link"))
        meta = self._config.meta(
            title=text(entry.get("title")),
            url=link if link.startswith(("https://", "http://")) else "",
            locale=self._config.locale,
            labels=[text(tag.get("term")) for tag in entry.get("tags", []) if tag.get("term")],
        )
        meta.setdefault("kind", "release_note")
        updated = float(calendar.timegm(moment)) if moment else None
        return Record(key[:500], body, "text/html", updated, meta)


def _parse(page: Page) -> Any:
    if re.search(rb"<!(?:DOCTYPE[^>]*\[|ENTITY)", page.body[:_HEAD], re.IGNORECASE):
        raise UpstreamError(f"The feed {shown(page.url)} declares entities. Take them out.")
    content_type = page.headers.get("content-type", "")
    headers = {"content-type": content_type, "content-location": page.url}
    parsed = feedparser.parse(page.body, response_headers=headers)
    # Broken XML is read as far as it goes; what comes behind would look deleted.
    broken = parsed.bozo and not isinstance(
        parsed.bozo_exception, feedparser.NonXMLContentType | feedparser.CharacterEncodingOverride
    )
    if broken or not parsed.get("version"):
        raise UpstreamError(f"{shown(page.url)} is not a feed that can be read to its end.")
    return parsed


def _older(cache: Cache, found: Mapping[str, Record]) -> Iterator[Record]:
    for key in cache.keys("entry"):
        if key not in found:
            yield Record(*cache.record("entry", key))
    for key, record in found.items():
        cache.keep("entry", key, list(record))
