"""Which release answers whom: what the registry says, within seconds, and what is left when it
cannot be asked."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from structlog.testing import capture_logs

from models.registry import Registry
from services.answer.generate import releases
from services.answer.generate.releases import Releases, in_share
from services.answer.pipeline import Parts
from tests.model_server import (
    GOOD,
    Behaviour,
    ModelServer,
    closes,
    refuses,
    says,
    says_then,
)
from tests.models.serve.adapters import adapter, report
from tests.services.answer.asking import Heard, as_opened, check_told_once, hear, knowing
from twofold.ledger import Ledger
from twofold.policy import HousePolicy

UNKNOWN = refuses("404 Not Found")


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Parts]:
    monkeypatch.setattr(releases, "REFRESH_S", 0.0)
    with knowing(tmp_path) as parts:
        yield parts


@pytest.fixture
def registry(parts: Parts) -> Registry:
    return Registry(parts.stack.ledger, parts.house)


@pytest.fixture
def publish(registry: Registry, parts: Parts, tmp_path: Path):  # type: ignore[no-untyped-def]
    def publish(name: str, **changed: Any) -> None:
        folder = adapter(tmp_path / name, parts.house, **changed)
        registry.gated(name, report(registry.register(folder, name)))

    return publish


def asked(parts: Parts, behaviours: dict[str, Behaviour], **more: Any) -> tuple[Heard, list[str]]:
    """One question asked, and which models the server was asked for."""

    async def run() -> tuple[Heard, list[str]]:
        async with ModelServer({"": UNKNOWN, **behaviours}) as server:
            heard = await hear(as_opened(parts, server.url, **more))
            return heard, [request.model for request in server.requests]

    return asyncio.run(run())


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"twofold_behaviour_lane_{name}", labels) or 0.0


@contextmanager
def counting(name: str, **labels: str) -> Iterator[list[float]]:
    """By how much a metric grew."""
    before, grown = counted(name, **labels), list[float]()
    yield grown
    grown.append(counted(name, **labels) - before)


def test_without_a_release_the_base_is_asked(parts: Parts, registry: Registry, publish) -> None:
    publish("a")  # a candidate serves nobody
    heard, models = asked(parts, {"base": says(GOOD)})
    assert models == ["base"]
    record = check_told_once(parts, heard)
    assert (record.profile, "lane" in record.signals) == ("full", False)


def test_the_live_release_is_asked_with_the_tuned_prompt(
    parts: Parts, registry: Registry, publish
) -> None:
    publish("a")
    registry.promote("a")
    with counting("replies_total", lane="live", outcome="served") as served:
        heard, models = asked(parts, {"a": says(GOOD), "base": says(GOOD)})
    assert models == ["a"]
    record = check_told_once(parts, heard)
    assert (heard.done.served_by, record.profile) == ("tuned", "tuned")
    assert (record.signals["model"], record.signals["lane"]) == ("a", "live")
    assert served == [1]


def test_a_conversation_keeps_its_lane(parts: Parts, registry: Registry, publish) -> None:
    for name in "ab":
        publish(name)
    registry.promote("a")
    registry.canary("b", 0.5)

    async def run() -> None:
        async with ModelServer({"a": says(GOOD), "b": says(GOOD), "": UNKNOWN}) as server:
            through = as_opened(parts, server.url)
            lanes = set()
            for _ in range(12):
                first = await hear(through, stay=True)
                before = len(server.requests)
                for _ in range(2):
                    await hear(through, stay=True, conversation_id=first.done.conversation_id)
                models = {request.model for request in server.requests[before - 1 :]}
                assert len(models) == 1
                lanes |= models
            assert lanes == {"a", "b"}  # else one of 2,048 runs is unlucky
            await through.ladder.aclose()

    asyncio.run(run())


def test_a_share_is_a_share_and_grows_by_addition() -> None:
    ids = [f"conversation-{n}" for n in range(20_000)]
    tenth = {id for id in ids if in_share("a", id, 0.1)}
    half = {id for id in ids if in_share("a", id, 0.5)}
    assert 0.09 < len(tenth) / len(ids) < 0.11
    assert tenth < half
    assert all(in_share("a", id, 1.0) for id in ids)
    other = {id for id in ids if in_share("b", id, 0.1)}
    assert len(tenth & other) / len(ids) < 0.02  # not always the same customers


def test_a_canary_that_fails_costs_no_reply(parts: Parts, registry: Registry, publish) -> None:
    for name in "ab":
        publish(name)
    registry.promote("a")
    registry.canary("b", 1.0)
    with counting("replies_total", lane="canary", outcome="failed") as failed:
        heard, models = asked(parts, {"a": says(GOOD)})
    record = check_told_once(parts, heard)
    assert models == ["b", "a"]
    assert (record.signals["lane"], record.signals["ladder"]) == ("live", ["canary: upstream"])
    assert failed == [1]
    heard, models = asked(parts, {"base": says(GOOD)})
    assert models == ["b", "a", "base"]
    signals = check_told_once(parts, heard).signals
    assert signals["ladder"] == ["canary: upstream", "live: upstream"]
    heard, models = asked(parts, {})
    assert heard.done.served_by == "composer"
    check_told_once(parts, heard)


def test_a_release_that_breaks_off_is_counted(parts: Parts, registry: Registry, publish) -> None:
    publish("a")
    registry.promote("a")
    with counting("replies_total", lane="live", outcome="broke_off") as broke_off:
        heard, models = asked(parts, {"a": says_then(GOOD, closes), "base": says(GOOD)})
    assert models == ["a"]
    assert heard.acted == ["ANSWER", "ESCALATE"]
    assert broke_off == [1]


def test_a_model_that_is_unknown_says_nothing_of_the_servers_health(
    parts: Parts, registry: Registry, publish
) -> None:
    publish("a")
    registry.promote("a")

    async def run() -> None:
        async with ModelServer({"base": says(GOOD), "": UNKNOWN}) as server:
            through = as_opened(parts, server.url)
            heard = await asyncio.gather(*[hear(through, stay=True) for _ in range(12)])
            assert {each.done.served_by for each in heard} == {"base"}
            assert [request.model for request in server.requests].count("a") == 12
            await through.ladder.aclose()

    asyncio.run(run())


def test_an_unknown_model_is_probe_enough_for_an_open_breaker(
    parts: Parts, registry: Registry, publish
) -> None:
    """As after a restart of a server that forgot what it had loaded."""
    publish("a")
    registry.promote("a")

    async def run() -> None:
        async with ModelServer({"base": says(GOOD), "": UNKNOWN}) as server:
            through = as_opened(parts, server.url)
            breaker = through.ladder.models[0].model.server.breaker
            breaker.cooldown = 0.0
            for _ in range(breaker.failures):
                breaker.record(ok=False)
            breaker.cooldown = 60.0
            assert (await hear(through)).done.served_by == "base"

    asyncio.run(run())


def test_a_lane_tells_what_was_mended_and_struck(parts: Parts, registry: Registry, publish) -> None:
    for name in "ab":
        publish(name)
    registry.promote("a")
    registry.canary("b", 1.0)
    loose = f"Action: answer\n{GOOD.partition(chr(10))[2]} We refund 900 euros to everybody. [1]"
    names = ("repairs_total", "struck_sentences_total", "first_token_seconds_count")
    before = [counted(name, lane="canary") for name in names]
    live = [counted(name, lane="live") for name in names]
    heard, _ = asked(parts, {"b": says(loose)})
    assert "900" not in heard.done.text
    verdicts = check_told_once(parts, heard).verdicts
    assert [verdict["ok"] for verdict in verdicts] == [True, True, False]
    after = [counted(name, lane="canary") for name in names]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 1]
    assert [counted(name, lane="live") for name in names] == live


def test_what_a_replaced_reply_said_counts_against_its_lane(
    parts: Parts, registry: Registry, publish
) -> None:
    """A canary that talks nonsense alone is never told, and all the same the worst."""
    for name in "ab":
        publish(name)
    registry.promote("a")
    registry.canary("b", 1.0)
    nonsense = "Action: answer\nWe refund 900 euros to everybody. [1] Bicycles cost 41 dollars. [1]"
    problem = ("twofold_behaviour_sentence_problems_total", {"problem": "number"})
    before = REGISTRY.get_sample_value(*problem) or 0.0
    with (
        counting("replies_total", lane="canary", outcome="replaced") as replaced,
        counting("struck_sentences_total", lane="canary") as struck,
        counting("repairs_total", lane="canary") as repairs,
    ):
        heard, _ = asked(parts, {"b": says(nonsense)})
        assert heard.done.served_by == "composer"
    assert [*replaced, *struck, *repairs] == [1, 2, 1]
    assert REGISTRY.get_sample_value(*problem) == before + 2


def test_a_lane_tells_whom_it_turned_away(parts: Parts, registry: Registry, publish) -> None:
    """A canary that declines everything invents nothing, and is worse all the same."""
    for name in "ab":
        publish(name)
    registry.promote("a")
    registry.canary("b", 1.0)
    with (
        counting("turned_away_total", lane="canary") as declined,
        counting("replies_total", lane="canary", outcome="served") as served,
    ):
        heard, _ = asked(parts, {"b": says("DECLINE\nI cannot help with that.")})
    assert heard.done.action == "DECLINE"
    assert [*declined, *served] == [1, 1]
    with counting("turned_away_total", lane="canary") as answered:
        asked(parts, {"b": says(GOOD)})
    assert answered == [0]


def test_a_running_service_follows_the_registry(
    parts: Parts, registry: Registry, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releases, "REFRESH_S", 0.05)
    for name in "ab":
        publish(name)

    async def run() -> None:
        async with ModelServer(says(GOOD)) as server:
            through = as_opened(parts, server.url)

            async def until(model: str) -> None:
                async with asyncio.timeout(30):
                    while True:
                        await hear(through, stay=True)
                        if server.requests[-1].model == model:
                            return

            await until("base")
            for change, model in (
                (lambda: registry.promote("a"), "a"),
                (lambda: registry.canary("b", 1.0), "b"),
                (lambda: registry.promote("b"), "b"),
                (lambda: registry.rollback(), "a"),
                (lambda: registry.retire("a"), "base"),
            ):
                await asyncio.to_thread(change)
                await until(model)
            await through.ladder.aclose()

    asyncio.run(run())


def test_a_release_for_another_house_is_not_asked(
    parts: Parts, registry: Registry, publish
) -> None:
    publish("a")
    registry.promote("a")
    said = parts.house.model_dump()
    changed = HousePolicy.model_validate(said | {"style": said["style"] | {"max_words": 77}})
    with capture_logs() as logs:
        read = Releases(parts.stack.ledger, changed, lambda name, lane: pytest.fail(name))
        assert asyncio.run(read.makers("c")) == ()
        assert asyncio.run(read.makers("c")) == ()
    (log,) = logs
    assert (log["release"], log["log_level"]) == ("a", "warning")
    assert f"house policy {parts.house.digest}" in log["why"]


def test_a_fixed_adapter_stands_in_place_of_the_registry(
    parts: Parts, registry: Registry, publish
) -> None:
    publish("a")
    registry.promote("a")
    heard, models = asked(parts, {"fixed": says(GOOD)}, model_adapter="fixed")
    assert models == ["fixed"]
    assert "lane" not in check_told_once(parts, heard).signals


# --- a ledger that does not answer ---------------------------------------------------------------


def known(ledger: Ledger, house: HousePolicy) -> Releases:
    return Releases(ledger, house, lambda name, lane: (name, lane))  # type: ignore[arg-type,return-value]


def test_what_was_known_holds_while_the_ledger_fails(
    parts: Parts, registry: Registry, publish
) -> None:
    publish("a")
    registry.promote("a")
    read = known(parts.stack.ledger, parts.house)
    with parts.stack.ledger.session() as session:
        session.execute(text("ALTER TABLE releases RENAME TO gone"))
    assert asyncio.run(read.makers("c")) == (("a", "live"),)
    with parts.stack.ledger.session() as session:
        session.execute(text("ALTER TABLE gone RENAME TO releases"))
    registry.retire("a")
    assert asyncio.run(read.makers("c")) == ()


def test_a_slow_ledger_holds_up_nobody(
    parts: Parts, registry: Registry, publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish("a")
    registry.promote("a")
    monkeypatch.setattr(releases, "WAIT_S", 0.01)
    answers, readers = threading.Event(), list[int]()
    answers.set()

    class Slow(Ledger):
        @contextmanager
        def session(self):  # type: ignore[no-untyped-def]
            readers.append(1)
            answers.wait()
            with super().session() as session:
                yield session

    slow = Slow(parts.stack.ledger.url)
    read = known(slow, parts.house)
    registry.retire("a")
    answers.clear()

    async def run() -> None:
        ticks = asyncio.create_task(_ticks())
        many = await asyncio.gather(*[read.makers("c") for _ in range(50)])
        assert {*many} == {(("a", "live"),)}
        assert len(readers) == 2  # one at the start, one for all of them
        assert ticks.cancel()
        answers.set()
        async with asyncio.timeout(30):
            while await read.makers("c"):  # noqa: ASYNC110  a ledger announces nothing
                await asyncio.sleep(0)

    asyncio.run(run())
    slow.close()


async def _ticks() -> None:
    """Fails a test whose event loop is blocked for long."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0)
        assert time.monotonic() - before < 5
