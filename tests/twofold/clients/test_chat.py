"""The chat client against a server that speaks the protocol: what is sent, counted and retried."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from tests.model_server import (
    GOOD,
    Line,
    ModelServer,
    errs,
    hangs,
    in_turn,
    no_grammar,
    refuses,
    resets,
    says,
    says_then,
)
from twofold.clients import chat
from twofold.clients.chat import Breaker, ChatModel, RetryBudget, Usage
from twofold.errors import Overloaded, UpstreamError
from twofold.prompt import Message

MESSAGES = [Message("system", "Be brief."), Message("user", "Why?")]


async def read(model: ChatModel, usage: Usage | None = None, **more: Any) -> str:
    more = {"deadline": time.monotonic() + 120} | more
    stream = model.stream(MESSAGES, usage=usage or Usage(), **more)
    async with aclosing(stream) as pieces:
        return "".join([piece async for piece in pieces])


def with_server(
    server: ModelServer, run: Callable[[ChatModel], Coroutine[Any, Any, None]], **more: Any
) -> None:
    async def both() -> None:
        async with server:
            at = chat.ModelServer(server.url, **more)
            await run(ChatModel(at, "base", first_token_s=60, gap_s=60))
            await at.aclose()

    asyncio.run(both())


def test_what_is_sent_and_what_is_counted() -> None:
    server = ModelServer(says(GOOD))

    async def run(model: ChatModel) -> None:
        usage = Usage()
        text = await read(model, usage, grammar="root ::= x", cache_salt="salt", max_tokens=77)
        assert text == GOOD
        body = server.requests[0].body
        assert body["messages"] == [m._asdict() for m in MESSAGES]
        assert body["structured_outputs"] == {"grammar": "root ::= x"}
        assert (body["cache_salt"], body["max_tokens"], body["stream"]) == ("salt", 77, True)
        assert (usage.prompt_tokens, usage.completion_tokens) == (321, 42)
        assert usage.first_token_s is not None

    with_server(server, run, api_key="key")


def test_a_refused_grammar_is_learnt_once() -> None:
    server = ModelServer(no_grammar(says(GOOD)))

    async def run(model: ChatModel) -> None:
        for _ in range(3):
            assert await read(model, grammar="root ::= x") == GOOD
        assert ["structured_outputs" in r.body for r in server.requests] == [True] + [False] * 3

    with_server(server, run)


def test_a_400_about_something_else_teaches_nothing() -> None:
    server = ModelServer(in_turn(*[refuses("400 Bad Request")] * 2, says(GOOD)))

    async def run(model: ChatModel) -> None:
        with pytest.raises(UpstreamError, match="400"):
            await read(model, grammar="root ::= x")
        assert await read(model, grammar="root ::= x") == GOOD
        assert "structured_outputs" in server.requests[-1].body

    with_server(server, run)


def test_no_retry_after_the_first_token() -> None:
    server = ModelServer(says_then("ANSWER", resets))

    async def run(model: ChatModel) -> None:
        with pytest.raises(UpstreamError):
            await read(model)
        assert len(server.requests) == 1

    with_server(server, run)


def test_retries_end_with_their_budget() -> None:
    server = ModelServer(refuses("500 Oops"))

    async def run(model: ChatModel) -> None:
        for _ in range(5):
            with pytest.raises(UpstreamError):
                await read(model)
        assert len(server.requests) == 5 + 2

    budget = RetryBudget(share=0.0, _left=2.0)
    with_server(server, run, budget=budget, breaker=Breaker(failures=100))


def test_an_open_breaker_asks_nobody_and_lets_one_probe_through() -> None:
    server = ModelServer(refuses("500 Oops"))
    breaker = Breaker(failures=2, cooldown=60)

    async def run(model: ChatModel) -> None:
        with pytest.raises((UpstreamError, Overloaded)):
            await read(model)
        with pytest.raises(Overloaded) as refused:
            await read(model)
        assert 0 < refused.value.retry_after <= 60
        assert len(server.requests) == 2
        breaker._open_until = 0
        with pytest.raises((UpstreamError, Overloaded)):
            await read(model)
        assert len(server.requests) == 3

    with_server(server, run, breaker=breaker)


def test_who_could_still_be_asked_bounds_the_first_token() -> None:
    async def run(model: ChatModel) -> None:
        async with asyncio.timeout(30):  # the model's own patience is longer
            with pytest.raises(UpstreamError, match="slow"):
                await read(model, first_by=time.monotonic() + 0.05)

    with_server(ModelServer(hangs), run)


def test_errors_show_nothing_of_the_server_or_the_prompt() -> None:
    async def run(model: ChatModel) -> None:
        with pytest.raises(UpstreamError) as failed:
            await read(model)
        assert model.server.base_url not in failed.value.message
        assert "Why?" not in failed.value.message

    with_server(ModelServer(refuses("400 Why?")), run)


def test_closing_the_stream_closes_the_connection() -> None:
    server = ModelServer(says_then(GOOD, hangs))

    async def run(model: ChatModel) -> None:
        stream = model.stream(MESSAGES, usage=Usage(), deadline=time.monotonic() + 60)
        await anext(stream)
        await stream.aclose()
        async with asyncio.timeout(30):
            await server.requests[0].left.wait()

    with_server(server, run)


def test_pieces_are_handed_on_with_the_one_that_is_worth_it() -> None:
    async def run(model: ChatModel) -> None:
        usage = Usage()
        more = {"deadline": time.monotonic() + 60, "worth": lambda piece: "." in piece}
        async with aclosing(model.stream(MESSAGES, usage=usage, **more)) as pieces:
            told = [piece async for piece in pieces]
        assert "".join(told) == GOOD
        assert usage.pieces > len(told)
        assert told[0].startswith("ANSWER\nRolling")
        assert "." in told[0]

    with_server(ModelServer(says(GOOD)), run)


def test_what_arrived_before_it_broke_is_handed_on_first() -> None:
    async def run(model: ChatModel) -> None:
        more = {"deadline": time.monotonic() + 60, "worth": lambda piece: False}
        pieces = model.stream(MESSAGES, usage=Usage(), **more)
        assert await anext(pieces) == "ANSWER"
        with pytest.raises(UpstreamError):
            await anext(pieces)

    with_server(ModelServer(says_then("ANSWER", errs)), run)


def test_a_reply_longer_than_may_wait_arrives_whole() -> None:
    """Nothing of it is worth waking up for, so that it is its size that does."""
    piece, count = "x" * 1000, 300

    async def long(line: Line) -> None:
        await line.open()
        for _ in range(count):
            await line.piece(piece)
        await line.end()

    async def run(model: ChatModel) -> None:
        told = 0
        more = {"deadline": time.monotonic() + 30, "worth": lambda piece: False}
        async with aclosing(model.stream(MESSAGES, usage=Usage(), **more)) as pieces:
            async for each in pieces:
                told += len(each)
                for _ in range(20):
                    await asyncio.sleep(0)
        assert told == count * len(piece)

    with_server(ModelServer(long), run)


def test_many_at_once_over_kept_connections() -> None:
    server = ModelServer(says(GOOD))

    async def run(model: ChatModel) -> None:
        async def some() -> list[str]:
            return [await read(model) for _ in range(6)]

        told = await asyncio.gather(*(some() for _ in range(16)))
        assert {text for texts in told for text in texts} == {GOOD}
        assert len(server.requests) == 16 * 6

    with_server(server, run)
