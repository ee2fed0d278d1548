"""A network between a browser and a server that can be cut."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

CHUNK = 65_536


class Wire:
    """Carries bytes from a port of its own to another one, while it is whole."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._ends: set[asyncio.StreamWriter] = set()
        self._whole = True
        self.url = ""

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._carry, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.close()
        self.cut()
        self._run(self._still())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """End every connection; new ones end at once, until `mend`."""
        self._whole = False
        self._run(self._drop())

    def mend(self) -> None:
        self._whole = True

    def _run(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _drop(self) -> None:
        for end in list(self._ends):
            end.transport.abort()

    async def _still(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        there, onward = await asyncio.open_connection("127.0.0.1", self._to)
        with self._held(writer), self._held(onward):
            await asyncio.gather(_copy(reader, onward), _copy(there, writer))

    @contextmanager
    def _held(self, end: asyncio.StreamWriter) -> Iterator[None]:
        self._ends.add(end)
        try:
            yield
        finally:
            self._ends.discard(end)
            end.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, RuntimeError):
        while piece := await source.read(CHUNK):
            target.write(piece)
            await target.drain()
    # The other direction ends with this one: neither side waits for a half that says nothing more.
    target.close()
