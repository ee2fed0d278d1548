"""Arms: one suite answered in several ways, with and without retrieval, by each reply maker there
is, and with the gold pages given directly; and what tells them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any

from models.asking import ask_each
from models.diagnosis.checks import check, expected, read
from models.diagnosis.compared import ARMS, Prices
from models.diagnosis.kept import FAILED
from models.diagnosis.replays import ReplayedCase, replay_case
from models.diagnosis.verdicts import METRICS, Arm, Comparison, Figure
from models.evaluate.answers import is_gold
from models.stats import difference, estimate, mcnemar, percentile
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.errors import InvalidInput
from twofold.policy import HousePolicy
from twofold.terminal import StepCallback


@dataclass(frozen=True, slots=True)
class ArmRun:
    """An arm's answers, in the order of the cases; none where it was not run, and why."""

    name: str
    replayed: tuple[ReplayedCase, ...] = ()
    why_not: str = ""


async def run_arms(
    client: AnswerClient,
    cases: Sequence[Case],
    names: Sequence[str],
    *,
    makers: Sequence[str],
    concurrency: int,
    progress: StepCallback,
) -> list[ArmRun]:
    """Asks every case in every arm that there is a reply maker for. Raises InvalidInput for an
    arm that is none."""
    for name in names:
        if name not in ARMS:
            raise InvalidInput(f"There is no arm {name!r}. Take some of {', '.join(ARMS)}.")
    gold = _Gold(client)
    found = []
    for name in names:
        maker, world = ARMS[name]
        if maker and maker not in makers:
            found.append(ArmRun(name, why_not=f"no {maker} model is served"))
            continue
        whole = dict(world) | ({"maker": maker} if maker else {})
        asked = _ArmAsker(client, gold, whole)
        said = await ask_each(asked.ask, cases, concurrency, partial(progress, f"Arm {name}"))
        found.append(ArmRun(name, tuple(said)))
    return found


def measure(ran: ArmRun, house: HousePolicy, prices: Prices | None = None) -> Arm:
    """Returns what an arm does, with intervals clustered by document."""
    if not ran.replayed:
        return Arm(name=ran.name, ran=False, why_not=ran.why_not)
    values: dict[str, list[tuple[float, str]]] = {name: [] for name in METRICS}
    passing = passes(ran, house)
    for replayed, ok in zip(ran.replayed, passing, strict=True):
        for metric, value in {**_values(replayed, house), **_made(replayed, passed=ok)}.items():
            values[metric].append((value, replayed.case.cluster))
    metrics = {
        name: Figure.of(estimate([v for v, _ in found], [c for _, c in found]))
        for name, found in values.items()
        if found
    }
    cases = len(ran.replayed)
    calls = [call for replayed in ran.replayed for call in replayed.asked]
    prompt = sum(call["prompt_tokens"] for call in calls) / cases
    completion = sum(call["completion_tokens"] for call in calls) / cases
    seconds = [replayed.outcome.seconds for replayed in ran.replayed]
    clusters = [replayed.case.cluster for replayed in ran.replayed]
    passed = estimate([float(ok) for ok in passing], clusters)
    cost = None
    if prices is not None:
        cost = (prompt * prices.prompt + completion * prices.completion) / 1000
    return Arm(
        name=ran.name,
        ran=True,
        passed=Figure.of(passed),
        metrics=metrics,
        prompt_tokens=round(prompt, 1),
        completion_tokens=round(completion, 1),
        seconds_p50=round(percentile(seconds, 0.5), 4),
        seconds_p95=round(percentile(seconds, 0.95), 4),
        prefix_cached=prefix_cached(calls),
        cost=cost,
    )


def compare(runs: Sequence[ArmRun], house: HousePolicy) -> list[Comparison]:
    """Returns every two arms that ran, on the cases that both were asked: paired bootstrap and
    exact McNemar."""
    found = []
    passed = {
        ran.name: dict(zip([r.case.id for r in ran.replayed], passes(ran, house), strict=True))
        for ran in runs
    }
    for a, b in combinations([ran for ran in runs if ran.replayed], 2):
        both = [r.case for r in a.replayed if r.case.id in passed[b.name]]
        ones, twos = ([passed[ran.name][case.id] for case in both] for ran in (a, b))
        clusters = [case.cluster for case in both]
        only_a = sum(one and not two for one, two in zip(ones, twos, strict=True))
        only_b = sum(two and not one for one, two in zip(ones, twos, strict=True))
        gap = difference([float(x) for x in ones], [float(x) for x in twos], clusters)
        found.append(
            Comparison(
                a=a.name,
                b=b.name,
                difference=Figure.of(gap),
                only_a=only_a,
                only_b=only_b,
                p=mcnemar(only_a, only_b),
            )
        )
    return found


