"""What the keys of front matter come to: title, kind, readers, language, days."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import orjson

from ingestion.extract.visibility import audience_of, normal, readers
from twofold.errors import InvalidInput
from twofold.index.contract import KINDS, PUBLIC, Kind

MAX_VALUES = 5000
"""Values a front matter may hold."""


def _in_order(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ARTICLES = """
article articles page pages post guide guides howto howtos tutorial tutorials faq faqs doc docs
documentation reference help helparticle kb kbarticle knowledgebase blog topic concept quickstart
troubleshooting default single section home
"""
_RELEASE_NOTES = """
releasenote releasenotes release releases changelog changelogs whatsnew news update updates
announcement announcements
"""
_POLICIES = """
policy policies terms termsofservice tos legal agreement sla privacy privacypolicy refundpolicy
rules
"""
KIND_WORDS: Mapping[str, Kind] = {
    **dict.fromkeys(_ARTICLES.split(), "article"),
    **dict.fromkeys(_RELEASE_NOTES.split(), "release_note"),
    **dict.fromkeys(_POLICIES.split(), "policy"),
}
"""What people write, in its normal form, and the kind that it means."""

_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_URL = re.compile(r"(?:https?://|/)\S*")
_FORMATS = (
    "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y",
    "%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M %z", "%Y-%m-%d %H:%M",
)  # fmt: skip

_FROM = _in_order("""
effectivefrom validfrom effectivedate publishdate publishon publishat embargo embargountil goliveat
""")
_UNTIL = ("expiresat", "validuntil", "validto", "expireson", "expires")
"""A day is the last one that counts."""
_GONE = _in_order("""
expirydate expiry expirationdate expiredate unpublishdate unpublishon unpublishat unpublishedat
""")
"""A day is the first one that does not count: so Hugo and its like read it."""
_DATED = _in_order("""
lastupdated lastmod lastmodified lastmodifiedat updated updatedon modified publishedat published
pubdate date publishdate
""")
_DAYS = ("date", "pubdate", "publishedat", "published", "publishedon", "posted")
"""Days on which a page comes out: one still to come is not out yet."""


@dataclass(frozen=True)
class Metadata:
    """What a document says about itself. Times are epoch seconds; None means not said."""

    title: str = ""
    kind: Kind = "article"
    audience: tuple[str, ...] = (PUBLIC,)
    locale: str = ""
    """A document's own, once it is settled: what its words show, where nothing says it."""
    product: str = ""
    url: str = ""
    updated_at: int | None = None
    effective_from: int | None = None
    expires_at: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that retrieval does not filter on, as JSON values: review_by, labels, and any other."""

    def canonical(self) -> str:
        return orjson.dumps(self.__dict__, option=orjson.OPT_SORT_KEYS).decode()


def read_metadata(
    values: Mapping[str, Any], *, zone: tzinfo = UTC, now: datetime | None = None
) -> Metadata:
    """Checks the keys we know and keeps the others. Raises InvalidInput naming key and values.

    Days without a time are days in `zone`.
    """
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in values.items():
        name = normal(key)
        if read := _READERS.get(name):
            if value is not None or name == "audience":
                known[name] = read(key, value)
        elif value is not None and name not in _OUR_DAYS:
            extra[key] = value
    if "locale" not in known and (locale := _language(values)):
        known["locale"] = locale
    moments = _Days(values, zone, now or datetime.now(zone))
    known |= {
        "updated_at": moments.updated(),
        "effective_from": moments.begins(),
        "expires_at": moments.ends(),
    }
    meta = Metadata(**known | _narrowed(values, known), extra=_plain(extra, [MAX_VALUES]))
    if None not in (meta.effective_from, meta.expires_at) and (
        (meta.effective_from or 0) >= (meta.expires_at or 0)
    ):
        raise InvalidInput(
            "Front matter: expires_at lies before effective_from, so the document would never"
            " apply. Mend one of the two dates."
        )
    return meta


def _narrowed(values: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the audience, where another key leaves the page fewer readers than `audience`
    says."""
    fewer = readers(values).audience
    if not fewer or PUBLIC in fewer:
        return {}
    said = known.get("audience", (PUBLIC,))
    return {"audience": fewer if PUBLIC in said else said}


