"""What a source that is read over HTTP needs of its surroundings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import orjson

from ingestion.confined import Bounds
from ingestion.sources.addresses import Rules, check_url
from ingestion.sources.cache import Cache
from ingestion.sources.fetcher import Fetcher, FetchLimits
from twofold.index.contract import content_hash
from twofold.settings import Settings


class Web(NamedTuple):
    """Rules, limits and memory for reading the web; a test has a transport of its own."""

    rules: Rules = Rules()
    limits: FetchLimits = FetchLimits()
    state: Path | None = None
    """A folder to remember things in between syncs."""
    transport: httpx.BaseTransport | None = None
    bounds: Bounds = Bounds()
    """What reading one answer may take."""

    @classmethod
    def of(cls, settings: Settings) -> "Web":
        rules = Rules(tuple(settings.source_ports), tuple(settings.source_private_hosts))
        limits = FetchLimits(max_bytes=int(settings.max_file_mb * 1e6))
        return cls(rules, limits, settings.home / "sources")

    def cache(self, kind: str, name: str, config: Mapping[str, Any]) -> Cache:
        """Returns the memory of this config: another config has another one, since what was kept
        may not be of its pages."""
        if self.state is None:
            return Cache()
        written = orjson.dumps(dict(config), option=orjson.OPT_SORT_KEYS).decode()
        return Cache(self.state / f"{name}-{content_hash(kind, written)[:12]}.db")

    def fetcher(self, cache: Cache | None = None, *, pace: float | None = None) -> Fetcher:
        limits = self.limits if pace is None else self.limits._replace(pace=pace)
        return Fetcher(self.rules, limits, cache=cache, transport=self.transport)

    def check(self, url: str) -> str:
        """Returns the address, if it may be fetched. Raises InvalidInput or Forbidden."""
        return str(check_url(url, self.rules))
