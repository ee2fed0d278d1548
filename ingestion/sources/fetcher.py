"""The one way by which sources read the web: guarded, bounded, polite, and frugal."""

import logging
import time
import zlib
from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType
from typing import NamedTuple, Self

import httpcore
import httpx
import stamina

from ingestion.sources.addresses import Rules, check_url, shown
from ingestion.sources.cache import Cache, CachedResponse
from ingestion.sources.guard import (
    CONNECT_SECONDS,
    READ_SECONDS,
    Clock,
    GuardedBackend,
    GuardedTransport,
)
from ingestion.sources.pace import Pace
from twofold.errors import Forbidden, NotFound, Overloaded, TooLarge, UpstreamError

AGENT = "Twofold/0.1 (+https://github.com/twofold; knowledge sync)"
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_REDIRECTS = (301, 302, 303, 307, 308)
_PASSING = (408, 425, 500, 502, 503, 504)
_KEPT_HEADERS = ("content-type", "link", "last-modified", "content-language", "x-robots-tag")

# These loggers write whole URLs, and at the finest level headers: tokens may stand in both.
for _name in ("httpx", "httpcore"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class FetchLimits(NamedTuple):
    """What one request may cost. Times are seconds; `pace` lies between two to one host."""

    max_bytes: int = 10_000_000
    seconds: float = 60.0
    redirects: int = 5
    attempts: int = 4
    first_wait: float = 0.5
    longest_wait: float = 60.0
    pace: float = 0.2


class FetchedPage(NamedTuple):
    """A response read in full. `url` is where it was found; `unchanged` says that the server
    confirmed what was kept, and sent no body."""

    url: str
    media_type: str
    headers: Mapping[str, str]
    body: bytes
    unchanged: bool = False


class _Passing(UpstreamError):
    """Raised where the next try may go well, after `wait` seconds where the server said so."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Fetcher:
    """GETs pages. With a cache, whatever carries a validator is asked for conditionally.

    `credentials` are headers that go to the host of the URL asked for, never to another one that
    it redirects to.
    """

    def __init__(
        self,
        rules: Rules | None = None,
        limits: FetchLimits | None = None,
        *,
        cache: Cache | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._rules = rules or Rules()
        self.limits = limits or FetchLimits()
        self._cache = cache
        self._clock = Clock()
        if transport is None:
            transport = GuardedTransport(GuardedBackend(self._rules, self._clock))
        self._client = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            headers={"User-Agent": AGENT, "Accept-Encoding": "gzip"},
        )
        self._pace = Pace(self.limits.pace)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def slow_down(self, host: str, seconds: float) -> None:
        """Leaves at least so long between two requests to a host."""
        self._pace.between[host] = max(seconds, self.limits.pace)

    def get(
        self,
        url: str,
        *,
        accept: Collection[str] = (),
        headers: Mapping[str, str] = NO_HEADERS,
        credentials: Mapping[str, str] = NO_HEADERS,
    ) -> FetchedPage:
        """Reads a page. `accept` names the media types that will do; none means any.

        Raises NotFound (404, 410), Forbidden (401, 403, a closed address), TooLarge, Overloaded
        (told to wait longer than we do), InvalidInput (no web address), UpstreamError (the rest).
        """
        check_url(url, self._rules)
        limits = self.limits
        for attempt in stamina.retry_context(
            on=_again,
            attempts=limits.attempts,
            timeout=None,
            wait_initial=limits.first_wait,
            wait_max=limits.longest_wait,
            wait_jitter=limits.first_wait,
        ):
            with attempt, self._clock.limit(limits.seconds):
                return self._follow(url, accept, headers, credentials)
        raise AssertionError("stamina always raises or returns")

    def _follow(
        self,
        url: str,
        accept: Collection[str],
        headers: Mapping[str, str],
        credentials: Mapping[str, str],
    ) -> FetchedPage:
        first = check_url(url, self._rules)
        current = first
        for _ in range(self.limits.redirects + 1):
            own = origin(current) == origin(first)
            sent = {**headers, **(credentials if own else {})}
            answer = self._once(current, sent, accept)
            if isinstance(answer, FetchedPage):
                return answer
            try:
                target = str(current.join(answer))
            except (httpx.InvalidURL, ValueError):
                target = answer
            current = check_url(target, self._rules)
        raise UpstreamError(
            f"{shown(url)} redirects more than {self.limits.redirects} times. Use its last address."
        )

    def _once(
        self, url: httpx.URL, headers: Mapping[str, str], accept: Collection[str]
    ) -> FetchedPage | str:
        """Returns one request: a page, or where it redirects to."""
        kept = self._cache.page(str(url)) if self._cache else None
        if kept is not None:
            headers = {**headers, **kept.conditions}
        self._pace.wait(url.host, self._clock)
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                self._client.cookies.clear()
                if response.status_code in _REDIRECTS and response.headers.get("location"):
                    return str(response.headers["location"])
                if response.status_code == 304 and kept is not None:
                    return _page(str(url), kept, unchanged=True)
                self._check_status(url, response)
                _check_type(url, response, accept)
                body = self._read(url, response)
        except (httpx.TimeoutException, httpcore.TimeoutException) as error:
            raise _Passing(f"{shown(str(url))} did not answer in time.") from error
        except zlib.error as error:
            raise _Passing(f"{shown(str(url))} sends gzip that is damaged.") from error
        except (httpx.HTTPError, httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise _Passing(
                f"{shown(str(url))} could not be read ({type(error).__name__}). Check that its"
                " server is up."
            ) from error
        found = _kept(response, body)
        if self._cache is not None and found.conditions:
            self._cache.keep_page(str(url), found)
        return _page(str(url), found)

    def _check_status(self, url: httpx.URL, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        name = shown(str(url))
        if status in (404, 410):
            raise NotFound(f"There is nothing at {name} ({status}).")
        if status in (401, 403):
            raise Forbidden(f"{name} may not be read ({status}). Check the source's credentials.")
        if status == 429 or status in _PASSING:
            wait = _retry_after(response.headers.get("retry-after", ""))
            if wait is not None and wait > self.limits.longest_wait:
                raise Overloaded(f"{name} asks to come back in {wait:.0f} s.", retry_after=wait)
            raise _Passing(f"{name} answered {status}. Sync again later.", wait)
        raise UpstreamError(f"{name} answered {status}. Check the address.")

    def _read(self, url: httpx.URL, response: httpx.Response) -> bytes:
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self.limits.max_bytes:
            raise self._too_large(url)
        inflate = _inflater(url, response)
        parts: list[bytes] = []
        size = received = 0
        for raw in response.iter_raw():
            self._clock.left(None)
            received += len(raw)
            part = raw
            if inflate is not None:
                part = inflate.decompress(raw, self.limits.max_bytes + 1 - size)
            size += len(part)
            if max(size, received) > self.limits.max_bytes:
                raise self._too_large(url)
            parts.append(part)
        short = declared.isdigit() and received < int(declared)
        if short or (inflate is not None and received and not inflate.eof):
            raise _Passing(f"{shown(str(url))} broke off before its end.")
        return b"".join(parts)

    def _too_large(self, url: httpx.URL) -> TooLarge:
        return TooLarge(
            f"{shown(str(url))} is over the limit of {self.limits.max_bytes / 1e6:g} MB. Leave it"
            " out, or raise TWOFOLD_MAX_FILE_MB."
        )


def _again(error: Exception) -> bool | float:
    if not isinstance(error, _Passing):
        return False
    return True if error.wait is None else error.wait


def _retry_after(value: str) -> float | None:
    """Returns seconds, from either of the header's two forms (RFC 9110, 10.2.3); None where
    unreadable."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None


def origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _check_type(url: httpx.URL, response: httpx.Response, accept: Collection[str]) -> None:
    found = _media_type(response.headers.get("content-type", ""))
    if accept and found not in accept:
        raise UpstreamError(
            f"{shown(str(url))} is of type {found[:60] or 'unknown'!r}, not {' or '.join(accept)}."
        )


def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


def _inflater(url: httpx.URL, response: httpx.Response) -> "zlib._Decompress | None":
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip"):
        return zlib.decompressobj(31)
    raise UpstreamError(f"{shown(str(url))} is coded as {coding[:40]!r}, which was not asked for.")


def _kept(response: httpx.Response, body: bytes) -> CachedResponse:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    etag = response.headers.get("etag", "")
    return CachedResponse(etag, response.headers.get("last-modified", ""), headers, body)


def _page(url: str, kept: CachedResponse, *, unchanged: bool = False) -> FetchedPage:
    media_type = _media_type(kept.headers.get("content-type", ""))
    return FetchedPage(url, media_type, kept.headers, kept.body, unchanged)


__all__ = ["AGENT", "FetchLimits", "FetchedPage", "Fetcher", "origin"]
