"""A whole diagnosis out of judged cases and their verdicts: fixes with gains, and what to do first.

Pure: an eval suite, live answers and somebody else's system are put together by the same rules.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from models.diagnosis.verdicts import (
    LAYERS,
    Advice,
    Arm,
    Cause,
    Comparison,
    DiagnosedCase,
    Diagnosis,
    Figure,
    Fix,
    Instrument,
    Layer,
    Recommendation,
    Remedy,
    Verdict,
)
from models.stats import detectable, estimate
from twofold.counted import counted

HEALTHY = 0.05
"""Of all cases: fewer failures of the system than that are no reason to build anything."""
PRESENT = 0.25
"""Of the failures that are explained: a layer with less has no part in the advice."""
FEW = 5
"""So few explained failures do not tell which layer it is: were all of one, the 95% interval of its
share would still reach below a half (.025 ** (1 / 5) = .48; of six .54)."""
COARSE = 0.2
"""A suite that shows no smaller difference than this cannot tell whether a change helped."""
NOT_TRIED = frozenset({"record", "sources_checked", None})
"""Verdicts whose mending was not tried: they gain nothing that is known."""

DO: Mapping[Remedy, str] = {
    "write_article": "Write the missing article",
    "ingest": "Get the page ingested",
    "release": "Show the page to those who ask, or correct its dates",
    "fix_page": "Mend the page that is out of date or contradicted",
    "mend_extraction": "Mend how the page is read or cut",
    "improve_retrieval": "Make the passage findable",
    "widen_context": "Give the reply maker more of what was found",
    "fix_prompt": "Use a full, explicit prompt before any training",
    "adjust_policy": "Adjust the house policy: patterns, examples, limits",
    "fine_tune": "Train the reply maker on such cases",
    "no_training": "Serve a model, word the page so that one sentence says it, or report it: no"
    " model is asked for these replies, so no training mends them",
    "fix_suite": "Mend the suite",
    "look": "Look at it: no single change is known to mend it",
}

ACTING: Mapping[Remedy, Advice] = {
    "fine_tune": "fine_tuning",
    "no_training": "no_training",
    "adjust_policy": "policy",
}
"""The advice where most of the behaviour has that remedy."""


def assemble(
    suite: str,
    cases: Sequence[DiagnosedCase],
    verdicts: Sequence[Verdict],
    *,
    at: float,
    arms: Sequence[Arm] = (),
    comparisons: Sequence[Comparison] = (),
    instruments: Sequence[Instrument] = (),
    facts: Mapping[str, float | int | str | None] | None = None,
    live: bool = False,
) -> Diagnosis:
    """Returns the diagnosis. `verdicts`: one of each case that failed. `at`: epoch seconds.
    `live`: as in Diagnosis."""
    passed = estimate([float(case.passed) for case in cases], [case.cluster for case in cases])
    least = detectable(passed.value, len({case.cluster for case in cases})) if cases else None
    return Diagnosis(
        suite=suite,
        at=at,
        passed=Figure.of(passed),
        detectable=None if least is None else round(least, 4),
        cases=tuple(cases),
        verdicts=tuple(verdicts),
        fixes=tuple(_fixes(cases, verdicts)),
        recommendation=_recommend(cases, verdicts, arms, least, live),
        arms=tuple(arms),
        comparisons=tuple(comparisons),
        instruments=tuple(instruments),
        facts=dict(facts or {}),
        live=live,
    )


def _fixes(cases: Sequence[DiagnosedCase], verdicts: Sequence[Verdict]) -> list[Fix]:
    """Returns a fix for each remedy of each cause, the one that mends most first."""
    groups: dict[tuple[Remedy, Cause], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.remedy, verdict.cause), []).append(verdict)
    clusters = [case.cluster for case in cases]
    found = []
    for (remedy, cause), group in groups.items():
        mended = {v.case for v in group if v.flipped_by not in NOT_TRIED}
        gain = estimate([float(case.id in mended) for case in cases], clusters)
        found.append(
            Fix(
                remedy=remedy,
                cause=cause,
                layer=LAYERS[cause],
                text=_text(remedy, group, len(mended)),
                cases=tuple(v.case for v in group),
                flipped=len(mended),
                gain=Figure.of(gain),
            )
        )
    return sorted(found, key=lambda fix: (-fix.flipped, -len(fix.cases)))


def _text(remedy: Remedy, group: Sequence[Verdict], mended: int) -> str:
    named = [v.document for v in group if v.document and v.layer == "knowledge"]
    pages = list(dict.fromkeys(named))
    text = DO[remedy]
    if pages:
        more = f" and {len(pages) - 3} more" if len(pages) > 3 else ""
        text += f": {', '.join(pages[:3])}{more}"
    if not mended and remedy not in ("look", "fix_suite"):
        text += f". What it gains was not tried: {len(group)} at most"
    return text + "."


def _recommend(
    cases: Sequence[DiagnosedCase],
    verdicts: Sequence[Verdict],
    arms: Sequence[Arm],
    least: float | None,
    live: bool,
) -> Recommendation:
    counts = Counter(verdict.layer for verdict in verdicts)
    knowledge = counts["knowledge"] + counts["both"]
    behaviour = counts["behaviour"] + counts["both"]
    known = counts["knowledge"] + counts["behaviour"] + counts["both"]
    unsure = tuple(_unsure(counts, arms, least, behaviour, live))
    kind = ("answer that was looked into", "answers that were looked into") if live else ("case",)
    of = counted(len(cases), *kind)
    suite = "" if live else f" the suite itself {counts['suite']},"
    failed = (
        f"Of {of} {counted(len(verdicts), 'fails', 'fail')}: knowledge {counts['knowledge']},"
        f" behaviour {counts['behaviour']}, both {counts['both']},{suite} not explained"
        f" {counts['unknown']}."
    )
    if not cases:
        text = "No answer was looked into yet." if live else "There are no cases."
        return Recommendation(advice="cannot_tell", text=text, unsure=unsure)
    if not verdicts and live and len(cases) <= FEW:
        text = f"Nothing was found wrong with the {of}: too few to go by. It takes {FEW + 1}."
        return Recommendation(advice="cannot_tell", text=text, unsure=unsure)
    if not verdicts:
        text = f"Of {of} none fails: there is nothing here to mend."
        return Recommendation(advice="nothing", text=text, unsure=unsure)
    if 2 * counts["unknown"] > len(verdicts):
        text = f"{failed} Most are not explained, so nothing is recommended: look at them first."
        return Recommendation(advice="cannot_tell", text=text, unsure=unsure)
    if 2 * counts["suite"] > len(verdicts):
        text = f"{failed} Mend the suite before anything else; it is wrong more often than right."
        return Recommendation(advice="suite", text=text, unsure=unsure)
    if (known + counts["unknown"]) < HEALTHY * len(cases):
        text = f"{failed} That is too little to build for. Mend single cases where they matter."
        return Recommendation(advice="nothing", text=text, unsure=unsure)
    if known <= FEW:
        of_known = counted(known, "explained failure")
        text = f"{failed} Which layer to build for, {of_known} cannot tell: it takes {FEW + 1}."
        text += " Mend single cases meanwhile, where they matter."
        return Recommendation(advice="cannot_tell", text=text, unsure=unsure)
    see, act = knowledge >= PRESENT * known, behaviour >= PRESENT * known
    mend = _mend(verdicts)
    if see and act:
        text = f"{failed} First what it sees, then measure again: {_first(verdicts)}; {mend}."
        return Recommendation(advice="both", text=text, unsure=unsure)
    if see:
        text = f"{failed} It cannot see what it needs: {_first(verdicts)}. Training mends none."
        return Recommendation(advice="retrieval", text=text, unsure=unsure)
    advice = ACTING.get(_common(verdicts), "prompt")
    text = f"{failed} It sees what it needs and does not act on it: {mend}. Retrieval mends none."
    if composed := sum(v.flipped_by == "composer" for v in verdicts):
        text += f" The composer, which needs no training, gets {composed} of them right."
    return Recommendation(advice=advice, text=text, unsure=unsure)


def _unsure(
    counts: Counter[Layer],
    arms: Sequence[Arm],
    least: float | None,
    behaviour: int,
    live: bool,
) -> list[str]:
    found = []
    if counts["unknown"]:
        fail = counted(counts["unknown"], "case fails", "cases fail")
        found.append(f"Why {fail}: no change that was tried made a difference.")
    if least is not None and least > COARSE:
        few = "too few answers were looked into" if live else "the suite is too small"
        found.append(f"Whether a change helps by less than {least:.0%}: {few} to show it.")
    if behaviour and not any(arm.ran and arm.name in ("tuned", "both") for arm in arms):
        found.append("Whether a tuned model would do better: none was asked.")
    return found


def _common(verdicts: Sequence[Verdict]) -> Remedy:
    """Returns what mends most of the behaviour."""
    remedies = Counter(v.remedy for v in verdicts if v.layer == "behaviour")
    return remedies.most_common(1)[0][0] if remedies else "look"


def _mend(verdicts: Sequence[Verdict]) -> str:
    """Returns what mends behaviour, the commonest first."""
    remedies = Counter(v.remedy for v in verdicts if v.layer == "behaviour")
    said = [f"{_lower(DO[remedy])} ({n})" for remedy, n in remedies.most_common(2)]
    return ", ".join(said) or "look at what neither layer mends alone"


def _first(verdicts: Sequence[Verdict]) -> str:
    """Returns what mends knowledge, the commonest first."""
    remedies = Counter(v.remedy for v in verdicts if v.layer == "knowledge")
    said = [f"{_lower(DO[remedy])} ({n})" for remedy, n in remedies.most_common(2)]
    return ", ".join(said) or "mend the cases that need both"


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
