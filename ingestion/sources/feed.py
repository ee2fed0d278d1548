"""An RSS or Atom feed, of release notes for instance."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from ingestion.confined import ask
from ingestion.sources.addresses import shown
from ingestion.sources.cache import Cache
from ingestion.sources.config import SourceConfig, read_config
from ingestion.sources.fetcher import FetchedPage, Fetcher
from ingestion.sources.records import Record
from ingestion.sources.web import Web
from twofold.errors import InvalidInput, UpstreamError

KIND = "feed"
_READ = "ingestion.sources.read.feed:answer"
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
            said = self._read(page)
            for entry in said["entries"]:
                if (record := self._record(entry)) is not None:
                    yield record
            url = said["next"]

    def _read(self, page: FetchedPage) -> dict[str, Any]:
        asked = {"content_type": page.headers.get("content-type", ""), "url": page.url}
        try:
            return ask(_READ, asked, page.body, self._web.bounds)
        except InvalidInput as error:
            raise UpstreamError(f"The feed {shown(page.url)}: {error.message}") from error

    def _record(self, entry: Mapping[str, Any]) -> Record | None:
        link, body = entry["link"], entry["body"]
        key = entry["id"] or link
        if not key or not body:
            return None
        meta = self._config.meta(
            title=entry["title"],
            url=link if link.startswith(("https://", "http://")) else "",
            locale=self._config.locale,
            labels=entry["labels"],
        )
        meta.setdefault("kind", "release_note")
        return Record(key[:500], body, "text/html", entry["updated_at"], meta)


def _older(cache: Cache, found: Mapping[str, Record]) -> Iterator[Record]:
    for key in cache.keys("entry"):
        if key not in found:
            yield Record(*cache.record("entry", key))
    for key, record in found.items():
        cache.keep("entry", key, list(record))
