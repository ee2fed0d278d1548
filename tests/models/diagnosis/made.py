"""A diagnosis made by hand, with something in every part of the page."""

from models.diagnosis.verdicts import (
    LAYERS,
    REMEDIES,
    Arm,
    Cause,
    Comparison,
    Counterfactual,
    DiagnosedCase,
    Diagnosis,
    Figure,
    Fix,
    Instrument,
    Recommendation,
    Replayed,
    Verdict,
)

FAILED: tuple[tuple[Cause, Counterfactual | None, str], ...] = (
    ("not_in_sources", "sources_checked", "Is there an app for the iPhone?"),
    ("not_in_sources", "sources_checked", "Can we pay in Swiss francs?"),
    ("stale", "other_version", "How long are logs kept on River?"),
    ("not_retrieved", "found", "Do you work with Okta?"),
    ("ignored_evidence", "gold_context", "How many seats come with Creek?"),
    ("padding", "full_profile", "Who can delete an endpoint?"),
    ("over_escalation", "record", "Where do I see my invoices?"),
    ("unknown", None, "Why is the third retry later than the second?"),
)


def figure(value: float | None, low: float | None = None, high: float | None = None) -> Figure:
    return Figure(value=value, ci=(low, high), n=40)


def verdict(n: int, cause: Cause, by: Counterfactual | None, evidence: str = "") -> Verdict:
    return Verdict(
        case=f"case-{n}",
        layer=LAYERS[cause],
        cause=cause,
        flipped_by=by,
        confidence=0.9 if by else 0.3,
        evidence=evidence or f"What shows that it is {cause.replace('_', ' ')}.",
        document="help/articles/plans-and-limits.md",
        remedy=REMEDIES[cause],
        tried=(
            (Replayed(counterfactual=by, passed=True, detail="answered with 90 days"),)
            if by
            else (Replayed(counterfactual="gold_context", passed=False),)
        ),
    )


def diagnosis(text: str = "", failed: tuple[tuple[Cause, Counterfactual | None, str], ...] = FAILED,
              facts: dict[str, float | int | str | None] | None = None) -> Diagnosis:  # fmt: skip
    """40 cases, those of `failed` among them; `text` stands wherever others wrote."""
    cases = tuple(
        DiagnosedCase(
            id=f"case-{n}",
            question=text or question,
            cluster=f"case-{n}",
            passed=False,
            problems=(text or "fact missing: '90 days'",),
            answer={
                "action": "ANSWER",
                "text": text or "Logs are kept for 30 days. [1]",
                "why": text or "the sources cover it (P=0.91)",
                "cited": [{"document": text or "help/articles/logs.md"}],
                "retrieved": [
                    {"rank": 1, "document": text or "help/articles/logs.md", "score": 0.81,
                     "packed": True, "gold": True},
                    {"rank": 2, "document": "help/articles/plans.md", "score": 0.64,
                     "packed": False, "gold": False},
                ],
            },
        )
        for n, (_, _, question) in enumerate(failed)
    )  # fmt: skip
    passed = tuple(
        DiagnosedCase(id=f"right-{n}", question="q", cluster="c", passed=True)
        for n in range(40 - len(failed))
    )
    return Diagnosis(
        suite=text or "examples/brackwater/eval",
        at=1793523600.0,
        passed=figure(1 - len(failed) / 40, 0.65, 0.92),
        detectable=0.12,
        cases=cases + passed,
        verdicts=tuple(verdict(n, cause, by, text) for n, (cause, by, _) in enumerate(failed)),
        fixes=tuple(
            Fix(
                remedy=REMEDIES[cause],
                cause=cause,
                layer=LAYERS[cause],
                text=text or f"Do what mends {cause.replace('_', ' ')}.",
                cases=(f"case-{n}",),
                flipped=1,
                gain=figure(0.025 * (len(failed) - n), 0.0, 0.08 * (len(failed) - n)),
            )
            for n, (cause, by, _) in enumerate(failed)
            if by is not None
        ),
        recommendation=Recommendation(
            advice="retrieval" if failed else "nothing",
            text=text or "Four of eight failures are knowledge: write two articles, mend one page.",
            unsure=(text or "Whether a smaller model would do: no tuned model was run.",),
        ),
        arms=(
            Arm(name="base", ran=False, why_not=text or "no model server is configured"),
            Arm(name="composer", ran=True, passed=figure(0.8, 0.65, 0.92), prompt_tokens=0,
                completion_tokens=0, seconds_p50=0.03, seconds_p95=0.11),
            Arm(name="rag", ran=True, passed=figure(0.85, 0.7, 0.95), prompt_tokens=2310,
                completion_tokens=86, seconds_p50=1.9, seconds_p95=4.2, cost=1.12),
        ),
        comparisons=(
            Comparison(a="rag", b="composer", difference=figure(0.05, -0.03, 0.13), only_a=4,
                       only_b=2, p=0.688),
        ),
        instruments=(
            Instrument(name="groundedness", metric="AUROC", figure=figure(0.83, 0.8, 0.86),
                       data="TRUE, dev", note=text),
            Instrument(name="judge model", metric="agreement", figure=None),
        ),
        facts=facts or {"instruction_tokens_full": 812, "instruction_tokens_tuned": 44},
    )  # fmt: skip
