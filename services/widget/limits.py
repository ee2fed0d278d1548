"""How much a visitor, an address and a site may ask for: counted here, or in Redis for all."""

import time
from typing import Final

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.storage import storage_from_string

from twofold import metrics
from twofold.errors import Overloaded
from twofold.settings import Settings

BURST_SHARE: Final = 24
"""A visitor may send so much of a minute's requests within one second: 10 of 240."""
REDIS_S: Final = 0.1
REDIS_PAUSE_S: Final = 5.0
"""After Redis failed, this process counts for itself this long before it asks again."""

_log = structlog.get_logger("twofold.limits")


class Rates:
    """Requests a minute, by what is counted: `address`, `site`, `visitor` or `message`."""

    def __init__(self, settings: Settings) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = _redis(settings.redis_url)
        self._paused_until = 0.0
        visitor = settings.widget_visitor_per_minute
        self._items: dict[str, tuple[RateLimitItem, ...]] = {
            "address": (RateLimitItemPerMinute(settings.widget_address_per_minute),),
            "site": (RateLimitItemPerMinute(settings.widget_site_per_minute),),
            # The second keeps a visitor's minute from being spent at once, beside everybody else's.
            "visitor": (
                RateLimitItemPerSecond(max(1, visitor // BURST_SHARE)),
                RateLimitItemPerMinute(visitor),
            ),
            "message": (RateLimitItemPerMinute(settings.widget_messages_per_minute),),
        }

    async def check(self, what: str, who: str) -> None:
        """Counts one request. Raises Overloaded past the rate."""
        for item in self._items[what]:
            await self._check(item, what, who)

    async def _check(self, item: RateLimitItem, what: str, who: str) -> None:
        limiter = self._limiter()
        try:
            passed = await limiter.hit(item, "widget", what, who)
        except Exception as error:
            if limiter is self._own:
                raise
            self._paused_until = time.monotonic() + REDIS_PAUSE_S
            _log.warning("rate limits are counted here alone", error=type(error).__name__)
            limiter = self._own
            passed = await limiter.hit(item, "widget", what, who)
        if passed:
            return
        metrics.WIDGET_LIMITED.labels(what).inc()
        stats = await limiter.get_window_stats(item, "widget", what, who)
        raise Overloaded(_SAYS[what], max(1.0, stats.reset_time - time.time()))

    def _limiter(self) -> SlidingWindowCounterRateLimiter:
        if self._shared is None or time.monotonic() < self._paused_until:
            return self._own
        return self._shared


_SAYS: Final = {
    "address": "Too many requests come from your network. Try again in a moment.",
    "site": "This chat is very busy. Try again in a moment.",
    "visitor": "Too many requests. Try again in a moment.",
    "message": "You write faster than we can answer. Try again in a moment.",
}


def _redis(url: str) -> SlidingWindowCounterRateLimiter | None:
    if not url:
        return None
    storage = storage_from_string(
        f"async+{url}",
        implementation="redispy",
        wrap_exceptions=True,
        socket_timeout=REDIS_S,
        socket_connect_timeout=REDIS_S,
    )
    if not isinstance(storage, Storage):
        raise TypeError("an asynchronous storage was asked for")
    return SlidingWindowCounterRateLimiter(storage)
