"""The outermost layer, pure ASGI: refuses what is too large or meant for another host."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.answer.endpoints.problems import headers_of, problem_of, respond
from twofold.errors import Forbidden, InvalidInput, TooLarge, TwofoldError

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


class Gate:
    """Caps request bodies, by what they claim and by what arrives, and checks the Host header.

    `larger` gives path prefixes their own cap in bytes. `hosts` empty means any: a program bound to
    the loopback address names its own, so that a web page whose name is rebound to it gets nothing.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_bytes: int,
        larger: Sequence[tuple[str, int]] = (),
        hosts: Sequence[str] = (),
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cap = self._cap(scope["path"])
        if refusal := self._refuse(headers, cap):
            await respond(problem_of(refusal, scope["path"]))(scope, receive, send)
            return
        await _Counted(self._app, cap)(scope, receive, send)

    def _cap(self, path: str) -> int:
        return next(
            (cap for prefix, cap in self._larger if path.startswith(prefix)), self._max_bytes
        )

    def _refuse(self, headers: Headers, cap: int) -> TwofoldError | None:
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._hosts and name not in self._hosts:
            return Forbidden(
                f"This server answers on {', '.join(sorted(self._hosts))} only. To be reached under"
                " another name, start it with --host 0.0.0.0."
            )
        claimed = headers.get("content-length", "0")
        if not (claimed.isascii() and claimed.isdigit()):
            return InvalidInput("Content-Length is not a number.")
        return too_large(cap) if len(claimed) > 18 or int(claimed) > cap else None


class _Counted:
    """One request whose body may be chunked: read up to the cap before the app sees any of it."""

    def __init__(self, app: ASGIApp, cap: int) -> None:
        self._app = app
        self._cap = cap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._cap:
                await respond(problem_of(too_large(self._cap), scope["path"]))(scope, receive, send)
                return
        await self._app(scope, _replay(bytes(body), receive), send)


class Shield:
    """Nothing escapes to the server: its traceback would put a caller's words into the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
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
