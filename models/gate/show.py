"""A gate's report as tables."""

from rich.console import Console
from rich.table import Table

from models.gate.judge import METRICS, WORSE_HIGH
from models.gate.rules import KEPT
from models.gate.run import GateReport
from models.stats import Estimate
from twofold.counted import counted


def show(console: Console, report: GateReport) -> None:
    rows = counted(report.rows, "held-out row")
    table = Table(title=f"{rows}, 95% intervals", title_justify="left")
    table.add_column("share of replies that")
    for arm in report.arms:
        table.add_column(f"{arm.name}\n({arm.profile} prompt)", justify="right")
    for metric, label in METRICS.items():
        note = " (less is better)" if metric in WORSE_HIGH else ""
        table.add_row(label + note, *(_share(arm.metrics[metric]) for arm in report.arms))
    table.add_row("escalation F1", *(f"{arm.escalation_f1:.3f}" for arm in report.arms))
    table.add_section()
    table.add_row("instruction tokens", *(f"{arm.instruction_tokens:,}" for arm in report.arms))
    table.add_row(
        "prompt tokens, mean", *(f"{arm.prompt_tokens.value:,.0f}" for arm in report.arms)
    )
    table.add_row("reply tokens, mean", *(f"{a.completion_tokens.value:,.0f}" for a in report.arms))
    table.add_row("first token, median", *(f"{a.first_s * 1000:,.0f} ms" for a in report.arms))
    console.print(table)
    book, shares = report.shares.closed_book, report.shares
    stating = counted(len(book.wrong), "states", "state")
    console.print(f"Closed book: of {counted(book.share.n, 'probe')} {stating} a fact.")
    console.print(
        f"Changed facts followed: {_share(shares.changed_alone.share)} with that one fact in the"
        f" context, {_share(shares.changed_packed.share)} with all that was packed.",
        highlight=False,
    )
    for arm in report.arms[1:]:
        losses = ", ".join(
            f"{METRICS[each.metric]} {each.noticed:.2f}"
            for each in report.compared
            if each.other == arm.name and each.metric in KEPT and each.noticed is not None
        )
        rows = counted(arm.rows, "row notices", "rows notice")
        console.print(
            f"A loss against {arm.name} that {rows} in 4 of 5 runs: {losses}.",
            highlight=False,
        )
    if not report.reasons:
        console.print(f"[green]{report.release} passed.[/] Next: twofold model promote …")
        return
    console.print(f"[red]{report.release} is refused:[/]")
    for reason in report.reasons:
        console.print(f"- {reason}", markup=False, highlight=False)


def _share(found: Estimate) -> str:
    return f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}] n={found.n}"
