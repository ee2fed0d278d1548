"""POST over kept-alive HTTP/1.1 connections, its reply told packet by packet.

For streams of many small packets: nothing is awaited, wrapped or scheduled per packet, whoever
listens is called from the event loop's own reading. No proxies, redirects or compression.
"""

import asyncio
import re
import ssl
import time
from dataclasses import dataclass, field
from typing import Protocol, cast
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

IDLE_S = 30.0
"""A connection unused for longer is not trusted to be there still."""
DRAIN_S = 1.0
"""What a server gets to end a reply whose last word was heard, so that its connection is kept."""
MAX_HEAD = 64_000
MAX_SIZE_LINE = 1_000

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: .*)?")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")
_LENGTH = re.compile(rb"\d{1,15}")
_UNFIT = re.compile(r"[^\x21-\x7e]")


class Listener(Protocol):
    """Called while a reply arrives, in this order; none of it may raise."""

    def opened(self, status: int, kind: str) -> None:
        """`kind` is the content type, in lower case."""

    def heard(self, data: bytes) -> None:
        """A piece of the body."""

    def ended(self, error: str) -> None:
        """No more comes: the body is whole where `error` is empty. Never called twice."""


class _NoHttp(Exception):
    pass


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
        self._rest = b""
        self._begin()

    def _begin(self) -> None:
        self._headed = self._chunked = self._keep = False
        self._left: int | None = None
        """Bytes still to come of this chunk, or of the body; None is a body until the end."""
        self._trailing = False

    @property
    def usable(self) -> bool:
        return not self._transport.is_closing() and time.monotonic() - self._since < IDLE_S

    def post(self, head: bytes, body: bytes, listener: Listener) -> None:
        """`head` is all lines but the length's."""
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
        """The listener listens no more. Kept where the reply ends, or is about to: `heard_out`."""
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
        try:
            self._read(self._rest + data if self._rest else data)
        except _NoHttp as error:
            self._keep = False
            self._end(str(error))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool.idle:
            self._pool.idle.remove(self)
        self._keep = False
        until_the_end = self._headed and not self._chunked and self._left is None
        self._end("" if until_the_end and exc is None else "the connection broke")

    # --- HTTP ------------------------------------------------------------------------------------

    def _read(self, data: bytes) -> None:
        self._rest = b""
        while not self._headed:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD or data[:7] != b"HTTP/1."[: len(data)]:
                    raise _NoHttp("what came is no HTTP")
                self._rest = data
                return
            self._head(data[:end])
            data = data[end + 4 :]
        if self._chunked:
            self._chunks(data)
        elif self._left is None:
            self._tell(data)
        else:
            self._tell(data[: self._left])
            self._left -= len(data)
            if self._left <= 0:
                self._keep = self._keep and self._left == 0
                self._end("")

    def _head(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        if status is None:
            raise _NoHttp("what came is no HTTP")
        if status[2].startswith(b"1"):
            return  # the real one follows
        fields: dict[bytes, bytes] = {}
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise _NoHttp("a header is no header")
            fields[name.lower()] = value.strip().lower()
        self._headed = True
        self._chunked = fields.get(b"transfer-encoding") == b"chunked"
        length = fields.get(b"content-length")
        if not self._chunked and length is not None:
            if not _LENGTH.fullmatch(length):
                raise _NoHttp("a length is no number")
            self._left = int(length)
        framed = self._chunked or self._left is not None
        self._keep = framed and status[1] == b"1" and fields.get(b"connection") != b"close"
        if self._listener is not None:
            kind = fields.get(b"content-type", b"")
            self._listener.opened(int(status[2]), kind.decode("latin-1"))

    def _chunks(self, data: bytes) -> None:
        at = 0
        parts = []
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                if len(data) - at > MAX_SIZE_LINE:
                    raise _NoHttp("a chunk has no size")
                self._rest = data[at:]
                break
            line = data[at:end]
            at = end + 2
            if self._trailing:
                if not line:
                    self._keep = self._keep and at == len(data)
                    self._tell(b"".join(parts))
                    self._end("")
                    return
            elif self._left is not None and not line:
                self._left = None  # the line end behind a chunk
            elif self._left is None and (size := _SIZE.fullmatch(line)):
                self._left = int(size[1], 16)
                self._trailing = self._left == 0
            else:
                raise _NoHttp("a chunk has no size")
        self._tell(parts[0] if len(parts) == 1 else b"".join(parts))

    def _tell(self, data: bytes) -> None:
        if data and self._listener is not None:
            self._listener.heard(data)

    def _end(self, error: str) -> None:
        self._busy, self._rest = False, b""
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

    def head(self, path: str) -> bytes:
        """The lines of a POST of JSON to `path`, all but its length."""
        at = urlsplit(self.url)
        key = f"authorization: Bearer {self.token}\r\n" if self.token else ""
        return (
            f"POST {at.path.rstrip('/')}{path} HTTP/1.1\r\nhost: {at.netloc.rpartition('@')[2]}\r\n"
            f"accept: text/event-stream\r\ncontent-type: application/json\r\n{key}"
        ).encode("ascii")

    async def connect(self) -> Connection:
        """A connection that is free. Raises OSError (ssl.SSLError among them) or ValueError."""
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
