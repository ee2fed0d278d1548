"""The network as sources see it: names resolved once, checked, and connected to as checked.

A name that is resolved for the check and again for the connection can change in between. Here the
address that passed is the one the socket goes to, while TLS and the Host header keep the name.
"""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpcore
import httpx

from ingestion.sources.addresses import Rules, closed, is_public

CONNECT_SECONDS = 10.0
READ_SECONDS = 20.0

Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) -> addresses. Raises OSError."""


def resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Clock(threading.local):
    """Until when the request under way in this thread may last."""

    deadline = float("inf")

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        before, self.deadline = self.deadline, time.monotonic() + seconds
        try:
            yield
        finally:
            self.deadline = before

    def left(self, wanted: float | None) -> float:
        """Returns seconds that one read or write may take. Raises ReadTimeout when none are
        left."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("out of time")
        return min(left, READ_SECONDS if wanted is None else wanted)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to public addresses only; every address a name has must be one."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        resolver: Resolver = resolve,
        network: httpcore.NetworkBackend | None = None,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._resolve = resolver
        self._network = network or httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = self._checked(host, port)
        for at, address in enumerate(addresses):
            try:
                stream = self._network.connect_tcp(
                    address, port, self._clock.left(timeout), local_address, socket_options
                )
                return _Timed(stream, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if at == len(addresses) - 1:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _checked(self, host: str, port: int) -> Sequence[str]:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved") from error
        if not self._rules.trusts(host) and not all(map(is_public, addresses)):
            raise closed(f"https://{host}")
        return addresses


class _Timed(httpcore.NetworkStream):
    """A stream that also keeps to the whole request's deadline: a trickle cannot hold it."""

    def __init__(self, stream: httpcore.NetworkStream, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._clock.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._clock.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = self._clock.left(timeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


class GuardedTransport(httpx.HTTPTransport):
    """httpx's own transport, over the guarded network. It never uses a proxy."""

    def __init__(self, backend: GuardedBackend) -> None:
        super().__init__(verify=_tls(), trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=_tls(),
            max_connections=4,
            keepalive_expiry=15.0,
            network_backend=backend,
        )
