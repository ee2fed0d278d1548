"""The outermost layer, pure ASGI: refuses what is too large, too slow or for another host."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.http.local import host_name
from services.http.origin import network
from services.http.problems import headers_of, problem_of, respond
from twofold.characters import is_plain
from twofold.errors import Forbidden, InvalidInput, Overloaded, TooLarge, TooSlow, TwofoldError

WHO: Final = "twofold.who"
"""Where in the ASGI scope it says whom a body is counted for; else it is the address that calls."""
BODY_S: Final = 10.0
"""All of a body has this long to arrive, and a second more for SLOWEST bytes of its cap each."""
SLOWEST: Final = 250_000
HELD_BYTES: Final = 256_000_000
"""Bodies that one process holds at once; one caller's are a quarter of them at most."""
HELD_SHARE: Final = 0.25

Screen = Callable[[Headers], None]
"""Raises a TwofoldError for headers with which no body needs to be read."""


class RequestLimits:
    """Caps request bodies, by what they claim and by what arrives, and checks the Host header.

    `larger` gives path prefixes their own cap in bytes. `hosts` empty means any: a program bound to
    the loopback address names its own, so that a web page whose name is rebound to it gets nothing.
    `screens` look at the headers under a path prefix before a byte of the body is read. A body is
    counted for whom `proxies` name.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        larger: Sequence[tuple[str, int]] = (),
        hosts: Sequence[str] = (),
        screens: Sequence[tuple[str, Screen]] = (),
        proxies: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger
        self._hosts = frozenset(hosts)
        self._screens = screens
        self._proxies = proxies
        self._held = BodyBudget(HELD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        who = scope.get(WHO) or network(scope, self._proxies)
        cap = self._cap(scope["path"])
        taken = 0

        def hold(size: int) -> None:
            nonlocal taken
            self._held.take(who, size)
            taken += size

        try:
            try:
                self._check(scope, cap)
                body = await _read(receive, cap, hold)
            except TwofoldError as error:
                headers = {**headers_of(error), "Connection": "close"}
                await respond(problem_of(error, scope["path"]), headers)(scope, receive, send)
                return
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
        finally:
            self._held.give(who, taken)

    def _cap(self, path: str) -> int:
        return next(
            (cap for prefix, cap in self._larger if path.startswith(prefix)), self._max_bytes
        )

    def _check(self, scope: Scope, cap: int) -> None:
        headers, path = Headers(scope=scope), scope["path"]
        if self._hosts and host_name(headers.get("host", "")) not in self._hosts:
            raise Forbidden(
                f"This server answers on {', '.join(sorted(self._hosts))} only. To be reached under"
                " another name, start it with --host 0.0.0.0."
            )
        query = unquote(scope.get("query_string", b"").decode("latin-1"))
        if not (is_plain(path) and is_plain(query)):
            raise InvalidInput("The address holds control characters. Take them out.")
        claimed = headers.get("content-length", "0")
        if not (claimed.isascii() and claimed.isdigit()):
            raise InvalidInput("Content-Length is not a number.")
        if len(claimed) > 18 or int(claimed) > cap:
            raise too_large(cap)
        for prefix, screen in self._screens:
            if path.startswith(prefix):
                screen(headers)


class BodyBudget:
    """Bytes of bodies that are held at once, by whom they came from."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by: Counter[str] = Counter()
        self._all = 0

    def take(self, who: str, size: int) -> None:
        """Raises Overloaded where it would be too much, of one caller or of all."""
        if self._all + size > self._most or self._by[who] + size > self._most * HELD_SHARE:
            raise Overloaded("Too much is being sent at once. Try again soon.")
        self._by[who] += size
        self._all += size

    def give(self, who: str, size: int) -> None:
        self._all -= size
        self._by[who] -= size
        if self._by[who] <= 0:
            del self._by[who]


async def _read(receive: Receive, cap: int, hold: Callable[[int], None]) -> bytes | None:
    """Returns the body, which may come in pieces; None where its sender left. Each piece is `hold`
    for.

    Raises TooLarge past `cap`, and TooSlow.
    """
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(BODY_S + cap / SLOWEST):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) + len(piece) > cap:
                    raise too_large(cap)
                hold(len(piece))
                body += piece
    except TimeoutError as error:
        raise TooSlow("The request did not arrive in time. Send it again, faster.") from error
    return bytes(body)


class CallerLeft(OSError):
    """The connection is gone on which an answer is written."""


class ErrorBoundary:
    """Lets no error through to the server, whose traceback would log a caller's words."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            try:
                await send(message)
            except (OSError, RuntimeError) as error:
                raise CallerLeft from error

        try:
            await self._app(scope, receive, watch)
        except (CallerLeft, ClientDisconnect):
            return  # nobody is there to be told, and nothing of ours is wrong
        except Exception as error:
            problem = problem_of(error, scope.get("path"))
            # Too late for a status: the server sees an unfinished response, and cuts the line.
            if not started:
                await respond(problem, headers_of(error))(scope, receive, send)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


def too_large(cap: int) -> TooLarge:
    shown = f"{cap / 1e6:.1f} MB" if cap >= 1_000_000 else f"{cap // 1000} kB"
    return TooLarge(f"The request is over the limit of {shown}. Send less at once.")
