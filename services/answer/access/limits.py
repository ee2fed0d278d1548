"""How often a key may call: a token bucket, in this process, or in Redis for all processes."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from services.answer.access.keys import Caller
from twofold.errors import Overloaded
from twofold.settings import Settings

BURST_S = 10.0
"""A caller that was quiet may send this many seconds' worth at once."""
SMALLEST_BURST = 5
MOST_BUCKETS = 10_000
REDIS_S = 0.05
REDIS_PAUSE_S = 5.0
"""After Redis failed, this process counts for itself this long before it asks again."""

_log = structlog.get_logger("twofold.limits")


class Limiter(Protocol):
    async def wait_s(self, key: str, per_minute: int) -> float:
        """Counts one more request and returns 0 where it is within the rate; else returns the
        seconds until it would be."""
        ...


async def check_rate(limiter: Limiter, caller: Caller, settings: Settings) -> None:
    """Raises Overloaded for a key that calls more often than it may."""
    rate = settings.requests_per_minute if caller.rate is None else caller.rate
    if not caller.key or not rate:
        return
    wait = await limiter.wait_s(caller.key, rate)
    if wait > 0:
        raise Overloaded(f"This key may send {rate} requests a minute. Slow down.", wait)


def open_limiter(settings: Settings) -> Limiter:
    own = Buckets()
    return RedisBuckets(settings.redis_url, own) if settings.redis_url else own


def _burst_s(per_minute: int) -> float:
    return max(BURST_S, SMALLEST_BURST * 60 / per_minute)


@dataclass(slots=True)
class Buckets:
    """The generic cell rate algorithm: one number per key, the moment its bucket is full again."""

    clock: Callable[[], float] = time.monotonic
    _full_at: dict[str, float] = field(default_factory=dict)

    async def wait_s(self, key: str, per_minute: int) -> float:
        now, cost = self.clock(), 60 / per_minute
        full_at = max(now, self._full_at.get(key, 0.0)) + cost
        over = full_at - now - _burst_s(per_minute)
        if over > 1e-9:
            return over
        if len(self._full_at) >= MOST_BUCKETS and key not in self._full_at:
            self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        self._full_at[key] = full_at
        return 0.0


@dataclass(slots=True)
class Attempts:
    """Keys that turned out unknown, by the address that tried them."""

    per_minute: int = 20
    clock: Callable[[], float] = time.monotonic
    _full_at: dict[str, float] = field(default_factory=dict)

    def wait_s(self, address: str) -> float:
        """Returns 0 where an address may try another key; else the seconds until it may."""
        return max(0.0, self._full_at.get(address, 0.0) - self.clock() - 60.0)

    def failed(self, address: str) -> None:
        now = self.clock()
        if len(self._full_at) >= MOST_BUCKETS and address not in self._full_at:
            self._full_at = {k: at for k, at in self._full_at.items() if at > now}
        self._full_at[address] = max(now, self._full_at.get(address, 0.0)) + 60 / self.per_minute


# The same arithmetic, by Redis' clock: processes need not agree on theirs.
_SCRIPT = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0)) + tonumber(ARGV[1])
local over = at - now - tonumber(ARGV[2])
if over > 0.000001 then return tostring(over) end
redis.call('SET', KEYS[1], string.format('%.6f', at), 'PX', math.ceil((at - now) * 1000) + 1000)
return '0'
"""


class RedisBuckets:
    """Counts in Redis; while Redis does not answer, each process counts for itself."""

    def __init__(self, url: str, own: Buckets, client: Any = None) -> None:
        self._own = own
        self._url = url
        self._client = client
        self._paused_until = 0.0

    async def wait_s(self, key: str, per_minute: int) -> float:
        if time.monotonic() < self._paused_until:
            return await self._own.wait_s(key, per_minute)
        from redis.exceptions import RedisError

        try:
            wait = await self._redis().eval(
                _SCRIPT, 1, f"twofold:rate:{key}", 60 / per_minute, _burst_s(per_minute)
            )
            return float(wait)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            self._paused_until = time.monotonic() + REDIS_PAUSE_S
            _log.warning("rate limits are counted here alone", error=type(error).__name__)
            return await self._own.wait_s(key, per_minute)

    def _redis(self) -> Any:
        if self._client is None:
            from redis.asyncio import Redis

            self._client = Redis.from_url(
                self._url, socket_timeout=REDIS_S, socket_connect_timeout=REDIS_S
            )
        return self._client
