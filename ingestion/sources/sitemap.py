"""Sitemaps (sitemaps.org): which pages a site says it has, and when each changed."""

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ingestion.confined import ask
from ingestion.sources.addresses import shown
from ingestion.sources.fetcher import Fetcher
from twofold.errors import InvalidInput, Overloaded, TooLarge, TwofoldError, UpstreamError

MAX_SITEMAPS = 500
MAX_BYTES = 50_000_000
"""Of one sitemap, unpacked: the protocol's own limit."""
_DEPTH = 3
_READ = "ingestion.sources.read.sitemap:answer"


class SitemapEntry(NamedTuple):
    """A page of a sitemap. `changed` is epoch seconds, None where it does not say."""

    url: str
    changed: float | None


class NoSitemap(UpstreamError):
    """Raised where a page for people stands in place of a sitemap."""


def read_sitemap(
    fetcher: Fetcher, url: str, problems: list[str], seen: set[str] | None = None
) -> Iterator[SitemapEntry]:
    """Yields its pages, those of the sitemaps it lists included, but for those of `seen`, which it
    joins.

    Raises NotFound where there is none, NoSitemap where it is a page, UpstreamError where it cannot
    be read, or where it is one sitemap too many. What is wrong with one that it lists is put into
    `problems`: its pages are not known, and not gone.
    """
    seen = set() if seen is None else seen
    pending: deque[tuple[str, int]] = deque()

    def expect(address: str, depth: int) -> None:
        if address in seen:
            return
        seen.add(address)
        if len(seen) > MAX_SITEMAPS or depth > _DEPTH:
            raise UpstreamError(
                f"The sitemap {shown(url)} lists over {MAX_SITEMAPS} sitemaps, or nests them over"
                f" {_DEPTH} deep. Name those that matter in `sitemaps`."
            )
        pending.append((address, depth))

    expect(url, 1)
    while pending:
        address, depth = pending.popleft()
        try:
            rows = _rows(address, fetcher.get(address).body)
        except Overloaded:
            raise
        except TwofoldError as error:
            if address == url:
                raise
            problems.append(error.message)
            continue
        for kind, where, changed in rows:
            if kind == "sitemap":
                expect(where, depth + 1)
            else:
                yield SitemapEntry(where, _moment(changed))


def _rows(url: str, body: bytes) -> Sequence[tuple[str, str, str]]:
    if body[:2] == b"\x1f\x8b":
        body = _unpack(url, body)
    try:
        said = ask(_READ, {}, body)
    except InvalidInput as error:
        raise UpstreamError(f"The sitemap {shown(url)}: {error.message}") from error
    if said.get("is_page"):
        raise NoSitemap(f"{shown(url)} is a page, and not a sitemap.")
    rows: Sequence[tuple[str, str, str]] = said["rows"]
    return rows


def _unpack(url: str, body: bytes) -> bytes:
    inflate = zlib.decompressobj(31)
    try:
        plain = inflate.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise UpstreamError(f"The sitemap {shown(url)} is damaged gzip.") from error
    if not inflate.eof:
        raise TooLarge(f"The sitemap {shown(url)} is over {MAX_BYTES / 1e6:.0f} MB. Split it.")
    return plain


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
