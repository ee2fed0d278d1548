"""What sources that read a JSON API share: asking it, and handing over what it said."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import httpx
import orjson

from ingestion.sources.addresses import shown
from ingestion.sources.base import Fetched
from ingestion.sources.fetcher import NO_HEADERS, FetchedPage, Fetcher, origin
from twofold.errors import UpstreamError

JSON = ("application/json", "text/json")
MAX_PAGES = 10_000
"""Of one listing: a server that always names a next page does not hold us."""


class Record(NamedTuple):
    """A document that came with its listing."""

    external_id: str
    text: str
    media_type: str
    updated_at: float | None
    meta: Mapping[str, Any]

    def fetch(self) -> Fetched:
        raw = self.text.encode(errors="replace")
        return Fetched(raw, self.media_type, self.updated_at, self.meta, trusted=False)


class Api(NamedTuple):
    """An API behind one address, with the headers that every request carries."""

    fetcher: Fetcher
    root: str
    credentials: Mapping[str, str] = NO_HEADERS
    headers: Mapping[str, str] = NO_HEADERS

    def page(self, url: str) -> FetchedPage:
        """Raises UpstreamError for one of another server: where a listing goes on, its answer says,
        and credentials go along."""
        if not _same_origin(url, self.root):
            raise UpstreamError(f"{shown(self.root)} goes on at another server, {shown(url)}.")
        return self.fetcher.get(
            url,
            accept=JSON,
            headers={"Accept": "application/json", **self.headers},
            credentials=self.credentials,
        )

    def get(self, url: str) -> dict[str, Any]:
        """Returns an object. Raises UpstreamError where it is none."""
        found = parse(self.page(url))
        if not isinstance(found, dict):
            raise UpstreamError(f"{shown(url)} did not answer with a JSON object.")
        return found


def _same_origin(one: str, two: str) -> bool:
    try:
        return origin(httpx.URL(one)) == origin(httpx.URL(two))
    except (httpx.InvalidURL, ValueError):
        return False


def parse(page: FetchedPage) -> Any:
    try:
        return orjson.loads(page.body)
    except orjson.JSONDecodeError as error:
        raise UpstreamError(f"{shown(page.url)} did not answer with JSON.") from error


def rows(answer: Mapping[str, Any], key: str, url: str) -> list[dict[str, Any]]:
    """Returns the listed objects. Raises UpstreamError where the answer is not of the documented
    shape: a listing that is misread as empty would remove everything."""
    found = answer.get(key)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise UpstreamError(f"{shown(url)} did not answer with a list of {key!r}.")
    return found


def epoch(value: Any) -> float | None:
    """Returns epoch seconds of an ISO 8601 time, or of seconds; None where it is neither."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    try:
        return datetime.fromisoformat(str(value)).timestamp()
    except ValueError:
        return None


def text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
