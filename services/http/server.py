"""The HTTP server around the application: binds early, tells when it answers, stops gracefully."""

import asyncio
import errno
import signal
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from twofold.errors import Conflict, InvalidInput, SetupError

MAX_PORT = 65_535
TRIED_PORTS = 100
GRACE_SECONDS = 10
"""What a request under way gets to end in, once asked to stop."""
FIRST_LOOK_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.1
TOO_LONG = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain\r\n"
    b"content-length: 46\r\nconnection: close\r\n\r\nThe request's headers are longer than we take."
)
STUCK_SECONDS = 60.0
"""Who takes nothing for so long of what waits for it is cut: it holds a place of others."""
HEAD_SECONDS = 10.0
"""A request's head has this long to arrive, all of it."""
HEADER_BYTES = 32 * 1024
"""A request's head is at most this long; the parser itself knows no bound."""


def bind(host: str, port: int) -> socket.socket:
    """Returns a bound socket that does not listen yet: the port is ours before the slow work
    begins.

    Raises Conflict where the port is taken, InvalidInput where the address is none of ours.
    """
    if not 0 <= port <= MAX_PORT:
        raise InvalidInput(f"{port} is not a port. Choose one up to {MAX_PORT}, or 0 for any.")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise InvalidInput(f"{host}:{port} is not an address to serve on: {error}.") from error
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(where)
    except OSError as error:
        made.close()
        raise _refused(error, host, port) from error
    return made


def _refused(error: OSError, host: str, port: int) -> Exception:
    if error.errno == errno.EADDRINUSE:
        free = _free(host, port)
        return Conflict(
            f"Port {port} on {host} is taken by another program. Stop that one, or choose another"
            f" port: --port {free}, or `make run PORT={free}`."
        )
    if error.errno == errno.EACCES:
        return InvalidInput(f"Port {port} needs rights this user lacks. Choose one above 1023.")
    return InvalidInput(f"{host}:{port} cannot be served on: {error.strerror}.")


def _free(host: str, taken: int) -> int:
    """Returns a port that is free now: the next one above, or 0, which stands for any."""
    for port in range(taken + 1, min(taken + TRIED_PORTS, MAX_PORT) + 1):
        with suppress(OSError), socket.create_server((host, port)):
            return port
    return 0


def address(host: str, bound: socket.socket) -> str:
    """Returns the URL to reach a bound socket by, from this machine."""
    port = bound.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{f'[{shown}]' if ':' in shown and shown[0] != '[' else shown}:{port}"


def run(app: FastAPI, bound: socket.socket, url: str, ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM; `ready` is called once a request has been answered."""
    config = uvicorn.Config(
        app,
        http=_Protocol,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        # Who calls is who connects: a header that says otherwise makes nobody local.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = _Server(config, url, ready)
    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[bound]))
    except OSError as error:
        # Bound twice is possible where neither listens yet; the second to listen finds out.
        raise _refused(error, *bound.getsockname()[:2]) from error
    if server.silent:
        raise SetupError(f"The server started, but nothing answers at {url}. Is a proxy between?")


class _Protocol(HttpToolsProtocol):
    """Cuts a connection whose request does not begin in time, whose head does not end, or whose
    answer is not read."""

    _late: asyncio.TimerHandle | None = None
    _stuck: asyncio.TimerHandle | None = None
    _head: int | None = 0
    """Bytes that came of the head under way; None once it is whole and short enough."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        if self.transport.is_closing():
            return  # what a refused client goes on to send
        under_way = self._head is not None
        super().data_received(data)
        if under_way and self._head is not None:
            self._head += len(data)
            if self._head > HEADER_BYTES and not self.transport.is_closing():
                self.send_400_response("")
        self._watch()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0

    def on_headers_complete(self) -> None:
        lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in self.headers)
        self._head = len(self.url) + lines
        if self._head > HEADER_BYTES:
            raise ValueError("too long")  # the parser's caller sends the refusal below
        self._head = None
        if not self.url.startswith((b"/", b"*")):
            self._check_authority()
        super().on_headers_complete()

    def _check_authority(self) -> None:
        """Raises ValueError where a request line names another server than Host does: what is
        allowed is judged by Host."""
        named = [value.lower() for name, value in self.headers if name == b"host"]
        if [urlsplit(self.url).netloc.lower()] != named:
            raise ValueError("another server")

    def send_400_response(self, msg: str) -> None:
        if self._head is None or self._head <= HEADER_BYTES:
            super().send_400_response(msg)
            return
        self.transport.write(TOO_LONG)
        self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(STUCK_SECONDS, self._cut_reader)

    def _cut_reader(self) -> None:
        # Reset, not closed: the system would go on keeping megabytes for whoever never takes them.
        line = self.transport.get_extra_info("socket")
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read_on()

    def _read_on(self) -> None:
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._read_on()
        super().connection_lost(exc)
        # What was sent ahead on this connection would be answered to nobody.
        self.pipeline.clear()

    def _watch(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_watching()
        elif self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._cut)

    def _stop_watching(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _cut(self) -> None:
        self._late = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, url: str, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._url = url
        self._ready = ready
        self.silent = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._look = asyncio.create_task(self._first_look())

    async def _first_look(self) -> None:
        try:
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                while not await self._answers():  # noqa: ASYNC110  nobody tells when
                    await asyncio.sleep(FIRST_PAUSE_SECONDS)
        except TimeoutError:
            self.silent = self.should_exit = True
        else:
            self._ready()

    async def _answers(self) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=FIRST_LOOK_SECONDS) as client:
                return (await client.get(f"{self._url}/readyz")).is_success
        except httpx.HTTPError:
            return False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again after shutdown, past what is still to be closed.
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
