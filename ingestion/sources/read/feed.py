"""The entries of an RSS or Atom feed."""

import calendar
import re
from collections.abc import Mapping
from typing import Any

import feedparser

from twofold.errors import InvalidInput

_HEAD = 4096


def answer(asked: Mapping[str, Any], raw: bytes) -> dict[str, Any]:
    """Returns its `entries`, and where `next` ones stand. Raises InvalidInput where it is no
    whole feed."""
    if re.search(rb"<!(?:DOCTYPE[^>]*\[|ENTITY)", raw[:_HEAD], re.IGNORECASE):
        raise InvalidInput("It declares entities. Take them out.")
    headers = {"content-type": asked["content_type"], "content-location": asked["url"]}
    parsed = feedparser.parse(raw, response_headers=headers)
    # Broken XML is read up to the fault: the documents behind it would look deleted.
    broken = parsed.bozo and not isinstance(
        parsed.bozo_exception, feedparser.NonXMLContentType | feedparser.CharacterEncodingOverride
    )
    if broken or not parsed.get("version"):
        raise InvalidInput("It is not a feed that can be read to its end.")
    links = {link.get("rel"): link.get("href") for link in parsed.feed.get("links", [])}
    return {
        "entries": [_entry(each) for each in parsed.entries],
        "next": links.get("next") or links.get("prev-archive"),
    }


def _entry(entry: Any) -> dict[str, Any]:
    contents = [_text(each.get("value")) for each in entry.get("content", [])]
    return {
        "id": _text(entry.get("id")),
        "link": _text(entry.get("link")),
        "title": _text(entry.get("title")),
        "body": max([*contents, _text(entry.get("summary"))], key=len),
        "labels": [_text(tag.get("term")) for tag in entry.get("tags", []) if tag.get("term")],
        "updated_at": _moment(entry),
    }


def _moment(entry: Any) -> float | None:
    # Where one date is missing, feedparser returns the other one, with a warning.
    named = "updated_parsed" if "updated_parsed" in entry else "published_parsed"
    try:
        return float(calendar.timegm(entry[named]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""
