"""Which layer helps the example company: its suite under the arms, by real vLLM on this machine.

    python -m benchmarks.arms --html page.html

Asks the half of the suite that the adapter was not trained on: of the composer, of SmolLM2-135M and
of the shipped adapter, without sources, with retrieval, and with the gold pages given. Then every
failure of the service with the adapter is attributed. All arms have the two short passages that the
adapter was trained with, except `composer, shipped`, which has the service's own context. What was
asked is kept under the home's cache: a run that was broken off goes on.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.table import Table

from benchmarks import smollm2
from benchmarks.harness import publish
from models.cli.diagnose import KEPT
from models.diagnosis.arms import ArmRun, compare, measure, run_arms
from models.diagnosis.diagnose import LIVE, diagnose
from models.diagnosis.kept import KeptReplays
from models.diagnosis.page import render_html
from models.diagnosis.verdicts import METRICS, Diagnosis, Figure
from models.evaluate import show
from models.suite.client import AnswerClient
from models.suite.suite import Case, load_suite
from services.standalone.evals import Local
from twofold.house_file import load_house
from twofold.settings import Settings
from twofold.terminal import StepCallback

EXAMPLE = Path(__file__).parent.parent / "examples/brackwater"
SHIPPED = "composer, shipped"
ARMS = (
    "composer", "base", "rag", "tuned", "both", "oracle_composer", "oracle_base", "oracle_tuned",
)  # fmt: skip
SLOW = ("base", "oracle_base")
"""A base that was not trained seldom ends a reply by itself: these take longest."""
HOURLY = 0.10
"""Dollars that a machine of two cores costs an hour: an example, as in docs/economics.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    smollm2.arguments(parser, "base", "tuned")
    parser.add_argument("--html", type=Path, help="write the page of the diagnosis here")
    parser.add_argument("--json", type=Path, help="write the whole diagnosis here")
    parser.add_argument("--every", type=int, default=1, help="of the cases only each so-manieth")
    parser.add_argument("--slow-every", type=int, default=1, help=f"of these, for {SLOW}")
    parser.add_argument("--at-once", type=int, default=4, help="questions under way")
    args = parser.parse_args()
    settings = Settings()
    cases = load_suite(EXAMPLE / "eval", "report")[:: args.every]
    with smollm2.served(settings.home, base=args.base, tuned=args.tuned) as models, show.bar() as p:
        plan = _Plan(cases, args.slow_every, args.at_once, p)
        result, found = asyncio.run(_run(settings, models, plan))
    if args.html:
        args.html.write_text(render_html(found), encoding="utf-8")
    if args.json:
        args.json.write_text(found.model_dump_json(indent=1), encoding="utf-8")
    publish("arms", result, _arms(result), _flips(result))


class _Plan(NamedTuple):
    """Which cases are asked, how many at once, and who hears how far it is."""

    cases: Sequence[Case]
    slow_every: int
    at_once: int
    bar: StepCallback

    def of(self, arm: str) -> Sequence[Case]:
        return self.cases[:: self.slow_every] if arm in SLOW else self.cases


async def _run(
    settings: Settings, models: dict[str, Any], plan: _Plan
) -> tuple[dict[str, Any], Diagnosis]:
    house, cases, at_once = load_house(EXAMPLE / "house.yaml"), plan.cases, plan.at_once
    shipped = await _asked(settings, {}, plan, ["composer"])
    whole = dict(models) | smollm2.SHORT
    runs = await _asked(settings, whole, plan, ARMS)
    compared = compare(runs, house)
    begun = time.monotonic()
    async with _service(settings, whole) as http:
        found = await diagnose(
            AnswerClient(http), cases, house, "examples/brackwater/eval",
            folder=settings.home / KEPT, arms=[name for name in ARMS if name not in SLOW],
            concurrency=at_once, progress=plan.bar,
        )  # fmt: skip
    slow = tuple(measure(ran, house) for ran in runs if ran.name in SLOW)
    found = found.model_copy(update={"arms": (*found.arms, *slow), "comparisons": tuple(compared)})
    told = {
        "cases": len(cases),
        "actions": dict(Counter(case.expect.action for case in cases)),
        "at_once": at_once,
        "arms": {
            name: _arm(ran, house, at_once)
            for name, ran in [(SHIPPED, shipped[0]), *zip(ARMS, runs, strict=True)]
        },
        "live": _arm_of(found),
        "comparisons": [each.model_dump(mode="json") for each in compared],
        "diagnosis": _told(found) | {"minutes": round((time.monotonic() - begun) / 60, 1)},
    }
    return told, found


