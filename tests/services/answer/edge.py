"""Calls with a key, from here or from elsewhere, and answers that come as a test says."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from services.answer import pipeline
from services.answer.access.keys import create_key
from services.answer.contract import Ask
from services.answer.events import Acted, Answered, Cited, Delta, Done, Event, Meta
from services.answer.pipeline import Parts

ROLL = "How long does the old signing secret keep working after I roll it?"
HACKED = "My account was hacked and someone changed my password"


class Client:
    """An app as one caller sees it: with a key or without, from `address`."""

    def __init__(self, app: ASGIApp, key: str = "", address: str = "127.0.0.1") -> None:
        self.app = app
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.address = address

    def __call__(
        self, method: str, path: str, body: Any = None, headers: Any = None, **more: Any
    ) -> httpx.Response:
        return asyncio.run(self.ask(method, path, body, headers, **more))

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Any = None, **more: Any
    ) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, client=(self.address, 1))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=self.headers
        ) as http:
            return await http.request(method, path, json=body, headers=headers, **more)


def with_settings(parts: Parts, **changed: Any) -> Parts:
    settings = parts.stack.settings.model_copy(update=changed)
    return replace(parts, stack=replace(parts.stack, settings=settings))


def key_for(parts: Parts, name: str, *scopes: str, **more: Any) -> str:
    workspace = more.pop("workspace", "default")
    return create_key(parts.stack.ledger, name, workspace, scopes or ("admin",), **more).plain


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110  nobody tells when
            await asyncio.sleep(0.01)


class Slowly:
    """Stands in for the pipeline's generation: the real one's record, and time between pieces."""

    def __init__(self, seconds: float = 0.0, pieces: int = 5) -> None:
        self.seconds = seconds
        self.pieces = pieces
        self.begun = 0
        self.finished = 0
        self._real: Callable[..., AsyncGenerator[Event, None]] = pipeline.answer

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Slowly":
        monkeypatch.setattr(pipeline, "answer", self.answer)
        return self

    async def answer(self, ask: Ask, parts: Parts) -> AsyncGenerator[Event, None]:
        self.begun += 1
        async for event in self._real(ask, parts):
            if isinstance(event, Delta):
                size = max(1, len(event.text) // self.pieces)
                for at in range(0, len(event.text), size):
                    await asyncio.sleep(self.seconds)
                    yield Delta(event.text[at : at + size])
                continue
            yield event
        self.finished += 1


class Scripted:
    """Answers that touch nothing; those that are `held` wait for `go`."""

    def __init__(self, *, held: bool = False, text: str = "Yes.") -> None:
        self.text = text
        self.begun = 0
        self.answered = 0
        self.go = threading.Event()
        if not held:
            self.go.set()

    def install(self, monkeypatch: pytest.MonkeyPatch) -> "Scripted":
        async def once(ask: Ask, parts: Parts) -> Answered:
            async for event in self.answer(ask, parts):
                if isinstance(event, Done):
                    return event.answer
            raise AssertionError("it ends in Done")

        monkeypatch.setattr(pipeline, "answer", self.answer)
        monkeypatch.setattr(pipeline, "ask_once", once)
        return self

    async def answer(self, _ask: Ask, _parts: Parts) -> AsyncGenerator[Event, None]:
        yield Meta("a", "c")
        self.begun += 1
        while not self.go.is_set():  # noqa: ASYNC110  set in whatever thread the test is
            await asyncio.sleep(0.01)
        yield Acted("ANSWER", None, "composer")
        yield Delta(self.text)
        yield Cited(())
        self.answered += 1
        yield Done(Answered("a", "c", "ANSWER", self.text, (), None, "composer"))
