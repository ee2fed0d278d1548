"""The whole diagnosis of a suite: asked, judged, every failure attributed, arms beside it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.diagnosis.arms import Prices, Progress, compare, measure, passes, run_arms
from models.diagnosis.assemble import assemble
from models.diagnosis.attribute import attribute
from models.diagnosis.checks import check
from models.diagnosis.kept import Kept
from models.diagnosis.replays import Retold
from models.diagnosis.verdicts import DiagnosedCase, Diagnosis, Figure, Instrument
from models.evaluate.answers import is_gold
from models.suite.client import AnswerClient
from models.suite.facts import says
from models.suite.suite import Case
from twofold.policy import HousePolicy

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
    progress: Progress,
    clock: Clock = time.time,
) -> Diagnosis:
    """Ask every case, attribute every failure, and run the `arms` beside the service as it is.

    `folder` keeps what was asked; what was asked of the same knowledge, by the same models, is not
    asked again.
    """
    world = await client.world()
    kept = Kept(folder, world["digest"])
    names = [LIVE, *(name for name in arms if name != LIVE)]
    runs = await run_arms(
        client, cases, names, kept=kept, makers=world["makers"], concurrency=concurrency,
        progress=progress,
    )  # fmt: skip
    live = runs[0]
    failed = [r for r, ok in zip(live.retold, passes(live, house), strict=True) if not ok]
    verdicts = []
    for done, retold in enumerate(failed, start=1):
        verdict = await attribute(client, retold, house)
        if verdict is not None:
            verdicts.append(verdict)
        progress("Finding why", done, len(failed))
    shown = runs if arms else runs[:1]
    return assemble(
        suite,
        [diagnosed(retold, house) for retold in live.retold],
        verdicts,
        at=clock(),
        arms=[measure(ran, house, prices) for ran in shown],
        comparisons=compare(shown, house),
        instruments=instruments(),
        facts=_facts(live.retold, world, prices),
    )


def diagnosed(retold: Retold, house: HousePolicy) -> DiagnosedCase:
    """A case and what came of it, as the page shows it."""
    outcome, told, case = retold.outcome, retold.told, retold.case
    problems = check(retold, house)
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
            "prompt_tokens": told["prompt_tokens"],
            "completion_tokens": told["completion_tokens"],
            "seconds": round(outcome.seconds, 4),
        },
    )  # fmt: skip


def instruments() -> list[Instrument]:
    """How far what judges here can be trusted, as it was measured; `trust.json` says where."""
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
    retold: Sequence[Retold], world: Mapping[str, Any], prices: Prices | None
) -> dict[str, float | int | str | None]:
    """What the ten questions ask for, of this suite."""
    answers = [r for r in retold if r.outcome.action == "ANSWER"]
    needing = sum(bool(r.case.expect.documents) for r in retold)
    context = [sum(len(p.text) for p in r.packed) / CHARS_PER_TOKEN for r in answers]
    return {
        "instruction_tokens_full": world["instruction_tokens_full"],
        "instruction_tokens_tuned": world["instruction_tokens_tuned"],
        "context_tokens": round(sum(context) / len(context)) if context else None,
        "answers_needing_documents": round(needing / len(retold), 4) if retold else None,
        "citations_required": 1,
        "price_in": prices.prompt if prices else None,
        "price_out": prices.completion if prices else None,
    }


CHARS_PER_TOKEN = 4
"""Of English, about."""
