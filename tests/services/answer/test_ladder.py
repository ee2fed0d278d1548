"""Which step makes the reply, and that every step down can be seen."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.answer.access.bulkhead import Bulkhead
from services.answer.generate import ladder as ladders
from services.answer.generate.ladder import Ladder, open_ladder
from services.answer.pipeline import Parts
from tests.model_server import GOOD, ModelServer, refuses, says
from tests.services.answer.asking import QUESTION, check_told_once, hear, knowing, with_model
from twofold.errors import Overloaded, SetupError
from twofold.reply import OURS
from twofold.settings import Settings


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with knowing(tmp_path_factory.mktemp("ladder")) as parts:
        yield parts


def served(step: str) -> float:
    """Replies by this step of the ladder, whatever release made them."""
    return sum(
        sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "twofold_behaviour_served_total" and sample.labels["served_by"] == step
    )


def test_the_adapter_is_asked_first_with_the_tuned_prompt(parts: Parts) -> None:
    async def run() -> None:
        async with ModelServer(says(GOOD)) as server:
            before = served("tuned")
            heard = await hear(with_model(parts, server.url, "tuned", "base"))
            record = check_told_once(parts, heard)
            assert (heard.done.served_by, record.profile) == ("tuned", "tuned")
            assert [r.model for r in server.requests] == ["tuned"]
            assert "ladder" not in record.signals
            assert served("tuned") == before + 1

    asyncio.run(run())


def test_the_base_model_gets_the_full_prompt(parts: Parts) -> None:
    async def run() -> None:
        async with ModelServer({"tuned": refuses("404 No"), "": says(GOOD)}) as server:
            heard = await hear(with_model(parts, server.url, "tuned", "base"))
            record = check_told_once(parts, heard)
            assert (record.profile, record.signals["ladder"]) == ("full", ["tuned: upstream"])
            assert (record.prompt_tokens, record.completion_tokens) == (321, 42)
            assert record.signals["model"] == "base"

    asyncio.run(run())


@pytest.mark.heavy
def test_without_any_reply_maker_a_person_takes_over(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("the composer is broken")

    monkeypatch.setattr(ladders, "compose", fails)

    async def run() -> None:
        async with ModelServer(refuses("500 Oops")) as server:
            heard = await hear(with_model(parts, server.url))
            record = check_told_once(parts, heard)
            assert (heard.done.served_by, heard.done.action) == ("escalation", "ESCALATE")
            assert record.signals["ladder"] == ["base: upstream", "composer: RuntimeError"]

    asyncio.run(run())


def test_settings_name_the_steps(parts: Parts) -> None:
    def steps(**settings: Any) -> list[tuple[str, str, str]]:
        named = Settings(_env_file=None, **settings)  # type: ignore[call-arg]
        ladder = open_ladder(replace(parts.stack, settings=named), parts.house, parts.decider)
        return [(m.step, m.model.model, m.model.server.base_url) for m in ladder.models]

    assert steps() == []
    assert steps(model_url="http://v/v1/", model_name="b") == [("base", "b", "http://v")]
    both = steps(model_url="http://v", model_name="b", model_adapter="a")
    assert both == [("tuned", "a", "http://v"), ("base", "b", "http://v")]
    apart = steps(
        model_url="http://v", model_name="b", model_adapter="a", model_adapter_url="http://w/v1"
    )
    assert apart == [("tuned", "a", "http://w"), ("base", "b", "http://v")]
    with pytest.raises(SetupError, match="TWOFOLD_MODEL_NAME"):
        steps(model_url="http://v")


def test_models_of_one_server_share_its_breaker(parts: Parts) -> None:
    settings = Settings(model_url="http://v", model_name="b", model_adapter="a")
    stack = replace(parts.stack, settings=settings)
    tuned, base = open_ladder(stack, parts.house, parts.decider).models
    assert tuned.model.server is base.model.server


def test_an_embedded_ladder_starts_at_the_composer(parts: Parts) -> None:
    heard = asyncio.run(hear(replace(parts, ladder=Ladder(parts.house, parts.decider))))
    assert (heard.done.served_by, heard.done.action) == ("composer", "ANSWER")


TWICE = "You charged me twice."
LAWYER = "Our lawyer will sue you."


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (f"{TWICE} {QUESTION}", True),
        (TWICE, False),
        (f"{LAWYER} {QUESTION}", False),
        (f"I want to speak to a human. {QUESTION}", False),
    ],
)
def test_who_waits_for_a_person_reads_what_the_help_center_says_where_that_is_fitting(
    parts: Parts, message: str, told: bool
) -> None:
    heard = asyncio.run(hear(parts, message))
    record = check_told_once(parts, heard)
    done = heard.done
    assert done.action == "ESCALATE"
    assert done.text.startswith("This needs a person.")
    assert ("12 hours" in done.text) == told
    assert [each.document for each in done.citations] == ["help/secrets.md"] * told
    assert ("This needs a person." in " ".join(record.signals.get(OURS, ()))) == told


def test_a_hand_over_stands_whatever_becomes_of_what_is_told_below_it(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no piece could be weighed")

    monkeypatch.setattr(ladders, "compose", fails)
    done = asyncio.run(hear(parts, f"{TWICE} {QUESTION}")).done
    assert done.escalation is not None
    assert done.escalation.reason == "billing_dispute"
    assert done.text.startswith("This needs a person.")
    assert not done.citations


# --- crowds --------------------------------------------------------------------------------------


def test_a_crowd_lets_in_in_order_and_loses_no_place() -> None:
    async def run() -> None:
        crowd = Bulkhead(2, 3, "busy")
        let_in: list[int] = []
        release = asyncio.Event()

        async def one(number: int) -> None:
            async with crowd.place(time.monotonic() + 5):
                let_in.append(number)
                await release.wait()

        tasks = [asyncio.create_task(one(n)) for n in range(5)]
        while crowd.waiting < 3:  # noqa: ASYNC110  a crowd announces nothing
            await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await one(9)
        tasks[2].cancel()
        tasks[0].cancel()
        while len(let_in) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert let_in == [0, 1, 3]
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (crowd.inside, crowd.waiting) == (0, 0)

    asyncio.run(run())


def test_who_waits_too_long_is_told_so() -> None:
    async def run() -> None:
        crowd = Bulkhead(1, 1, "busy")
        async with crowd.place(time.monotonic() + 5):
            with pytest.raises(Overloaded):
                async with crowd.place(time.monotonic() + 0.01):
                    pass
        assert (crowd.inside, crowd.waiting) == (0, 0)

    asyncio.run(run())
