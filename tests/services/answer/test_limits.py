"""How often, how much, how many at once: refused early, with a time to come back."""

import asyncio
from typing import Any

import httpx
import pytest

from services.answer.access.keys import Caller
from services.answer.access.limits import Buckets, RedisBuckets, check_rate
from services.answer.app import create_app
from services.answer.pipeline import Parts
from tests.services.answer.edge import Client, Scripted, key_for, until, with_settings
from tests.services.standalone.serving import needs_weights, own_threads, served
from twofold.errors import Overloaded
from twofold.settings import Settings

QUESTION = {"message": "x"}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- rates --------------------------------------------------------------------------------------


def test_a_bucket_gives_the_rate_and_a_burst() -> None:
    clock = Clock()
    buckets = Buckets(clock)

    def allowed(times: int) -> int:
        return sum(asyncio.run(buckets.wait_s("k", 60)) == 0 for _ in range(times))

    assert allowed(30) == 10
    wait = asyncio.run(buckets.wait_s("k", 60))
    assert 0 < wait <= 1
    clock.now += wait
    assert allowed(5) == 1
    clock.now += 3600
    assert allowed(30) == 10
    assert asyncio.run(buckets.wait_s("other", 60)) == 0


@pytest.mark.heavy
def test_over_a_minute_the_rate_holds() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    passed = 0
    for _ in range(6000):
        passed += asyncio.run(buckets.wait_s("k", 120)) == 0
        clock.now += 0.01
    assert 120 <= passed <= 120 + 20 + 1


def test_callers_without_a_key_and_keys_without_a_limit_are_not_counted() -> None:
    buckets = Buckets()

    async def many(caller: Caller, settings: Settings) -> None:
        for _ in range(1000):
            await check_rate(buckets, caller, settings)

    asyncio.run(many(Caller("default"), Settings(requests_per_minute=1)))
    asyncio.run(many(Caller("default", "k", rate=0), Settings(requests_per_minute=1)))
    asyncio.run(many(Caller("default", "k"), Settings(requests_per_minute=0)))
    with pytest.raises(Overloaded):
        asyncio.run(many(Caller("default", "k", rate=30), Settings()))


class FakeRedis:
    def __init__(self, reply: Any) -> None:
        self.reply = reply
        self.asked: list[tuple[Any, ...]] = []

    async def eval(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


def test_redis_counts_for_all_processes() -> None:
    redis = FakeRedis(b"0.75")
    assert asyncio.run(RedisBuckets("redis://x", Buckets(), redis).wait_s("k", 60)) == 0.75
    assert redis.asked[0][1:] == (1, "twofold:rate:k", 1.0, 10.0)


def test_without_redis_each_process_counts_for_itself() -> None:
    redis = FakeRedis(ConnectionError("gone"))
    buckets = RedisBuckets("redis://x", Buckets(), redis)
    waits = [asyncio.run(buckets.wait_s("k", 60)) for _ in range(15)]
    assert waits.count(0) == 10
    assert len(redis.asked) == 1, "a broken Redis is left alone a while"


@needs_weights
def test_a_key_over_its_rate_is_told_when(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    Scripted().install(monkeypatch)
    app = create_app(parts)
    call = Client(app, key_for(parts, "fast", "answer", rate=6))
    statuses = [call("POST", "/v1/chat", QUESTION).status_code for _ in range(8)]
    assert statuses == [200] * 5 + [429] * 3
    refused = call("POST", "/v1/chat", QUESTION)
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    assert "6 requests a minute" in refused.json()["detail"]
    other = Client(app, key_for(parts, "other", "answer", rate=6))
    assert other("POST", "/v1/chat", QUESTION).status_code == 200


# --- size ---------------------------------------------------------------------------------------


@needs_weights
def test_the_cap_on_a_request_is_a_setting(parts: Parts) -> None:
    call = Client(create_app(with_settings(parts, max_request_kb=2)), key_for(parts, "size"))
    refused = call("POST", "/v1/search", {"query": "x" * 2000})
    assert refused.status_code == 413
    assert "2 kB" in refused.json()["detail"]


@needs_weights
def test_nobody_without_a_key_gets_a_body_read(parts: Parts) -> None:
    read = 0

    async def endless() -> Any:
        nonlocal read
        while read < 100:
            read += 1
            yield b"x" * 10_000

    key_for(parts, "lock", "answer")

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_app(parts))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.post("/v1/chat", content=endless())

    assert asyncio.run(send()).status_code == 401
    assert read == 0


# --- overload -----------------------------------------------------------------------------------


@needs_weights
def test_a_full_house_still_says_that_it_lives(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Scripted(held=True).install(monkeypatch)
    key = key_for(parts, "alive", "answer", "read")
    headers = {"Authorization": f"Bearer {key}"}

    async def look(url: str) -> tuple[int, int, int]:
        async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False) as http:
            busy = asyncio.create_task(http.post("/v1/chat", json=QUESTION))
            await until(lambda: answers.begun)
            refused = await http.post("/v1/chat", json=QUESTION)
            alive = await http.get("/healthz")
            record = await http.get("/v1/answers/none")
            answers.go.set()
            assert (await busy).status_code == 200
            return refused.status_code, alive.status_code, record.status_code

    with served(create_app(own_threads(with_settings(parts, max_in_flight=1)))) as url:
        assert asyncio.run(look(url)) == (429, 200, 404)
