"""An answer that ends before it is through: what it is of is deleted, or who reads it stops."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from services.answer.access import flights, privacy
from services.answer.access.flights import Flights
from services.answer.access.keys import Caller
from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.events import Delta, Event, Meta
from services.answer.pipeline import Parts, answer, ask_once
from tests.ingestion.helpers import WORKSPACE
from tests.model_server import FIRST_SENTENCE, Behaviour, ModelServer, hangs, says_then
from tests.services.answer.asking import (
    QUESTION,
    counted,
    knowing,
    on_record,
    with_model,
)
from tests.services.answer.edge import Client, key_for, until
from twofold.errors import NotFound
from twofold.ledger.service import Replay

SENTENCE_AND_SILENCE = says_then(f"ANSWER\n{FIRST_SENTENCE} [1] Deploy", hangs)


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("ending")) as parts:
        yield parts


@dataclass
class World:
    """A service whose model falls silent."""

    parts: Parts
    model: ModelServer
    app: FastAPI

    async def listening(self, ask: Ask, told: list[Event]) -> None:
        async for event in answer(ask, self.parts):
            told.append(event)  # noqa: PERF401  kept as far as it came

    async def silent(self) -> None:
        """Returns once the model's call has ended."""
        async with asyncio.timeout(30):
            await self.model.requests[-1].left.wait()


@asynccontextmanager
async def silent(parts: Parts, behaviour: Behaviour = SENTENCE_AND_SILENCE) -> AsyncIterator[World]:
    async with ModelServer(behaviour) as model:
        asked = with_model(replace(parts, flights=Flights()), model.url)
        yield World(asked, model, create_app(asked))
        await asked.ladder.aclose()


def says_something(told: list[Event]) -> bool:
    return any(isinstance(event, Delta) for event in told)


@pytest.mark.parametrize("what", ["customer", "conversation"])
def test_a_deletion_ends_the_models_call_and_the_stream(what: str, parts: Parts) -> None:
    before: tuple[int, int] = (0, 0)

    async def run() -> None:
        nonlocal before
        first = await ask_once(Ask(QUESTION, WORKSPACE, customer=f"jo-{what}"), parts)
        before = counted(parts.stack)
        async with silent(parts) as world:
            told: list[Event] = []
            ask = Ask(QUESTION, WORKSPACE, customer=f"jo-{what}")
            ask = replace(ask, conversation_id=first.conversation_id)
            listener = asyncio.create_task(world.listening(ask, told))
            await until(lambda: says_something(told))
            id = f"jo-{what}" if what == "customer" else first.conversation_id
            gone = await Client(world.app).ask("DELETE", f"/v1/{what}s/{id}")
            assert gone.status_code == 204
            with pytest.raises(NotFound, match="was deleted"):
                await asyncio.wait_for(listener, 30)
            await world.silent()

    asyncio.run(run())
    assert counted(parts.stack) == (before[0] - 1, before[1])


def test_a_first_question_of_a_customer_ends_too_with_nothing_on_record(parts: Parts) -> None:
    async def run() -> None:
        async with silent(parts, hangs) as world:
            told: list[Event] = []
            ask = Ask(QUESTION, WORKSPACE, customer="new")
            listener = asyncio.create_task(world.listening(ask, told))
            await world.model.asked(1)
            assert (await Client(world.app).ask("DELETE", "/v1/customers/new")).status_code == 404
            with pytest.raises(NotFound, match="was deleted"):
                await asyncio.wait_for(listener, 30)
            await world.silent()

    before = counted(parts.stack)
    asyncio.run(run())
    assert counted(parts.stack) == before


def test_a_deletion_in_another_process_ends_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "LOOK_S", 0.02)

    async def run() -> None:
        async with silent(parts) as world:
            ledger = parts.stack.ledger
            watching = asyncio.create_task(world.parts.flights.watch(ledger, parts.writers))
            told: list[Event] = []
            ask = Ask(QUESTION, WORKSPACE, customer="far")
            listener = asyncio.create_task(world.listening(ask, told))
            await until(lambda: says_something(told))
            with suppress(NotFound):
                await asyncio.to_thread(privacy.delete_customer, ledger, WORKSPACE, "far")
            with pytest.raises(NotFound, match="was deleted"):
                await asyncio.wait_for(listener, 30)
            await world.silent()
            watching.cancel()

    asyncio.run(run())


async def begun(world: World, call: Client, key: str) -> tuple[asyncio.Task[Any], str]:
    """An answer that is made for a key, and its id."""
    body, headers = {"message": QUESTION}, {"Idempotency-Key": key}
    asked = asyncio.create_task(call.ask("POST", "/v1/chat", body, headers))
    await world.model.asked(1)
    with world.parts.stack.ledger.session() as session:
        newest = select(Replay.answer_id).order_by(Replay.started_at.desc()).limit(1)
        id = session.scalar(newest)
    assert id is not None
    return asked, id


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_who_stops_an_answer_ends_the_models_call_and_keeps_what_was_said(
    where: str, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "LOOK_S", 0.02)
    key, other = (key_for(parts, f"{n}-{where}", "answer", "read") for n in ("mine", "other"))

    async def run() -> tuple[str, str]:
        async with silent(parts) as world:
            ledger = parts.stack.ledger
            watching = asyncio.create_task(world.parts.flights.watch(ledger, parts.writers))
            asked, id = await begun(world, Client(world.app, key), f"stop-{where}")
            run = await world.app.state.runs.follow(id, Caller(WORKSPACE))
            async for frame in run.read():
                if b"event: delta" in frame:
                    break
            app = world.app
            if where == "elsewhere":
                app = create_app(replace(parts, flights=Flights()))
            path = f"/v1/answers/{id}/stop"
            assert (await Client(app, other).ask("POST", path)).status_code == 404
            assert not asked.done()
            assert (await Client(app, key).ask("POST", path)).status_code == 204
            response = await asyncio.wait_for(asked, 30)
            assert response.status_code == 200
            await world.silent()
            watching.cancel()
            return id, response.json()["text"]

    id, text = asyncio.run(run())
    assert text == f"{FIRST_SENTENCE} [1]"
    record = on_record(parts.stack, id)
    assert (record.answer.text, record.answer.action) == (text, "ANSWER")
    assert len(record.answer.citations) == 1


def test_what_is_stopped_before_a_word_of_it_leaves_nothing(parts: Parts) -> None:
    key = key_for(parts, "early", "answer")

    async def run() -> None:
        async with silent(parts, hangs) as world:
            asked, id = await begun(world, Client(world.app, key), "early")
            stopped = await Client(world.app, key).ask("POST", f"/v1/answers/{id}/stop")
            assert stopped.status_code == 204
            assert (await asyncio.wait_for(asked, 30)).status_code == 409
            await world.silent()

    before = counted(parts.stack)
    asyncio.run(run())
    assert counted(parts.stack) == before


def test_a_reader_who_leaves_while_it_is_deleted_just_leaves(parts: Parts) -> None:
    async def run() -> None:
        async with silent(parts) as world:
            told: list[Event] = []
            ask = Ask(QUESTION, WORKSPACE, customer="both")
            listener = asyncio.create_task(world.listening(ask, told))
            await until(lambda: says_something(told))
            assert isinstance(told[0], Meta)
            listener.cancel()
            await Client(world.app).ask("DELETE", "/v1/customers/both")
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(listener, 30)
            await world.silent()

    asyncio.run(run())
