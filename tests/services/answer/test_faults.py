"""Every way a dependency can fail, asked as a client asks: no question is lost or told twice."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from services.answer.access.bulkhead import Bulkhead
from services.answer.app import create_app
from services.answer.contract import Ask
from services.answer.events import Acted, Done
from services.answer.generate import Step
from services.answer.pipeline import Parts, answer, ask_once
from tests.ingestion.helpers import WORKSPACE
from tests.model_server import (
    FIRST_SENTENCE,
    GOOD,
    Behaviour,
    Line,
    ModelServer,
    babbles,
    closes,
    endless_line,
    errs,
    hangs,
    in_turn,
    no_grammar,
    no_http,
    refuses,
    resets,
    says,
    says_then,
    sends,
    trickles,
)
from tests.services.answer.asking import (
    HASTY,
    QUESTION,
    Patience,
    check_told_once,
    counted,
    hear,
    knowing,
    with_model,
    with_settings,
)
from twofold.clients.chat import Breaker

BOTH: tuple[Step, ...] = ("tuned", "base")
LATE_S = 30.0
"""A busy machine may be late by this much."""
HALF = f"ANSWER\n{FIRST_SENTENCE} [1] Deploy the new"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("faults")) as parts:
        yield parts


@dataclass(frozen=True)
class Fault:
    id: str
    server: Behaviour | dict[str, Behaviour]
    served_by: str = "composer"
    action: str = "ANSWER"
    requests: int = 1
    """How often the server may be asked in all."""
    steps: tuple[Step, ...] = ("base",)
    waits: bool = False
    """Whether it shows only in that nothing comes."""


def event(body: bytes) -> Behaviour:
    return sends(b"data: " + body + b"\n\n")


def fault_of(behaviour: Behaviour) -> dict[str, Behaviour]:
    """The adapter fails, the base model works."""
    return {"tuned": behaviour, "": says(GOOD)}


BROKEN_OFF: dict[str, Any] = {"served_by": "base", "action": "ESCALATE"}
STREAMS = (
    Fault("hangs before the headers", hangs, waits=True),
    Fault("hangs after the headers", says_then("", hangs), waits=True),
    Fault("hangs within the header line", says_then("ANSW", hangs), waits=True),
    Fault("hangs after the header line", says_then("ANSWER\n", hangs), waits=True),
    Fault("hangs in the first sentence", says_then("ANSWER\nRolling a signing", hangs), waits=True),
    Fault("hangs in the second sentence", says_then(HALF, hangs), waits=True, **BROKEN_OFF),
    Fault(
        "trickles before the first sentence", says_then("ANSWER\nRolling ", trickles), waits=True
    ),
    Fault("trickles after the first sentence", says_then(HALF, trickles), waits=True, **BROKEN_OFF),
    Fault("resets before the headers", resets, requests=2),
    Fault("resets after the headers", says_then("", resets), requests=2),
    Fault("resets after the header line", says_then("ANSWER\n", resets)),
    Fault("resets mid-stream", says_then(HALF, resets), **BROKEN_OFF),
    Fault("ends early before a word", says_then("", closes), requests=2),
    Fault("ends early mid-sentence", says_then("ANSWER\nRolling a", closes)),
    Fault("ends early mid-stream", says_then(HALF, closes), **BROKEN_OFF),
    Fault("an error event first", says_then("", errs), requests=2),
    Fault("an error event mid-stream", says_then(HALF, errs), **BROKEN_OFF),
    Fault("never stops, and says nothing", says_then("ANSWER\n", babbles), waits=True),
    Fault(
        "never stops after a sentence",
        says_then(f"{HALF} secret. [1] ", babbles),
        waits=True,
        **BROKEN_OFF,
    ),
    Fault("one endless line", endless_line, requests=2),
)
STATUSES = (
    Fault("400", refuses("400 Bad Request"), requests=2),
    Fault("401", refuses("401 Unauthorized"), requests=2),
    Fault("404", refuses("404 Not Found"), requests=2),
    Fault("429", refuses("429 Too Many Requests"), requests=2),
    Fault("500", refuses("500 Internal Server Error"), requests=2),
    Fault("503", refuses("503 Service Unavailable"), requests=2),
    Fault("500 once", in_turn(refuses("500 Oops"), says(GOOD)), served_by="base", requests=2),
    Fault("reset once", in_turn(resets, says(GOOD)), served_by="base", requests=2),
    Fault("no grammar", no_grammar(says(GOOD)), served_by="base", requests=2),
    Fault("no grammar, then 500", no_grammar(refuses("500 Oops")), requests=2),
)
NONSENSE = (
    Fault("not HTTP", no_http, requests=2),
    Fault("no stream", sends(b""), requests=2),
    Fault("bytes", event(b"\x00\xff\xfe"), requests=2),
    Fault("no JSON", event(b"{not json"), requests=2),
    Fault("another object", event(b'{"foo": 1}'), requests=2),
    Fault("a list", event(b"[1, 2]"), requests=2),
    Fault("a number", event(b"5"), requests=2),
    Fault("null", event(b"null"), requests=2),
    Fault("choice without delta", event(b'{"choices": [{}]}'), requests=2),
    Fault("delta is null", event(b'{"choices": [{"delta": null}]}'), requests=2),
    Fault("content is a number", event(b'{"choices": [{"delta": {"content": 7}}]}'), requests=2),
    Fault("lines without data", sends(b"hello\n\nevent: x\n\n"), requests=2),
    Fault("only [DONE]", event(b"[DONE]"), requests=1),
    Fault("an empty reply", says(""), requests=1),
    Fault("no usage", says(GOOD, usage=False), served_by="base"),
)
REPLIES = (
    Fault("no header", says(GOOD.removeprefix("ANSWER\n")), served_by="base"),
    Fault("a loose header", says(GOOD.replace("ANSWER", "**Answer**:")), served_by="base"),
    Fault("prose of its own", says("Sure! I think it is about two weeks or so.\n")),
    Fault("one long line", says("word " * 200)),
    Fault("an unknown reason", says("ESCALATE [team=x reason=moon]\nOh."), "base", "ESCALATE"),
    Fault("cut at its length", says(GOOD + "Then it ", reason="length"), served_by="base"),
)
LADDER = (
    Fault("the adapter hangs", fault_of(hangs), "base", requests=2, steps=BOTH, waits=True),
    Fault("the adapter fails", fault_of(refuses("500 Oops")), "base", requests=3, steps=BOTH),
    Fault("no such adapter", fault_of(refuses("404 Not Found")), "base", requests=3, steps=BOTH),
    Fault("the adapter is reset", fault_of(resets), "base", requests=3, steps=BOTH),
    Fault(
        "the adapter hangs after its first token",
        fault_of(says_then("ANSWER\nRolling", hangs)),
        steps=BOTH,
        waits=True,
    ),
    Fault("both hang", hangs, requests=2, steps=BOTH, waits=True),
    Fault("both fail", refuses("500 Oops"), requests=4, steps=BOTH),
)
FAULTS = (*STREAMS, *STATUSES, *NONSENSE, *REPLIES, *LADDER)


@pytest.mark.parametrize(
    "fault",
    [pytest.param(f, id=f.id, marks=pytest.mark.heavy if f.waits else ()) for f in FAULTS],
)
def test_a_failing_model_costs_a_step_never_a_question(fault: Fault, parts: Parts) -> None:
    async def run() -> None:
        async with ModelServer(fault.server) as server:
            patience = HASTY if fault.waits else Patience()
            asked = with_model(parts, server.url, *fault.steps, patience=patience)
            answers, handoffs = counted(parts.stack)
            async with asyncio.timeout(patience.deadline + LATE_S):
                heard = await hear(asked)
            record = check_told_once(asked, heard)
            assert (heard.done.action, heard.done.served_by) == (fault.action, fault.served_by)
            handed_over = heard.done.action == "ESCALATE"
            assert counted(parts.stack) == (answers + 1, handoffs + handed_over)
            assert 1 <= len(server.requests) <= fault.requests
            if fault.served_by == "composer" or fault.steps == BOTH:
                assert record.signals["ladder"][0].startswith(fault.steps[0])
            if not handed_over:
                assert "12 hours" in heard.done.text
                assert heard.done.citations

    asyncio.run(run())


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 40


def test_nobody_listens_where_the_model_should_be(parts: Parts) -> None:
    heard = asyncio.run(hear(with_model(parts, "http://127.0.0.1:9", *BOTH)))
    assert heard.done.served_by == "composer"
    assert check_told_once(parts, heard).signals["ladder"] == ["tuned: upstream", "base: upstream"]


def test_a_reply_that_breaks_off_is_handed_over_in_plain_sight(parts: Parts) -> None:
    async def run() -> None:
        async with ModelServer(says_then(HALF, resets)) as server:
            heard = await hear(with_model(parts, server.url))
            assert heard.acted == ["ANSWER", "ESCALATE"]
            assert heard.deltas[0] == f"{FIRST_SENTENCE} [1]"
            assert "our support team" in heard.done.text
            assert [c.n for c in heard.done.citations] == [1]

    asyncio.run(run())


# --- clients and crowds --------------------------------------------------------------------------


@pytest.mark.heavy
def test_two_hundred_clients_leave_and_their_models_are_told(parts: Parts) -> None:
    """Half of them leave before the first word, half after it."""

    async def leave(asked: Parts, words: int) -> None:
        async with aclosing(answer(Ask(QUESTION, WORKSPACE), asked)) as told:
            async for event in told:
                if words and not isinstance(event, Acted):
                    continue
                if words:
                    return
                await asyncio.Event().wait()

    async def run() -> None:
        behaviour = says_then(HALF, hangs)
        async with ModelServer({"tuned": hangs, "base": behaviour}) as server:
            silent = with_model(parts, server.url, "tuned")
            talking = with_model(parts, server.url, "base")
            wide = Bulkhead(400, 400, "full")
            silent, talking = replace(silent, searches=wide), replace(talking, searches=wide)
            waiting = [asyncio.create_task(first_event_then_wait(silent)) for _ in range(100)]
            await server.asked(100)
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            async with asyncio.timeout(LATE_S):  # the models' own patience is longer
                for request in server.requests:
                    await request.left.wait()

            for _ in range(100):
                await leave(talking, words=1)
                async with asyncio.timeout(LATE_S):
                    await server.requests[-1].left.wait()
            assert len(server.requests) == 200
            assert silent.ladder.calls.inside == talking.ladder.calls.inside == 0
            await silent.ladder.aclose()
            await talking.ladder.aclose()

    before = counted(parts.stack)
    asyncio.run(run())
    assert counted(parts.stack) == before


async def first_event_then_wait(parts: Parts) -> None:
    async with aclosing(answer(Ask(QUESTION, WORKSPACE), parts)) as told:
        async for _ in told:
            pass


def test_a_slow_reader_gets_all_of_it(parts: Parts) -> None:
    async def run() -> None:
        sentence = f"{FIRST_SENTENCE} [1] "
        async with ModelServer(says("ANSWER\n" + sentence * 12)) as server:
            asked = with_model(parts, server.url)
            told = []
            async for event in answer(Ask(QUESTION, WORKSPACE), asked):
                told.append(event)
                for _ in range(200):
                    await asyncio.sleep(0)
            await asked.ladder.aclose()
            assert isinstance(told[-1], Done)
            assert told[-1].answer.text.count(FIRST_SENTENCE) == 12

    asyncio.run(run())


def test_when_the_models_are_taken_the_composer_answers_at_once(parts: Parts) -> None:
    async def run() -> None:
        async with ModelServer(hangs) as server:
            calls = Bulkhead(1, 0, "full")
            asked = with_model(parts, server.url, calls=calls)
            held = asyncio.create_task(ask_once(Ask(QUESTION, WORKSPACE), asked))
            await server.asked(1)
            heard = await hear(asked, stay=True)
            assert heard.done.served_by == "composer"
            assert check_told_once(asked, heard).signals["ladder"] == ["base: overloaded"]
            held.cancel()
            await asyncio.gather(held, return_exceptions=True)
            await asked.ladder.aclose()
            assert calls.inside == 0

    asyncio.run(run())


@pytest.mark.parametrize("times", [5, 10])
def test_too_many_at_once_end_in_an_answer_a_lower_step_or_a_429(parts: Parts, times: int) -> None:
    """So many full houses arrive together. The model writes for two and lets two wait."""
    house, before = 10, counted(parts.stack)
    refused: list[httpx.Response] = []
    answered: list[dict[str, Any]] = []
    full = asyncio.Event()

    async def holds(line: Line) -> None:
        await full.wait()
        await says(GOOD)(line)

    async def ask(http: httpx.AsyncClient) -> None:
        response = await http.post("/v1/chat", json={"message": QUESTION})
        if response.status_code == 429:
            refused.append(response)
        else:
            answered.append(response.raise_for_status().json())
        if len(refused) + len(answered) >= (times - 1) * house:
            full.set()

    async def run() -> None:
        async with ModelServer(holds) as server:
            asked = with_model(parts, server.url, calls=Bulkhead(2, 2, "full"))
            app = create_app(with_settings(asked, max_in_flight=house))
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
                await asyncio.gather(*(ask(http) for _ in range(times * house)))
            assert asked.ladder.calls.inside == asked.ladder.calls.waiting == 0
            assert asked.searches.inside == asked.searches.waiting == 0
            await asked.ladder.aclose()

    asyncio.run(run())
    assert len(refused) + len(answered) == times * house
    assert len(answered) >= house
    assert {each["served_by"] for each in answered} == {"base", "composer"}
    assert len({each["answer_id"] for each in answered}) == len(answered)
    assert counted(parts.stack) == (before[0] + len(answered), before[1])
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)


def test_a_failing_server_is_left_alone_and_tried_again(parts: Parts) -> None:
    async def run() -> None:
        breaker = Breaker(failures=3, cooldown=60)
        async with ModelServer(in_turn(*[refuses("500 Oops")] * 3, says(GOOD))) as server:
            asked = with_model(parts, server.url, breaker=breaker)
            for _ in range(4):
                assert (await hear(asked)).done.served_by == "composer"
            assert len(server.requests) == 3
            breaker.cooldown = 0
            breaker._open_until = 0
            assert (await hear(asked)).done.served_by == "base"
            assert (await hear(asked)).done.served_by == "base"

    asyncio.run(run())
