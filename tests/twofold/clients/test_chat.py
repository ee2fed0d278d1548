"""The chat client against a server that speaks the protocol: what is sent, counted and retried."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from tests.model_server import (
    GOOD,
    ModelServer,
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
    more = {"deadline": time.monotonic() + 5} | more
    stream = model.stream(MESSAGES, usage=usage or Usage(), **more)
    async with aclosing(stream) as pieces:
        return "".join([piece async for piece in pieces])


def with_server(
    server: ModelServer, run: Callable[[ChatModel], Coroutine[Any, Any, None]], **more: Any
) -> None:
    async def both() -> None:
        async with server:
            at = chat.ModelServer(server.url, **more)
            await run(ChatModel(at, "base", first_token_s=0.4, gap_s=0.4))
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
        started = time.monotonic()
        with pytest.raises(UpstreamError, match="slow"):
            await read(model, first_by=started + 0.05)
        assert time.monotonic() - started < 0.35

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
        async with asyncio.timeout(5):
            await server.requests[0].left.wait()

    with_server(server, run)
