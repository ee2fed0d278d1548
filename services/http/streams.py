"""Server-sent events as plain bytes, and no work once the reader has left."""

import asyncio
import time
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

HEARTBEAT_SECONDS = 10.0
HEARTBEAT = b": still here\n\n"

STUCK_SECONDS = 60.0
"""A reader that takes nothing for so long is cut: what it holds is somebody else's room."""

F = TypeVar("F")
T = TypeVar("T")


class EventStream(StreamingResponse):
    """Frames as they come, a comment whenever there is none for `heartbeat` seconds.

    Closes its source whatever ends it: the last frame, an error, a reader who left. Until there is
    a first frame no status is sent, so that what fails before it gets its own.
    """

    media_type = "text/event-stream"

    def __init__(
        self, frames: AsyncGenerator[bytes, None], heartbeat: float = HEARTBEAT_SECONDS
    ) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(frames, headers=headers)
        self._frames = frames
        self._heartbeat = heartbeat
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        await while_connected(receive, self._tell(send))

    async def _tell(self, send: Send) -> None:
        beating: asyncio.Task[None] | None = None
        head = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        try:
            async with asyncio.timeout(None) as self._stuck, aclosing(self._frames) as frames:
                async for frame in frames:
                    self._last = time.monotonic()
                    self._moves()
                    if beating is None:
                        await send(head)
                        beating = asyncio.create_task(self._beat(send))
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
        except TimeoutError:
            if not self._stuck.expired():
                raise
            return  # without its end: the server cuts the line
        finally:
            if beating is not None:
                beating.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _moves(self) -> None:
        """Notes that something is about to be sent, or was: until the next time, STUCK_SECONDS
        may pass."""
        self._stuck.reschedule(asyncio.get_running_loop().time() + STUCK_SECONDS)

    async def _beat(self, send: Send) -> None:
        while True:
            wait = self._last + self._heartbeat - time.monotonic()
            if wait <= 0:
                self._last = time.monotonic()
                await send({"type": "http.response.body", "body": HEARTBEAT, "more_body": True})
                self._moves()
            else:
                await asyncio.sleep(wait)


@dataclass(eq=False, kw_only=True)
class GrowingStream(Generic[F]):
    """Frames that one task adds and any number of readers follow, from any of them on."""

    frames: list[F] = field(default_factory=list)
    error: Exception | None = None
    ended: bool = False
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, frame: F) -> None:
        self.frames.append(frame)
        self._tell()

    def end(self, error: Exception | None = None) -> None:
        self.ended, self.error = True, error
        self._tell()

    async def has(self, number: int) -> bool:
        """Waits for that frame; False where it is over without."""
        while number >= len(self.frames) and not self.ended:
            await self._news.wait()
        return number < len(self.frames)

    async def begun(self) -> None:
        """Returns once there is something to read. Raises what went wrong before that."""
        if not await self.has(0) and self.error is not None:
            raise self.error

    async def over(self) -> None:
        while not self.ended:
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def while_connected(receive: Receive, work: Coroutine[Any, Any, T]) -> T | None:
    """Returns the work's result, or None once the caller has left: then the work is cancelled."""
    doing = asyncio.create_task(work)
    leaving = asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, leaving):
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(doing, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
