"""`twofold eval gate`: whether a change of content or config made answers worse."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.cli.service import service
from twofold.counted import counted
from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx

    from models.evaluate.answers import Outcome
    from models.evaluate.regression import Change, RegressionCase, RegressionResult
    from models.suite.suite import Case

REFUSED = 1
"""Exit code where the change made answers worse."""


def register(evals: typer.Typer) -> None:
    evals.command("gate")(eval_gate)


def eval_gate(
    context: typer.Context,
    suite: Annotated[Path, typer.Argument(help="A suite: a YAML or JSONL file, or a folder.")],
    baseline: Annotated[
        Path, typer.Option(help="What an earlier run wrote with --write; kept with your content.")
    ],
    write: Annotated[
        bool, typer.Option("--write", help="Take this run as the baseline. It compares nothing.")
    ] = False,
    allow_worse: Annotated[
        int | None,
        typer.Option(min=0, help="Refuse also where more questions than that got worse."),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a summary for a pull request here.")
    ] = None,
    url: Annotated[
        str, typer.Option(help="A running service; without it, one is run in this process.")
    ] = "",
    key: Annotated[str, typer.Option(help="API key for --url.", envvar="TWOFOLD_API_KEY")] = "",
    concurrency: Annotated[int, typer.Option(min=1, help="Questions asked at a time.")] = 1,
    as_json: Json = False,
) -> None:
    """Ask a suite again and compare each answer with the baseline's. Exit code 1: it got worse.

    Refused is what is worse beyond noise (exact McNemar test, 5%), or by more questions than
    --allow-worse says.
    """
    from models.evaluate import regression
    from models.suite.suite import load_suite
    from twofold.settings import company_settings

    cases = load_suite(suite)
    before = None if write else regression.read_run(baseline)
    with steps() as progress:
        http = service(context, company_settings(suite), url, key)
        now = regression.run_of(asyncio.run(_ask(http, cases, concurrency, progress)))
    if before is None:
        baseline.write_text(now.model_dump_json(indent=1) + "\n", encoding="utf-8")
        passed = sum(asked.passed for asked in now.asked.values())
        typer.echo(
            f"Wrote {baseline}: of {counted(len(now.asked), 'question')} {passed} pass.",
            err=as_json,
        )
        if as_json:
            typer.echo(json.dumps({"written": str(baseline), "passed": passed, "n": len(cases)}))
        return
    gate = regression.compare(before, now, allow_worse)
    if markdown is not None:
        markdown.write_text(regression.markdown(gate), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(regression.data(gate)))
    else:
        _show(gate)
    if gate.failed:
        raise typer.Exit(REFUSED)


async def _ask(
    running: "AbstractAsyncContextManager[httpx.AsyncClient]",
    cases: "list[Case]",
    concurrency: int,
    progress: StepCallback,
) -> "list[Outcome]":
    from models.evaluate.answers import ask_all
    from models.suite.client import AnswerClient

    async with running as http:
        return await ask_all(
            AnswerClient(http),
            cases,
            concurrency=concurrency,
            progress=lambda done: progress("Asking", done, len(cases)),
        )


def _show(gate: "RegressionResult") -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    share = f"{gate.difference:+.1%}"
    if gate.interval:
        share += f" \\[{gate.interval[0]:+.1%}, {gate.interval[1]:+.1%}]"
    console.print(
        f"{counted(gate.compared, 'question')}: {gate.passed_before} passed on {gate.before},"
        f" {gate.passed_now} now, {share}."
    )
    shown: Iterable[Change] = ("worse", "better")
    for change in shown:
        if rows := gate.of(change):
            table = Table(title=f"Got {change}", title_justify="left", header_style="bold")
            for column in ("question", "before", "now"):
                table.add_column(column)
            for row in rows:
                cells = (f"{row.id}: {row.question}", _said(row.before), _said(row.after))
                table.add_row(*map(escape, cells))
            console.print(table)
    for what, ids in (
        ("answered in other words, judged as before", [c.id for c in gate.of("other answer")]),
        ("only in this run", gate.added),
        ("only in the baseline", gate.removed),
        ("asked or expected otherwise than in the baseline", gate.asked_otherwise),
    ):
        if ids:
            console.print(f"{len(ids)} {what}: {', '.join(ids)}", markup=False)
    console.print(gate.verdict, markup=False)


def _said(asked: "RegressionCase") -> str:
    return "passes" if asked.passed else "; ".join(asked.problems)
