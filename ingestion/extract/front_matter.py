"""Front matter: YAML between `---` lines, and what its keys may hold."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple

import orjson
import yaml

from twofold.errors import InvalidInput
from twofold.index import KINDS, PUBLIC, Kind

MAX_VALUES = 5000
"""Values a front matter may hold once YAML aliases are followed: a kilobyte can name billions."""

_OPENING = re.compile(r"---[ \t]*\n")
_CLOSING = re.compile(r"^(?:---|\.\.\.)[ \t]*$", re.MULTILINE)
_KEY_LINE = re.compile(r"[\w.-]+[ \t]*:(?:\s|$)")
_AUDIENCE = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,62}")
_LOCALE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_URL = re.compile(r"(?:https?://|/)\S*")
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class FrontMatter(NamedTuple):
    """The keys, the text behind them, and how many lines of the file came before that text."""

    values: dict[str, Any]
    body: str
    lines: int


@dataclass(frozen=True)
class Metadata:
    """What a document says about itself. Times are epoch seconds; None means not said."""

    title: str = ""
    kind: Kind = "article"
    audience: tuple[str, ...] = (PUBLIC,)
    locale: str = "en"
    product: str = ""
    url: str = ""
    updated_at: int | None = None
    effective_from: int | None = None
    expires_at: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Keys that retrieval does not filter on, as JSON values: review_by, labels, and any other."""

    def canonical(self) -> str:
        return orjson.dumps(self.__dict__, option=orjson.OPT_SORT_KEYS).decode()


def read_front_matter(text: str) -> FrontMatter:
    """Cut the front matter off a text. Raises InvalidInput naming the line that is broken."""
    opening = _OPENING.match(text)
    if opening is None:
        return FrontMatter({}, text, 0)
    closing = _CLOSING.search(text, opening.end())
    if closing is None:
        if not _KEY_LINE.match(text, opening.end()):
            return FrontMatter({}, text, 0)
        raise InvalidInput(
            "The front matter opened on line 1 is never closed. Put a line of --- behind its keys."
        )
    values = _load(text[opening.end() : closing.start()])
    body = text[closing.end() :].removeprefix("\n")
    return FrontMatter(values, body, text.count("\n", 0, closing.end()) + 1)


def read_metadata(values: Mapping[str, Any]) -> Metadata:
    """Check the keys we know and keep the others. Raises InvalidInput naming key and values."""
    known: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in values.items():
        reader = _READERS.get(key)
        if value is None:
            continue
        if reader is None:
            extra[key] = value
        else:
            known[key] = reader(key, value)
    if "updated_at" not in known:
        known["updated_at"] = _dated(values)
    meta = Metadata(**known, extra=_plain(extra, [MAX_VALUES]))
    if None not in (meta.effective_from, meta.expires_at) and (
        (meta.effective_from or 0) >= (meta.expires_at or 0)
    ):
        raise InvalidInput(
            "Front matter: expires_at lies before effective_from, so the document would never"
            " apply. Mend one of the two dates."
        )
    return meta


def _load(source: str) -> dict[str, Any]:
    try:
        values = yaml.load(source, Loader=_Loader)  # noqa: S506  a safe loader, in C
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        # Counted from 0, and the opening --- is line 1 of the file.
        line = mark.line + 2 if mark else 1
        raise InvalidInput(
            f"The front matter is broken on line {line}: {error.problem}. Mend the YAML there;"
            " a value that holds : or # must stand in quotes."
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInput(f"The front matter is not valid YAML: {error}. Mend it.") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InvalidInput(
            "The front matter on line 2 does not hold `key: value` lines. Write keys, or remove"
            " the line of --- that opens the file."
        )
    return {str(key): value for key, value in values.items()}


def _plain(value: Any, budget: list[int]) -> Any:
    """The value as JSON can hold it; `budget` is what is left of MAX_VALUES."""
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
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    return value.isoformat() if isinstance(value, date) else str(value)


def _wrong(key: str, value: Any, wanted: str) -> InvalidInput:
    shown = repr(value) if len(repr(value)) < 80 else repr(value)[:77] + "..."
    return InvalidInput(f"Front matter: {key} is {shown}; it must be {wanted}.")


def _text(key: str, value: Any) -> str:
    if isinstance(value, dict | list):
        raise _wrong(key, value, "one line of text")
    return str(value).strip()


def _kind(key: str, value: Any) -> Kind:
    for kind in KINDS:
        if kind == value:
            return kind
    raise _wrong(key, value, "one of " + ", ".join(KINDS))


def _audience(key: str, value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(name, str) and _AUDIENCE.fullmatch(name) for name in names)
    ):
        raise _wrong(key, value, "a list of names such as [public], [customer] or [internal]")
    return tuple(dict.fromkeys(names))


def _locale(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _LOCALE.fullmatch(value):
        raise _wrong(key, value, "a language tag such as en, de or pt-BR")
    return value.replace("_", "-")


def _url(key: str, value: Any) -> str:
    if not isinstance(value, str) or not _URL.fullmatch(value.strip()):
        raise _wrong(key, value, "an address that starts with https://, http:// or /")
    return value.strip()


def _moment(key: str, value: Any) -> datetime | date:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise _wrong(key, value, "a date such as 2026-03-01") from None
        if value.time() == time() and value.tzinfo is None:
            value = value.date()
    if not isinstance(value, date):
        raise _wrong(key, value, "a date such as 2026-03-01")
    return value


def _epoch(key: str, value: Any) -> int:
    moment = _moment(key, value)
    if not isinstance(moment, datetime):
        moment = datetime.combine(moment, time())
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _dated(values: Mapping[str, Any]) -> int | None:
    """The day by which other tools know a page; what is no date there is no mistake of ours."""
    for key in ("last_updated", "lastmod", "published_at", "published", "date"):
        if values.get(key) is not None:
            with suppress(InvalidInput):
                return _epoch(key, values[key])
    return None


def _end(key: str, value: Any) -> int:
    """A date is the last valid day; a time of day is the exact end."""
    moment = _moment(key, value)
    if isinstance(moment, datetime):
        return _epoch(key, moment)
    return int(_epoch(key, moment) + timedelta(days=1).total_seconds())


_READERS: dict[str, Any] = {
    "title": _text,
    "kind": _kind,
    "audience": _audience,
    "locale": _locale,
    "product": _text,
    "url": _url,
    "updated_at": _epoch,
    "effective_from": _epoch,
    "expires_at": _end,
}
"""Key -> reader(key, value) of a Metadata field."""
