"""POST over kept-alive HTTP/1.1 connections, its reply told packet by packet.

For streams of many small packets: nothing is awaited, wrapped or scheduled per packet, whoever
listens is called from the event loop's own reading. No proxies, redirects or compression.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import httptools

IDLE_S = 30.0
"""A connection unused for longer is not trusted to be there still."""
DRAIN_S = 1.0
"""What a server gets to end a reply whose last word was heard, so that its connection is kept."""
MAX_FRAMING = 64_000
"""Bytes that may come in a row and bring nothing of a body: a head, a chunk's size, a trailer."""
FINAL = 200
"""Statuses below it announce the reply that follows."""

_UNFIT = re.compile(r"[^\x21-\x7e]")


class Listener(Protocol):
    """Called while a reply arrives, in this order; none of it may raise."""

    def opened(self, status: int, kind: str) -> None:
        """Is called once the head has come; `kind` is the content type, in lower case."""

    def heard(self, data: bytes) -> None:
        """Is called with each piece of the body."""

    def ended(self, error: str) -> None:
        """Is called once no more comes: the body is whole where `error` is empty."""


class Connection(asyncio.Protocol):
    """One connection, used by one exchange at a time."""

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        self._transport: asyncio.Transport
        self._listener: Listener | None = None
        self._held = False
        """Whoever listened has not let go yet."""
        self._busy = False
        """The reply is not through yet."""
        self._since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._kind = b""
        self._parts: list[bytes] = []
        """What the packet that is being read holds of the body."""
        self._framing = 0
        self._headed = self._framed = self._whole = self._more = self._keep = False

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing() and time.monotonic() - self._since < IDLE_S

    def post(self, head: bytes, body: bytes, listener: Listener) -> None:
        """Sends a POST; `head` is all lines but the length's."""
        self._begin()
        self._busy = self._held = True
        self._listener = listener
        if self._transport.is_closing():
            self._end("the connection broke")  # between its making and now
            return
        self._transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (head, len(body), body))

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def let_go(self, *, heard_out: bool) -> None:
        """Forgets the listener. Keeps the connection where the reply ends, or is about to:
        `heard_out`."""
        self._listener, self._held = None, False
        self.resume()
        if not self._busy:
            self._rest_or_close()
        elif heard_out:
            self._pool.draining.add(self)
            asyncio.get_running_loop().call_later(DRAIN_S, self._give_up, self._since)
        else:
            self._transport.abort()

    def close(self) -> None:
        self._transport.abort()

    def _give_up(self, since: float) -> None:
        if self._busy and self._since == since:
            self._transport.abort()

    # --- called by the event loop ----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._since = time.monotonic()

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self._transport.abort()  # it speaks unasked: whose reply would that be?
            return
        self._framing += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self._whole:
                self._end("what came is no HTTP")
                return
            self._more = True
        if self._parts:
            parts, self._parts, self._framing = self._parts, [], 0
            if self._listener is not None:
                self._listener.heard(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._whole:
            self._keep = self._keep and not self._more
            self._end("")
        elif self._framing > MAX_FRAMING:
            self._end("what came is no HTTP")

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        self._keep = False
        until_the_end = self._headed and not self._framed
        self._end("" if until_the_end and exc is None else "the connection broke")

    # --- called by the parser --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._more = self._whole  # a second reply to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-type":
            self._kind = value.lower()
        elif name in (b"content-length", b"transfer-encoding"):
            self._framed = True

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= FINAL and not self._headed:
            self._headed = True
            if self._listener is not None:
                self._listener.opened(status, self._kind.decode("latin-1"))

    def on_body(self, body: bytes) -> None:
        if not self._whole:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self._whole = self._headed
        self._keep = self._parser.should_keep_alive()

    def _end(self, error: str) -> None:
        self._busy = False
        self._pool.draining.discard(self)
        listener, self._listener = self._listener, None
        if not self._held:
            self._rest_or_close()
        if listener is not None:
            listener.ended(error)

    def _rest_or_close(self) -> None:
        if self._keep and not self._transport.is_closing():
            self._keep, self._since = False, time.monotonic()
            self._pool.idle.append(self)
        else:
            self._transport.abort()


@dataclass(slots=True)
class _Pool:
    """The connections of one event loop that nobody listens to."""

    idle: list[Connection] = field(default_factory=list)
    draining: set[Connection] = field(default_factory=set)
    """Heard out, but for the end of their reply's framing."""


@dataclass(slots=True)
class Origin:
    """One server's address, and the connections to it that wait for their next exchange.

    `token` is sent as a bearer token. An address or token that no request line could hold raises
    ValueError from `connect`.
    """

    url: str
    token: str = ""
    _tls: ssl.SSLContext | None = None
    _pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = field(
        default_factory=WeakKeyDictionary
    )

    def head(self, path: str, more: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """Returns the lines of a POST of JSON to `path`, all but its length; `more` are further
        headers."""
        at = urlsplit(self.url)
        key = f"authorization: Bearer {self.token}\r\n" if self.token else ""
        further = "".join(f"{name}: {value}\r\n" for name, value in more.items())
        return (
            f"POST {at.path.rstrip('/')}{path} HTTP/1.1\r\nhost: {at.netloc.rpartition('@')[2]}\r\n"
            f"accept: text/event-stream\r\ncontent-type: application/json\r\n{key}{further}"
        ).encode("ascii")

    async def connect(self) -> Connection:
        """Returns a free connection. Raises OSError (ssl.SSLError among them) or ValueError."""
        pool = self._pools.setdefault(asyncio.get_running_loop(), _Pool())
        while pool.idle:
            if (kept := pool.idle.pop()).usable:
                return kept
            kept.close()
        at = urlsplit(self.url)
        if at.scheme not in ("http", "https") or not at.hostname or _UNFIT.search(self.url):
            raise ValueError("This is no address of a server.")
        if _UNFIT.search(self.token):
            raise ValueError("This is no key.")
        secure = at.scheme == "https"
        if secure and self._tls is None:
            self._tls = ssl.create_default_context()
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(pool),
            at.hostname,
            at.port or (443 if secure else 80),
            ssl=self._tls if secure else None,
        )
        return connection

    async def aclose(self) -> None:
        """Closes what nobody listens to on this event loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), _Pool())
        for connection in (*pool.idle, *pool.draining):
            connection.close()
        await asyncio.sleep(0)  # the loop has to be told of it before it may end
