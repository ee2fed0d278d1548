"""The page at a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.diagnosis.gaps import Gap
from models.diagnosis.page.html import ADVICE
from models.diagnosis.page.questions import questions, share, standing
from models.diagnosis.verdicts import MEANINGS, Diagnosis

MOST = 120
"""Characters of a question."""
COLOURS = {
    "knowledge": "blue",
    "behaviour": "yellow",
    "both": "magenta",
    "suite": "green",
    "unknown": "dim",
}


def render_terminal(console: Console, diagnosis: Diagnosis, gaps: Sequence[Gap] = ()) -> None:
    advice = diagnosis.recommendation
    console.print(f"[bold]{ADVICE[advice.advice]}.[/bold] {escape(advice.text)}")
    for each in advice.unsure:
        console.print(f"  cannot be told: {escape(each)}")
    console.print(escape(standing(diagnosis)), highlight=False)
    if diagnosis.verdicts:
        table = _table("Failures", "layer", "cause", "cases", "what it means")
        for layer, found in diagnosis.by_layer().items():
            for cause, meaning in MEANINGS.items():
                if n := sum(v.cause == cause for v in found):
                    colour = COLOURS[layer]
                    table.add_row(
                        f"[{colour}]{layer}[/{colour}]", cause.replace("_", " "), str(n), meaning
                    )
        console.print(table)
    if diagnosis.fixes:
        table = _table("Smallest fixes", "fix", "cases", "made to pass", "expected gain")
        for fix in diagnosis.fixes:
            gain = escape(share(fix.gain)) if fix.flipped else "[dim]not tried[/dim]"
            table.add_row(escape(fix.text), str(len(fix.cases)), str(fix.flipped), gain)
        console.print(table)
    if diagnosis.arms:
        table = _table("Ways of answering", "arm", "passes", "p50", "tokens")
        for arm in diagnosis.arms:
            if not arm.ran or arm.passed is None:
                table.add_row(escape(arm.name), f"[dim]not run: {escape(arm.why_not)}[/dim]")
                continue
            seconds = "" if arm.seconds_p50 is None else f"{arm.seconds_p50:.2f} s"
            tokens = "" if arm.prompt_tokens is None else f"{arm.prompt_tokens:.0f}"
            table.add_row(escape(arm.name), share(arm.passed), seconds, tokens)
        console.print(table)
    table = _table("Before spending engineering time", "", "question", "", "by these numbers")
    for n, q in enumerate(questions(diagnosis), start=1):
        table.add_row(str(n), q.question, q.word, escape(q.text))
    console.print(table)
    if gaps:
        table = _table("Write these articles", "asked", "as", "by")
        for gap in gaps:
            table.add_row(str(gap.questions), escape(gap.title), ", ".join(gap.audiences))
        console.print(table)
    asked = {case.id: case.question for case in diagnosis.cases}
    if diagnosis.verdicts:
        table = _table("Each failed case", "case", "cause", "evidence", "shown by")
        for v in diagnosis.verdicts:
            name = f"{v.case}: {' '.join(asked.get(v.case, '').split())}"
            name = name if len(name) <= MOST else name[: MOST - 1] + "…"
            by = (v.flipped_by or "nothing").replace("_", " ")
            table.add_row(escape(name), v.cause.replace("_", " "), escape(v.evidence), by)
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