def _service(settings: Settings, more: dict[str, Any]) -> Any:
    local = Local(settings.model_copy(update=more))
    return local.help_center("arms", EXAMPLE / "help-center", EXAMPLE / "house.yaml", _silent)


async def _asked(
    settings: Settings, more: dict[str, Any], plan: _Plan, names: Sequence[str]
) -> list[ArmRun]:
    http: httpx.AsyncClient
    found: list[ArmRun] = []
    async with _service(settings, more) as http:
        client = AnswerClient(http)
        world = await client.world()
        client = client.remembering(KeptReplays(settings.home / KEPT, world["digest"]))
        for name in names:
            found += await run_arms(
                client, plan.of(name), [name], makers=world["makers"], concurrency=plan.at_once,
                progress=plan.bar,
            )  # fmt: skip
    return found


def _arm(ran: ArmRun, house: Any, at_once: int) -> dict[str, Any]:
    """As measured; `minutes` are those that so many at once take, by the seconds of each case."""
    arm = measure(ran, house).model_dump(mode="json", exclude={"name", "why_not", "cost", "ran"})
    minutes = sum(each.outcome.seconds for each in ran.replayed) / at_once / 60
    dollars = minutes / 60 * HOURLY / len(ran.replayed) * 1000
    took = {"minutes": round(minutes, 2), "dollars_a_thousand": round(dollars, 3)}
    return arm | took | {"cases": len(ran.replayed)}


def _arm_of(found: Diagnosis) -> dict[str, Any]:
    live = next(arm for arm in found.arms if arm.name == LIVE)
    return live.model_dump(mode="json", exclude={"name", "why_not", "cost", "ran"})


def _told(found: Diagnosis) -> dict[str, Any]:
    tried = [each for verdict in found.verdicts for each in verdict.tried]
    return {
        "failed": len(found.verdicts),
        "layers": dict(Counter(verdict.layer for verdict in found.verdicts)),
        "causes": dict(Counter(verdict.cause for verdict in found.verdicts)),
        "flipped_by": dict(Counter(verdict.flipped_by or "nothing" for verdict in found.verdicts)),
        "tried": dict(Counter(each.counterfactual for each in tried)),
        "advice": found.recommendation.model_dump(mode="json"),
    }


def _arms(result: dict[str, Any]) -> Table:
    arms = result["arms"] | {"live": result["live"]}
    table = Table("", *arms, title=f"{result['cases']} cases")
    table.add_row("passes", *(_shown(arm["passed"]) for arm in arms.values()))
    for metric, label in METRICS.items():
        table.add_row(label, *(_shown(arm["metrics"].get(metric)) for arm in arms.values()))
    for name in (
        "prompt_tokens", "completion_tokens", "prefix_cached", "seconds_p50", "seconds_p95",
        "minutes", "dollars_a_thousand",
    ):  # fmt: skip
        table.add_row(name.replace("_", " "), *(f"{arm.get(name) or 0:g}" for arm in arms.values()))
    return table


def _flips(result: dict[str, Any]) -> Table:
    told = result["diagnosis"]
    table = Table("counterfactual", "tried", "made pass", title=f"{told['failed']} failures")
    for name in {**told["tried"], **told["flipped_by"]}:
        table.add_row(name, str(told["tried"].get(name, "")), str(told["flipped_by"].get(name, "")))
    return table


def _shown(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return ""
    found = Figure.model_validate(figure)
    return "" if found.value is None else f"{found.value:.3f}\n{found.ci[0]}-{found.ci[1]}"


def _silent(*_: Any) -> None:
    pass


if __name__ == "__main__":
    main()
