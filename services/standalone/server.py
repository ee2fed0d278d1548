"""The HTTP server around the application: binds early, tells when it answers, stops gracefully."""

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import uvicorn
from fastapi import FastAPI

from twofold.errors import Conflict, InvalidInput, SetupError

MAX_PORT = 65_535
GRACE_SECONDS = 10
"""What a request under way gets to end in, once asked to stop."""
FIRST_LOOK_SECONDS = 10.0
HEADER_BYTES = 32 * 1024


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours before the slow work begins.

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
        return Conflict(
            f"Port {port} on {host} is taken by another program. Stop that one, or choose another"
            f" port: --port {port + 1}, or `make run PORT={port + 1}`."
        )
    if error.errno == errno.EACCES:
        return InvalidInput(f"Port {port} needs rights this user lacks. Choose one above 1023.")
    return InvalidInput(f"{host}:{port} cannot be served on: {error.strerror}.")


def address(host: str, bound: socket.socket) -> str:
    """The URL to reach a bound socket by, from this machine."""
    port = bound.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104
    return f"http://{f'[{shown}]' if ':' in shown and shown[0] != '[' else shown}:{port}"


def run(app: FastAPI, bound: socket.socket, url: str, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called once a request has been answered."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        h11_max_incomplete_event_size=HEADER_BYTES,
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
            async with httpx.AsyncClient(trust_env=False, timeout=FIRST_LOOK_SECONDS) as client:
                (await client.get(f"{self._url}/readyz")).raise_for_status()
        except httpx.HTTPError:
            self.silent = self.should_exit = True
        else:
            self._ready()

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