def prefix_cached(calls: Sequence[Mapping[str, Any]]) -> float | None:
    """Returns the share of prompt tokens that was read from the prefix cache, over the calls
    whose server says; None where none does."""
    said = [call for call in calls if call["cached_tokens"] is not None]
    read = sum(call["prompt_tokens"] for call in said)
    return round(sum(call["cached_tokens"] for call in said) / read, 4) if read else None


def passes(ran: ArmRun, house: HousePolicy) -> list[bool]:
    """Returns for each case whether it passes. An arm without sources is checked only on what
    the suite expects: it has none to cite."""
    if not ARMS[ran.name][1].get("sources", True):
        return [_says_it(replayed) for replayed in ran.replayed]
    return [not check(replayed, house) for replayed in ran.replayed]


def _says_it(replayed: ReplayedCase) -> bool:
    return all(problem.kind == "gold_uncited" for problem in expected(replayed))


def _values(replayed: ReplayedCase, house: HousePolicy) -> dict[str, float]:
    outcome, expect = replayed.outcome, replayed.case.expect
    found: dict[str, float] = {"action": float(outcome.action == expect.action)}
    escalated = outcome.action == "ESCALATE"
    if expect.action == "ESCALATE":
        found["under_escalated"] = float(not escalated)
    else:
        found["over_escalated"] = float(escalated)
    if expect.action == "ANSWER":
        found["refused"] = float(outcome.action == "DECLINE")
        if facts := expect.spellings:
            found["facts"] = 1 - len(outcome.missing_facts) / len(facts)
    if outcome.action != "ANSWER":
        return found
    if expect.forbidden:
        found["forbidden"] = float(any(says(outcome.judged, [each]) for each in expect.forbidden))
    kinds = {problem.kind for problem in check(replayed, house)}
    found["contract"] = float("format" not in kinds and not replayed.told["repairs"])
    found["style"] = float("style" not in kinds and "padding" not in kinds)
    if replayed.packed and "format" not in kinds:
        seen = read(replayed)
        if seen.claims:
            found["grounded"] = seen.supported / seen.claims
        if seen.supported:
            found["citation_recall"] = seen.marked / seen.supported
        if replayed.cited:
            documents = {each["n"]: each["document"] for each in replayed.told["citations"]}
            good = [n in seen.right or is_gold(documents[n], replayed.case) for n in replayed.cited]
            found["citation_precision"] = sum(good) / len(good)
    return found


def _made(replayed: ReplayedCase, *, passed: bool) -> dict[str, float]:
    """Returns who made the reply, where a model was asked for it."""
    if not replayed.asked:
        return {}
    outcomes = {call["outcome"] for call in replayed.asked}
    return {
        "replaced": float("replaced" in outcomes and not replayed.own),
        "own": float(passed and replayed.own),
        "failed": float(not FAILED.isdisjoint(outcomes)),
    }


class _Gold:
    """Looks up the full names of gold pages, each once."""

    def __init__(self, client: AnswerClient) -> None:
        self._client = client
        self._known: dict[str, list[str]] = {}

    async def of(self, case: Case) -> list[dict[str, str]]:
        for name in case.expect.documents:
            if name not in self._known:
                states = await self._client.states(name)
                self._known[name] = [each["document"] for each in states if each["versions"]]
        return [
            {"document": document}
            for name in case.expect.documents
            for document in self._known[name]
        ]


@dataclass(frozen=True, slots=True)
class _ArmAsker:
    """Asks cases the way one arm does."""

    client: AnswerClient
    gold: _Gold
    world: Mapping[str, Any]

    async def ask(self, case: Case) -> ReplayedCase:
        world = dict(self.world)
        if world.get("place"):
            world["pages"] = await self.gold.of(case)
        return await replay_case(self.client, case, **world)
