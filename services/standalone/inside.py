"""An application of this process as its neighbour calls it: HTTP without a network, streamed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx
from starlette.types import ASGIApp, Message

from twofold.errors import UpstreamError

BUFFERED: Final = 64
"""Pieces that wait for a reader; the application waits with the next."""


class InsideTransport(httpx.AsyncBaseTransport):
    """httpx' own ASGI transport hands a response out when it is finished; this one as it comes.

    `scope` is added to the request's: no network can put anything there.
    """

    def __init__(self, app: ASGIApp, scope: Mapping[str, Any]) -> None:
        self._app = app
        self._scope = scope

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        call = _Call(self._app, {**_scope_of(request), **self._scope}, body)
        return await call.begun()


class _Call(httpx.AsyncByteStream):
    """One request on its way."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], body: bytes) -> None:
        self._body: list[bytes] = [body]
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(BUFFERED)
        self._head: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._left = asyncio.Event()
        self._task = asyncio.create_task(self._run(app, scope))

    async def begun(self) -> httpx.Response:
        try:
            head = await self._head
        except BaseException:
            await self.aclose()
            raise
        return httpx.Response(head["status"], headers=head.get("headers", []), stream=self)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            yield piece
        await self._task

    async def aclose(self) -> None:
        """Tells the application, as a network would, that the reader has left."""
        self._left.set()
        while not self._task.done():
            while not self._pieces.empty():
                self._pieces.get_nowait()
            await asyncio.wait({self._task}, timeout=0.05)

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        except Exception as error:
            if not self._head.done():
                self._head.set_exception(httpx.RemoteProtocolError(type(error).__name__))
            else:
                raise UpstreamError("The answer broke off. Ask again.") from error
        finally:
            if not self._head.done():
                self._head.set_exception(httpx.RemoteProtocolError("no response"))
            if not self._left.is_set():
                await self._pieces.put(None)

    async def _receive(self) -> Message:
        if self._body:
            return {"type": "http.request", "body": self._body.pop(), "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if not self._head.done():  # whoever asked may have left before
                self._head.set_result(message)
        elif message.get("body") and not self._left.is_set():
            await self._pieces.put(message["body"])


def _scope_of(request: httpx.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 0),
        "server": (request.url.host, request.url.port),
    }