class _Days:
    """The days of a front matter."""

    def __init__(self, values: Mapping[str, Any], zone: tzinfo, now: datetime) -> None:
        said = ((normal(key), (key, each)) for key, each in values.items())
        self._values = {name: each for name, each in said if each[1] is not None}
        self._zone = zone
        self._now = now.timestamp()

    def updated(self) -> int | None:
        if (said := self._values.get("updatedat")) is not None:
            return self._epoch(*said)
        for name in _DATED:
            if name in self._values:
                # A value under another tool's key that is no date is not an error.
                with suppress(InvalidInput):
                    return self._epoch(*self._values[name])
        return None

    def begins(self) -> int | None:
        said = [self._epoch(*self._values[name]) for name in _FROM if name in self._values]
        for name in _DAYS:
            if name in self._values:
                with suppress(InvalidInput):
                    moment = self._epoch(*self._values[name])
                    said += [moment] if moment > self._now else []
        return max(said, default=None)

    def ends(self) -> int | None:
        said = [self._end(*self._values[name]) for name in _UNTIL if name in self._values]
        said += [self._epoch(*self._values[name]) for name in _GONE if name in self._values]
        return min(said, default=None)

    def _epoch(self, key: str, value: Any) -> int:
        moment = _moment(key, value)
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=self._zone)).timestamp())

    def _end(self, key: str, value: Any) -> int:
        """Returns the exact end: of a date, which is the last valid day, the next midnight; of a
        time of day that time."""
        moment = _moment(key, value)
        if not isinstance(moment, datetime):
            moment = moment + timedelta(days=1)
        return self._epoch(key, moment)


def _moment(key: str, value: Any) -> datetime | date:
    if isinstance(value, str | int) and not isinstance(value, bool):
        value = _written(key, str(value).strip())
    if not isinstance(value, date):
        raise _wrong(key, value, "a date such as 2026-03-01")
    return value


def _written(key: str, text: str) -> datetime | date:
    moment: datetime | None = None
    with suppress(ValueError):
        moment = datetime.fromisoformat(text)
    for form in _FORMATS if moment is None else ():
        with suppress(ValueError):
            moment = datetime.strptime(text, form)  # noqa: DTZ007  the caller gives it a zone
            break
    if moment is None:
        raise _wrong(key, text, "a date such as 2026-03-01")
    return moment.date() if moment.time() == time() and moment.tzinfo is None else moment


def _plain(value: Any, budget: list[int]) -> Any:
    """Returns the value as JSON can hold it; `budget` is what is left of MAX_VALUES."""
    budget[0] -= 1
    if budget[0] < 0:
        raise InvalidInput(f"The front matter holds over {MAX_VALUES} values. Shorten it.")
    if isinstance(value, dict):
        return {str(key): _plain(item, budget) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item, budget) for item in value]
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int):
        return value if -(2**53) < value < 2**53 else str(value)
    if isinstance(value, float):
        # JSON knows no infinity.
        return value if value - value == 0 else str(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _wrong(key: str, value: Any, wanted: str) -> InvalidInput:
    shown = repr(value)
    shown = shown if len(shown) < 80 else shown[:77] + "..."
    return InvalidInput(f"Front matter: {key} is {shown}; it must be {wanted}.")


def _text(key: str, value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict | list):
        raise _wrong(key, value, "one line of text")
    return str(value).strip()


def _texts(key: str, value: Any) -> str:
    """Returns one product, or several separated by commas."""
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ", ".join(str(each).strip() for each in value)
    return _text(key, value)


def _kind(key: str, value: Any) -> Kind:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    known = KIND_WORDS.get(normal(value)) if isinstance(value, str) else None
    if known is None:
        raise _wrong(key, value, "one of " + ", ".join(KINDS))
    return known


def _locale(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _LOCALE.fullmatch(value.strip()):
        raise _wrong(key, value, "a language tag such as en, de or pt-BR")
    return value.strip().replace("_", "-")


def _language(values: Mapping[str, Any]) -> str:
    """Returns the language by the keys of other tools; empty where their value is none."""
    for key, value in values.items():
        if normal(key) in ("lang", "language", "languagecode", "hreflang"):
            with suppress(InvalidInput):
                return _locale(key, value)
    return ""


def _url(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value.strip()):
        raise _wrong(key, value, "an address that starts with https://, http:// or /")
    return value.strip()


_OUR_DAYS = frozenset(("updatedat", "effectivefrom", "expiresat"))
_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "title": _text,
    "kind": _kind,
    "audience": audience_of,
    "locale": _locale,
    "product": _texts,
    "url": _url,
}
"""Field of Metadata, a key in its normal form -> reader of key and value."""
