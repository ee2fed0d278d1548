"""What metrics say of who served a reply, and of the hand-offs that were written down."""

import asyncio
from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from services.answer.handoffs.outbox import PersonRequest, request
from services.answer.pipeline import Parts
from tests.ingestion.helpers import WORKSPACE
from tests.model_server import GOOD, PROMPT, ModelServer, hangs, says
from tests.services.answer.asking import as_opened, hear, knowing

NOBODY_KNOWS = "Which endpoints were patched after the audit of the warehouse in Rotterdam?"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("served")) as parts:
        yield parts


def count(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def served(by: str, release: str) -> float | None:
    return count("twofold_behaviour_served_total", served_by=by, release=release)


def test_a_reply_is_counted_for_the_release_that_wrote_it(parts: Parts) -> None:
    async def ask() -> float | None:
        async with ModelServer({"base": says(GOOD), "tune-7": says(GOOD)}) as server:
            opened = as_opened(parts, server.url, model_adapter="tune-7")
            before = served("tuned", "tune-7")
            await hear(opened)
            return before

    base = served("base", "base") or 0.0
    assert asyncio.run(ask()) == 0  # there before the first reply, for a rate to start from
    assert (served("tuned", "tune-7"), served("base", "base")) == (1, base)
    tried = {"lane": "none", "outcome": "served"}
    assert count("twofold_behaviour_lane_replies_total", **tried)


def test_a_reply_that_no_model_wrote_has_no_release(parts: Parts) -> None:
    async def ask() -> None:
        async with ModelServer(hangs) as server:
            await hear(as_opened(parts, server.url, model_first_token_s=0.2, deadline_s=4.0))

    before = served("composer", "none")
    asyncio.run(ask())
    assert before is not None
    assert served("composer", "none") == before + 1
    assert served("composer", "base") is None


def test_tokens_of_a_reply_that_was_replaced_are_counted_too(parts: Parts) -> None:
    async def ask(*, evaluation: bool) -> None:
        async with ModelServer(says("ANSWER\nForty-two days, I think. [1]")) as server:
            told = await hear(as_opened(parts, server.url), evaluation=evaluation)
            assert told.done.served_by == "composer"

    def counted() -> list[float]:
        kinds = [count("twofold_behaviour_tokens_total", kind=k) for k in ("prompt", "completion")]
        return [each or 0.0 for each in (*kinds, count("twofold_behaviour_replaced_total"))]

    before = counted()
    asyncio.run(ask(evaluation=False))
    after = counted()
    assert [a - b for a, b in zip(after, before, strict=True)] == [PROMPT, 42, 1]
    asyncio.run(ask(evaluation=True))  # what an eval asks is no customer's
    assert counted() == after


def test_hand_offs_are_counted_once_by_who_asked(parts: Parts) -> None:
    def created() -> tuple[float | None, ...]:
        return tuple(
            count("twofold_handoff_created_total", by=by) for by in ("assistant", "customer")
        )

    assistant, customer = created()
    assert assistant is not None
    assert customer is not None
    told = asyncio.run(hear(parts, NOBODY_KNOWS))
    assert told.done.action == "ESCALATE"
    assert created() == (assistant + 1, customer)
    wish = PersonRequest(WORKSPACE, message="A person, please", key="one")
    for _ in range(2):
        request(parts.stack.ledger, parts.house, wish)
    assert created() == (assistant + 1, customer + 1)
    asyncio.run(hear(parts, NOBODY_KNOWS, evaluation=True))
    assert created() == (assistant + 1, customer + 1)
