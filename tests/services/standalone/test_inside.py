"""Requests that stay in the process behave as over a network."""

import asyncio
from typing import Any

import httpx
import pytest

from services.standalone.inside import InsideTransport


def test_who_left_before_the_answer_began_breaks_nothing() -> None:
    seen: list[str] = []
    asked = asyncio.Event()

    async def late(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        asked.set()
        seen.append((await receive())["type"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"late"})
        seen.append("sent")

    async def run() -> None:
        transport = InsideTransport(late, {})
        async with httpx.AsyncClient(transport=transport, base_url="http://in") as client:
            asking = asyncio.create_task(client.get("/"))
            await asked.wait()
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking

    asyncio.run(run())
    assert seen == ["http.disconnect", "sent"]
