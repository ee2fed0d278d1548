"""One run of the gate: ask, judge, probe, compare, decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.data.rows import Dataset, Row
from models.gate.arms import ModelArm
from models.gate.judge import JudgedRow, escalation_f1, estimates, judge
from models.gate.probes import changed_facts, closed_book
from models.gate.rules import Compared, Shares, compare, refusals
from models.stats import Estimate, estimate, percentile
from twofold.errors import InvalidInput
from twofold.terminal import StepCallback

MOST_PROBES = 300
"""Questions of the closed-book probe: held-out ones first, then those that were trained on."""


@dataclass(frozen=True, slots=True)
class ArmFigures:
    """One arm on the held-out rows. Tokens are means a request; `first_s` is the median."""

    name: str
    profile: str
    rows: int
    metrics: dict[str, Estimate]
    escalation_f1: float
    prompt_tokens: Estimate
    instruction_tokens: int
    completion_tokens: Estimate
    first_s: float


@dataclass(frozen=True, slots=True)
class GateReport:
    """`reasons` is empty where the release passed."""

    release: str
    rows: int
    arms: list[ArmFigures]
    compared: list[Compared]
    shares: Shares
    reasons: list[str]

    def data(self) -> dict[str, Any]:
        """Returns JSON; the registry keeps it with the release."""
        return {
            "passed": not self.reasons,
            "reasons": self.reasons,
            "rows": self.rows,
            "arms": {
                arm.name: {
                    "profile": arm.profile,
                    "rows": arm.rows,
                    **{name: found.data() for name, found in arm.metrics.items()},
                    "escalation_f1": round(arm.escalation_f1, 4),
                    "prompt_tokens": arm.prompt_tokens.data(),
                    "instruction_tokens": arm.instruction_tokens,
                    "completion_tokens": arm.completion_tokens.data(),
                    "first_token_p50_s": round(arm.first_s, 4),
                }
                for arm in self.arms
            },
            "compared": [
                {
                    "metric": c.metric,
                    "against": c.other,
                    **c.by.data(),
                    "lost": c.lost,
                    "noticed": None if c.noticed is None else round(c.noticed, 4),
                }
                for c in self.compared
            ],
            "closed_book": {
                "probes": self.shares.closed_book.share.n,
                "leaks": len(self.shares.closed_book.wrong),
            },
            "changed_facts": {
                "alone": self.shares.changed_alone.share.data(),
                "packed": self.shares.changed_packed.share.data(),
            },
        }


async def run_gate(
    candidate: ModelArm, others: Sequence[ModelArm], dataset: Dataset, progress: StepCallback
) -> GateReport:
    """Judges `candidate` beside `others`. Raises InvalidInput without held-out rows, and
    UpstreamError where a server fails: a gate that could not ask has decided nothing."""
    rows = list(dataset.rows["heldout"])
    if not rows:
        raise InvalidInput(
            f"{dataset.folder} has no held-out rows. Build them: twofold dataset build --heldout"
            f" --out {dataset.folder}"
        )
    judged = {}
    figures = []
    for arm in (candidate, *others):
        asked = arm.among(rows)
        said = await arm.ask(asked, progress)
        judged[arm.name] = [judge(r, s, arm.house) for r, s in zip(asked, said, strict=True)]
        figures.append(_figures(arm, judged[arm.name], await arm.instruction_tokens()))
    mine = judged[candidate.name]
    compared = [each for arm in others for each in compare(mine, judged[arm.name], arm.name)]
    shares = Shares(
        closed_book=await closed_book(candidate, _probed(dataset), progress),
        changed_alone=await changed_facts(candidate, rows, progress, alone=True),
        changed_packed=await changed_facts(candidate, rows, progress, alone=False),
    )
    reasons = list(refusals(figures[0].metrics, shares, compared))
    return GateReport(candidate.name, len(rows), figures, compared, shares, reasons)


def _probed(dataset: Dataset) -> list[Row]:
    """Returns questions whose facts an adapter could have taken in: those trained on among them."""
    rows = [row for name in ("heldout", "train") for row in dataset.rows[name] if not row.made]
    return [r for r in rows if r.expected.action == "ANSWER" and r.facts][:MOST_PROBES]


def _figures(arm: ModelArm, judged: Sequence[JudgedRow], instruction_tokens: int) -> ArmFigures:
    return ArmFigures(
        name=arm.name,
        profile=arm.profile,
        rows=len(judged),
        metrics=estimates(judged),
        escalation_f1=escalation_f1(judged),
        prompt_tokens=_mean(judged, [float(j.said.prompt_tokens) for j in judged]),
        instruction_tokens=instruction_tokens,
        completion_tokens=_mean(judged, [float(j.said.completion_tokens) for j in judged]),
        first_s=percentile([j.said.first_s for j in judged], 0.5),
    )


def _mean(judged: Sequence[JudgedRow], values: Sequence[float]) -> Estimate:
    return estimate(values, [j.row.parent for j in judged])
