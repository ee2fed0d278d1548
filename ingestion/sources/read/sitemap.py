"""The rows of a sitemap."""

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from twofold.errors import InvalidInput

_PAGE = re.compile(
    rb"\A\s*+(?:<!--[^>]{0,500}-->\s*+)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE
)


def answer(_asked: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """Returns `rows` of a kind (`sitemap` or `url`), an address and what it says of its last
    change; none where it `is_page`, for people. Raises InvalidInput where it is neither."""
    if raw.lstrip()[:1] != b"<":
        # The protocol's plain form: one address a line.
        lines = map(str.strip, raw.decode("utf-8", "replace").splitlines())
        return {"rows": [("url", line, "") for line in lines if line.startswith("http")]}
    if _PAGE.match(raw[:1000]):
        return {"is_page": True}
    # A sitemap needs no document type; one that declares entities is an attack.
    if b"<!DOCTYPE" in raw or b"<!ENTITY" in raw:
        raise InvalidInput("It declares a document type. Take it out.")
    try:
        root = ElementTree.fromstring(raw)  # noqa: S314  in the confined process
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise InvalidInput(f"It is not valid XML: {error}.") from error
    if _local(root) not in ("urlset", "sitemapindex"):
        raise InvalidInput("It is not a sitemap. Name the right one in `sitemaps`.")
    rows = ((_local(each), _text(each, "loc"), _text(each, "lastmod")) for each in root)
    return {"rows": [row for row in rows if row[0] in ("sitemap", "url") and row[1]]}


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _text(element: ElementTree.Element, name: str) -> str:
    return next(((child.text or "").strip() for child in element if _local(child) == name), "")
