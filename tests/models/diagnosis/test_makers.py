"""Reply makers as counterfactuals and arms: a reply that was told in a model's place is not its
own, and what a model failed at is not kept."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.diagnosis.arms import ArmRun, compare, measure, run_arms
from models.diagnosis.attribute import attribute
from models.diagnosis.kept import KeptReplays
from models.diagnosis.replays import replay_case
from models.diagnosis.verdicts import Arm, Verdict
from models.suite.client import AnswerClient
from models.suite.suite import Case, Expected
from tests.models.diagnosis.benches import EXAMPLE
from twofold.house_file import load_house

HOUSE = load_house(EXAMPLE / "house.yaml")
CASE = Case(
    id="stolen",
    question="Somebody else logged into our account!",
    expect=Expected(action="ESCALATE", team="security", reason="security"),
)
RIGHT = {"action": "ESCALATE", "escalation": {"team": "security", "reason": "security"}}
WRONG = {"action": "DECLINE", "escalation": None}


def told(said: Mapping[str, Any], by: str, step: str = "", outcome: str = "served") -> Any:
    """A reply by `by`, where the model `step` was asked."""
    call = {"step": step, "outcome": outcome, "prompt_tokens": 1000, "completion_tokens": 8,
            "cached_tokens": 900}  # fmt: skip
    return {
        **said, "text": "", "citations": [], "served_by": by, "standalone": "", "as_of": 0,
        "leans": False, "why": "", "signals": {}, "answerable": 0.1, "candidates": [],
        "overruled": [], "packed": [], "verdicts": [], "draft": "", "repairs": [],
        "calls": [call] if step else [], "seconds": 0.5,
    }  # fmt: skip


class Service:
    """Answers replays from a table, by reply maker; a full prompt of the live one is `full`."""

    def __init__(self, replies: Mapping[str, Any]) -> None:
        self.replies = replies
        self.asked: list[str] = []

    def client(self) -> AnswerClient:
        transport = httpx.MockTransport(self._handle)
        return AnswerClient(httpx.AsyncClient(transport=transport, base_url="http://x"))

    def _handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        name = "full" if body.get("full_prompt") else body.get("maker", "live")
        self.asked.append(name)
        return httpx.Response(200, json=self.replies[name])


def attributed(**replies: Any) -> Verdict:
    client = Service(replies).client()

    async def run() -> Verdict | None:
        return await attribute(client, await replay_case(client, CASE), HOUSE)

    found = asyncio.run(run())
    assert found is not None
    return found


def test_a_model_makes_a_case_pass_by_its_own_reply_alone() -> None:
    live, stays = told(WRONG, "tuned", "tuned"), told(WRONG, "base", "base")
    found = attributed(
        live=live, full=told(WRONG, "base", "base"), base=told(RIGHT, "base", "base")
    )
    assert (found.cause, found.flipped_by) == ("under_escalation", "base_model")
    # The composer's reply, told in the base's place, is the composer's.
    replaced = told(RIGHT, "composer", "base", "replaced")
    found = attributed(live=live, full=stays, base=replaced, composer=told(RIGHT, "composer"))
    assert found.flipped_by == "composer"
    assert [(t.counterfactual, t.passed) for t in found.tried] == [
        ("full_profile", False), ("base_model", False), ("composer", True)
    ]  # fmt: skip
    found = attributed(live=live, full=told(RIGHT, "base", "base"))
    assert (found.flipped_by, found.remedy) == ("full_profile", "fix_prompt")


def test_a_tuned_model_whose_reply_was_replaced_was_asked_all_the_same() -> None:
    found = attributed(
        live=told(WRONG, "composer", "tuned", "replaced"),
        full=told(WRONG, "base", "base"),
        base=told(RIGHT, "base", "base"),
    )
    assert found.flipped_by == "base_model"


@pytest.mark.parametrize("outcome", ["failed", "broke_off"])
def test_what_a_model_failed_at_is_asked_again(tmp_path: Path, outcome: str) -> None:
    service = Service({"live": told(WRONG, "composer", "tuned", outcome)})

    async def ask() -> Arm:
        client = service.client().remembering(KeptReplays(tmp_path, "world"))
        runs = await run_arms(
            client, [CASE], ["live"], makers=("composer",), concurrency=1,
            progress=lambda *_: None,
        )  # fmt: skip
        return measure(runs[0], HOUSE)

    arm = asyncio.run(ask())
    assert arm.metrics["failed"].value == 1.0
    service.replies = {"live": told(RIGHT, "tuned", "tuned")}
    arm = asyncio.run(ask())
    assert (arm.metrics["failed"].value, arm.metrics["own"].value) == (0.0, 1.0)
    assert (arm.prompt_tokens, arm.prefix_cached) == (1000, 0.9)
    asyncio.run(ask())
    assert len(service.asked) == 2  # the third run had it from the second


def test_an_arm_says_how_much_of_it_is_the_models_own() -> None:
    service = Service({"base": told(RIGHT, "composer", "base", "replaced")})

    async def ask() -> Arm:
        runs = await run_arms(
            service.client(), [CASE], ["rag"], makers=("composer", "base"), concurrency=1,
            progress=lambda *_: None,
        )  # fmt: skip
        return measure(runs[0], HOUSE)

    arm = asyncio.run(ask())
    assert arm.passed is not None
    shares = {name: arm.metrics[name].value for name in ("replaced", "own", "failed")}
    assert (arm.passed.value, shares) == (1.0, {"replaced": 1.0, "own": 0.0, "failed": 0.0})


def test_two_arms_are_compared_on_the_cases_that_both_were_asked() -> None:
    service = Service({"composer": told(RIGHT, "composer"), "base": told(WRONG, "base", "base")})
    other = CASE.model_copy(update={"id": "another"})

    async def ask(name: str, cases: list[Case]) -> ArmRun:
        runs = await run_arms(
            service.client(), cases, [name], makers=("composer", "base"), concurrency=1,
            progress=lambda *_: None,
        )  # fmt: skip
        return runs[0]

    whole, half = asyncio.run(ask("composer", [other, CASE])), asyncio.run(ask("rag", [CASE]))
    (found,) = compare([whole, half], HOUSE)
    assert (found.only_a, found.only_b, found.difference.n) == (1, 0, 1)
