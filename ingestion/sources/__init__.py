"""Sources, one module each behind one small interface: discover -> fetch."""

import re
from collections.abc import Mapping
from typing import Any

from ingestion.sources.base import NO_META, OURS, Fetched, Incomplete, Item, NotRead, Source
from ingestion.sources.folder import MEDIA_TYPES, Folder, not_read
from ingestion.sources.registry import KINDS, open_source
from twofold.errors import InvalidInput
from twofold.settings import Settings

__all__ = [
    "KINDS",
    "MEDIA_TYPES",
    "NO_META",
    "OURS",
    "Fetched",
    "Folder",
    "Incomplete",
    "Item",
    "NotRead",
    "Source",
    "check_name",
    "not_read",
    "open_source",
    "reopen",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def check_name(name: str) -> str:
    """Returns the name, if it can name a source. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} cannot name a source. Use up to 63 lower-case letters, digits, - and _."
        )
    return name


def reopen(settings: Settings, name: str, kind: str, config: Mapping[str, Any]) -> Source:
    """Returns a source from what the ledger keeps of it. Raises InvalidInput where it cannot be
    opened."""
    return open_source(settings, kind, check_name(name), config)
