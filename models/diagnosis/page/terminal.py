"""The page at a terminal."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.diagnosis.gaps import Gap
from models.diagnosis.page.html import ADVICE
from models.diagnosis.page.questions import judge_of, questions, share, standing
from models.diagnosis.verdicts import MEANINGS, Diagnosis
from twofold.counted import counted

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
    fixes = []
    for fix in diagnosis.fixes:
        cases, gain = counted(len(fix.cases), "case"), "none made to pass"
        if fix.flipped:
            gain = f"{fix.flipped} made to pass, expected gain {share(fix.gain)}"
        fixes.append((fix.text, f"{cases}, {gain}"))
    _list(console, "Smallest fixes", fixes)
    if diagnosis.arms:
        console.print()
        table = _table("Ways of answering", "arm", "passes", "p50", "tokens")
        for arm in diagnosis.arms:
            if not arm.ran or arm.passed is None:
                table.add_row(escape(arm.name), f"[dim]not run: {escape(arm.why_not)}[/dim]")
                continue
            seconds = "" if arm.seconds_p50 is None else f"{arm.seconds_p50:.2f} s"
            tokens = "" if arm.prompt_tokens is None else f"{arm.prompt_tokens:.0f}"
            table.add_row(escape(arm.name), share(arm.passed), seconds, tokens)
        console.print(table)
    asked = ((q.question, f"{q.word.capitalize()}. {q.text}") for q in questions(diagnosis))
    _list(console, "Before spending engineering time", asked)
    _list(
        console,
        "How far the instruments can be trusted",
        ((judge_of(each),) for each in diagnosis.instruments),
    )
    wanted = (
        (gap.title, f"{counted(gap.questions, 'question')}, by {', '.join(gap.audiences)}")
        for gap in gaps
    )
    _list(console, "Write these articles", wanted)
    named = {case.id: " ".join(case.question.split()) for case in diagnosis.cases}
    failed = []
    for v in diagnosis.verdicts:
        name = named.get(v.case, "")
        name = name if len(name) <= MOST else name[: MOST - 1] + "…"
        kind, by = (each.replace("_", " ") for each in (v.cause, v.flipped_by or "nothing"))
        failed.append((name, f"{kind}, shown by {by}: {v.evidence}", v.case))
    _list(console, "Each failed case", failed)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _list(console: Console, title: str, entries: Iterable[tuple[str, ...]]) -> None:
    """Prints numbered entries, the head of each in bold: prose is not read in columns."""
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for n, (head, *more) in enumerate(entries, start=1):
        head = f"[bold]{escape(head)}[/bold]" if more else escape(head)
        table.add_row(f"{n}.", "\n".join([head, *map(escape, more)]))
    if table.row_count:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(table)
