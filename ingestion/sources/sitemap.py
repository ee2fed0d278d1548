"""Sitemaps (sitemaps.org): which pages a site says it has, and when each changed."""

import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree import ElementTree

from ingestion.sources.addresses import shown
from ingestion.sources.fetcher import Fetcher
from twofold.errors import Overloaded, TooLarge, TwofoldError, UpstreamError

MAX_SITEMAPS = 500
MAX_BYTES = 50_000_000
"""Of one sitemap, unpacked: the protocol's own limit."""
_DEPTH = 3
_PAGE = re.compile(
    rb"\A\s*+(?:<!--[^>]{0,500}-->\s*+)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE
)


class Entry(NamedTuple):
    """A page of a sitemap. `changed` is epoch seconds, None where it does not say."""

    url: str
    changed: float | None


class NoSitemap(UpstreamError):
    """A page for people stands where a sitemap was looked for."""


def read_sitemap(fetcher: Fetcher, url: str, problems: list[str]) -> Iterator[Entry]:
    """Its pages, those of the sitemaps it lists included.

    Raises NotFound where there is none, NoSitemap where it is a page, UpstreamError where it cannot
    be read. What is wrong with one that it lists is put into `problems`: its pages are not known,
    and not gone.
    """
    seen: set[str] = set()
    pending = [(url, 1)]
    while pending:
        address, depth = pending.pop(0)
        if address in seen:
            continue
        seen.add(address)
        if len(seen) > MAX_SITEMAPS or depth > _DEPTH:
            raise UpstreamError(
                f"The sitemap {shown(url)} lists over {MAX_SITEMAPS} sitemaps, or nests them over"
                f" {_DEPTH} deep. Name those that matter in `sitemaps`."
            )
        try:
            root = _parse(address, fetcher.get(address).body)
        except Overloaded:
            raise
        except TwofoldError as error:
            if address == url:
                raise
            problems.append(error.message)
            continue
        for element in root:
            name = _local(element)
            where = _text(element, "loc")
            if name == "sitemap" and where:
                pending.append((where, depth + 1))
            elif name == "url" and where:
                yield Entry(where, _moment(_text(element, "lastmod")))


def _parse(url: str, body: bytes) -> ElementTree.Element:
    if body[:2] == b"\x1f\x8b":
        body = _unpack(url, body)
    if body.lstrip()[:1] != b"<":
        # The protocol's plain form: one address a line.
        root = ElementTree.Element("urlset")
        for line in body.decode("utf-8", "replace").splitlines():
            if line.strip().startswith("http"):
                entry = ElementTree.SubElement(root, "url")
                ElementTree.SubElement(entry, "loc").text = line.strip()
        return root
    if _PAGE.match(body[:1000]):
        raise NoSitemap(f"{shown(url)} is a page, and not a sitemap.")
    # A sitemap needs no document type; one that declares entities wants to blow up.
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise UpstreamError(f"The sitemap {shown(url)} declares a document type. Take it out.")
    try:
        root = ElementTree.fromstring(body)  # noqa: S314  no entities left to expand
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise UpstreamError(f"The sitemap {shown(url)} is not valid XML: {error}.") from error
    if _local(root) not in ("urlset", "sitemapindex"):
        raise UpstreamError(f"{shown(url)} is not a sitemap. Name the right one in `sitemaps`.")
    return root


def _unpack(url: str, body: bytes) -> bytes:
    inflate = zlib.decompressobj(31)
    try:
        plain = inflate.decompress(body, MAX_BYTES)
    except zlib.error as error:
        raise UpstreamError(f"The sitemap {shown(url)} is damaged gzip.") from error
    if not inflate.eof:
        raise TooLarge(f"The sitemap {shown(url)} is over {MAX_BYTES / 1e6:.0f} MB. Split it.")
    return plain


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next(((child.text or "").strip() for child in element if _local(child) == name), "")


def _moment(text: str) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
