"""The whole diagnosis of a suite: asked, judged, every failure attributed, arms beside it."""

import json
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from models.asking import ask_each
from models.diagnosis.arms import (
    ArmRun,
    compare,
    measure,
    passes,
    run_arms,
)
from models.diagnosis.assemble import assemble
from models.diagnosis.attribute import attribute
from models.diagnosis.checks import check
from models.diagnosis.compared import Prices
from models.diagnosis.kept import KeptReplays
from models.diagnosis.replays import ReplayedCase
from models.diagnosis.verdicts import DiagnosedCase, Diagnosis, Figure, Instrument, Verdict
from models.evaluate.answers import is_gold
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.policy import HousePolicy
from twofold.terminal import StepCallback

TRUST = Path(__file__).with_name("trust.json")
LIVE = "live"
Clock = Callable[[], float]


async def diagnose(
    client: AnswerClient,
    cases: Sequence[Case],
    house: HousePolicy,
    suite: str,
    *,
    folder: Path | None = None,
    arms: Sequence[str] = (),
    prices: Prices | None = None,
    concurrency: int = 1,
    progress: StepCallback,
    clock: Clock = time.time,
) -> Diagnosis:
    """Asks every case, attribute every failure, and run the `arms` beside the service as it is.

    `folder` keeps what was asked; what was asked of the same knowledge, by the same models, is not
    asked again.
    """
    world = await client.world()
    client = client.remembering(KeptReplays(folder, world["digest"]))
    names = [LIVE, *(name for name in arms if name != LIVE)]
    runs = await run_arms(
        client, cases, names, makers=world["makers"], concurrency=concurrency, progress=progress
    )
    live = runs[0]
    failed = [r for r, ok in zip(live.replayed, passes(live, house), strict=True) if not ok]

    def why(replayed: ReplayedCase) -> Coroutine[Any, Any, Verdict | None]:
        return attribute(client, replayed, house)

    found = await ask_each(why, failed, concurrency, partial(progress, "Finding why"))
    verdicts = [verdict for verdict in found if verdict is not None]
    shown = runs if arms else runs[:1]
    return assemble(
        suite,
        [diagnosed(replayed, house) for replayed in live.replayed],
        verdicts,
        at=clock(),
        arms=[measure(ran, house, prices) for ran in shown],
        comparisons=compare(shown, house),
        instruments=instruments(),
        facts=_facts(runs, world, prices),
    )


def diagnosed(replayed: ReplayedCase, house: HousePolicy) -> DiagnosedCase:
    """Returns a case and what came of it, as the page shows it."""
    outcome, told, case = replayed.outcome, replayed.told, replayed.case
    problems = check(replayed, house)
    packed = set(told["packed"])
    facts = case.expect.spellings
    return DiagnosedCase(
        id=case.id,
        question=case.question,
        cluster=case.cluster,
        tags=case.tags,
        passed=not problems,
        problems=tuple(f"{p.kind.replace('_', ' ')}: {p.detail}" for p in problems),
        expected=case.expect.model_dump(mode="json", exclude_defaults=True),
        answer={
            "action": outcome.action,
            "team": outcome.team,
            "reason": outcome.reason,
            "text": outcome.text,
            "served_by": outcome.served_by,
            "why": outcome.why,
            "standalone": told["standalone"],
            "cited": [
                {"n": c["n"], "document": c["document"], "version": c["version"],
                 "quote": c["quote"]}
                for c in told["citations"]
            ],
            "retrieved": [
                {
                    "rank": rank,
                    "document": each["document"],
                    "score": round(each["score"], 4),
                    "packed": each["chunk"] in packed,
                    "gold": is_gold(each["document"], case),
                    "facts": [fact[0] for fact in facts if says(each["text"], fact)],
                }
                for rank, each in enumerate(told["candidates"], start=1)
            ],
            "prompt_tokens": sum(call["prompt_tokens"] for call in replayed.asked),
            "completion_tokens": sum(call["completion_tokens"] for call in replayed.asked),
            "seconds": round(outcome.seconds, 4),
        },
    )  # fmt: skip


def instruments() -> list[Instrument]:
    """Returns how far what judges here can be trusted, as it was measured; `trust.json` says
    where."""
    rows: list[dict[str, Any]] = json.loads(TRUST.read_text(encoding="utf-8"))
    return [
        Instrument(
            name=row["name"],
            metric=row["metric"],
            figure=Figure(value=row["value"], ci=tuple(row["ci"]), n=row["n"]),
            data=row["data"],
            note=row.get("note", ""),
        )
        for row in rows
    ]


def _facts(
    runs: Sequence[ArmRun], world: Mapping[str, Any], prices: Prices | None
) -> dict[str, float | int | str | None]:
    """Returns what the ten questions ask for, of this suite: of the service as it is, which ran
    first."""
    live = runs[0].replayed
    answers = [r for r in live if r.outcome.action == "ANSWER"]
    needing = sum(bool(r.case.expect.documents) for r in live)
    context = [sum(len(p.text) for p in r.packed) / CHARS_PER_TOKEN for r in answers]
    asked = [call["step"] for each in live for call in each.asked]
    return {
        "asked_first": asked[0] if asked else "composer",
        "cached_tokens": _cached([each for ran in runs for each in ran.replayed if each.packed]),
        "instruction_tokens_full": world["instruction_tokens_full"],
        "instruction_tokens_tuned": world["instruction_tokens_tuned"],
        "context_tokens": round(sum(context) / len(context)) if context else None,
        "answers_needing_documents": round(needing / len(live), 4) if live else None,
        "citations_required": 1,
        "price_in": prices.prompt if prices else None,
        "price_out": prices.completion if prices else None,
    }


def _cached(replayed: Sequence[ReplayedCase]) -> float | None:
    """Returns how many prompt tokens of the base a call that a server read from its prefix
    cache; None where no server says."""
    calls = [call for each in replayed for call in each.asked if call["step"] == "base"]
    said = [call["cached_tokens"] for call in calls if call["cached_tokens"] is not None]
    return round(sum(said) / len(said), 1) if said else None


CHARS_PER_TOKEN = 4
"""Of English, about."""
