"""The page as Markdown, for a pull request: short, with the cases folded away."""

from collections.abc import Sequence

from models.diagnosis.gaps import Gap
from models.diagnosis.page.html import ADVICE
from models.diagnosis.page.questions import judge_of, questions, share, standing
from models.diagnosis.verdicts import MEANINGS, Diagnosis
from models.markdown import plain

MOST_CASES = 50


def render_markdown(diagnosis: Diagnosis, gaps: Sequence[Gap] = ()) -> str:
    advice = diagnosis.recommendation
    lines = [
        f"## {ADVICE[advice.advice]}",
        "",
        plain(advice.text, 1000),
        *(f"- cannot be told: {plain(each)}" for each in advice.unsure),
        "",
        plain(standing(diagnosis), 1000),
    ]
    if diagnosis.verdicts:
        lines += ["", "| layer | cause | cases | what it means |", "|---|---|---|---|"]
        for layer, found in diagnosis.by_layer().items():
            for cause, meaning in MEANINGS.items():
                if n := sum(v.cause == cause for v in found):
                    lines.append(f"| {layer} | {cause.replace('_', ' ')} | {n} | {meaning} |")
    if diagnosis.fixes:
        lines += ["", "### Smallest fixes", "", "| fix | cases | expected gain |", "|---|---|---|"]
        for fix in diagnosis.fixes:
            gain = share(fix.gain) if fix.flipped else "not tried"
            lines.append(f"| {plain(fix.text)} | {len(fix.cases)} | {gain} |")
    lines += ["", "### Before spending engineering time", ""]
    lines += [
        f"{n}. {q.question} **{q.word}.** {plain(q.text, 600)}"
        for n, q in enumerate(questions(diagnosis), start=1)
    ]
    if diagnosis.instruments:
        lines += ["", "<details><summary>How far the instruments can be trusted</summary>", ""]
        lines += [f"- {plain(judge_of(each))}" for each in diagnosis.instruments]
        lines += ["", "</details>"]
    if ran := [arm for arm in diagnosis.arms if arm.ran and arm.passed]:
        lines += ["", "| arm | passes |", "|---|---|"]
        lines += [f"| {plain(arm.name)} | {share(arm.passed)} |" for arm in ran if arm.passed]
    if gaps:
        lines += ["", "### Write these articles", "", "| asked | as | by |", "|---|---|---|"]
        lines += [
            f"| {g.questions} | {plain(g.title)} | {plain(', '.join(g.audiences))} |" for g in gaps
        ]
    failed = {case.id: case for case in diagnosis.cases if not case.passed}
    if diagnosis.verdicts:
        lines += ["", "<details><summary>The failed cases</summary>", ""]
        for verdict in diagnosis.verdicts[:MOST_CASES]:
            case = failed.get(verdict.case)
            asked = plain(case.question) if case else ""
            by = verdict.flipped_by or "nothing"
            lines.append(
                f"- {plain(verdict.case)} {asked}: {verdict.cause.replace('_', ' ')};"
                f" {plain(verdict.evidence)} (shown by {by.replace('_', ' ')})"
            )
        if len(diagnosis.verdicts) > MOST_CASES:
            lines.append(f"- and {len(diagnosis.verdicts) - MOST_CASES} more")
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"
