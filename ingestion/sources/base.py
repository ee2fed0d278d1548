"""What every source is: it names its documents, and hands over the bytes of one when asked."""

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import orjson

from twofold.errors import UpstreamError

OURS = ("every", "hook_secret")
"""Keys of a config that no kind reads: the schedule, and what webhooks are signed with."""
NO_META: Mapping[str, Any] = MappingProxyType({})


class Fetched(NamedTuple):
    """A document as its source hands it over.

    `meta` holds what the source itself knows under the names of front matter (title, audience,
    url, ...); the document's own front matter wins over it. `updated_at` is epoch seconds.
    """

    raw: bytes
    media_type: str
    updated_at: float | None = None
    meta: Mapping[str, Any] = NO_META
    trusted: bool = True
    """Whether the text is the operator's own voice. What others wrote may say that fewer people
    may read it, and not that more may."""

    @property
    def digest(self) -> str:
        """Hex SHA-256 of everything that can change what the document says or who may see it."""
        digest = hashlib.sha256(self.raw)
        digest.update(meta_bytes(self.meta))
        return digest.hexdigest()


def meta_bytes(meta: Mapping[str, Any]) -> bytes:
    """Returns what of `meta` a digest takes in; empty where there is none."""
    return orjson.dumps(dict(meta), option=orjson.OPT_SORT_KEYS) if meta else b""


class NotRead(Exception):
    """A document that its source names and that is left out, though nothing is wrong: why.

    `hidden` says that it shuts readers out: then what was live of it must go.
    """

    def __init__(self, reason: str, *, hidden: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hidden = hidden


class Incomplete(UpstreamError):
    """Raised behind the last item: there may be more, which could not be listed, and why."""


class Item(Protocol):
    """A document found, not yet read. `external_id` is stable and unique in its source."""

    @property
    def external_id(self) -> str: ...

    def fetch(self) -> Fetched:
        """Reads the document. Raises TwofoldError or OSError, after which the sync goes on with
        the others; NotRead where it is to be left out."""
        ...


class Source(Protocol):
    """Where documents come from. `kind` and `config` are what it takes to open it again."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def config(self) -> Mapping[str, Any]: ...

    def discover(self) -> Iterator[Item]:
        """Yields every document there is, in a stable order.

        Raises Incomplete behind the last one where there may be others: then nothing is removed.
        Any other error means that nothing can be said of the source, and nothing is changed.
        """
        ...
