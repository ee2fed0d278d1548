"""`twofold eval inject`: faults are planted, and the diagnosis must name them."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.counted import counted
from twofold.errors import InvalidInput
from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from models.diagnosis.inject import InjectReport
    from models.evaluate.local import Local

SPLITS = ("all", "tune", "report")
FAULTS = 528
"""Twelve of each kind."""


def eval_inject(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="A suite, or a file of customers' turns (JSONL).")
    ] = Path("examples/brackwater/eval"),
    pages: Annotated[
        Path | None,
        typer.Option(help="Folder with the pages; default: `help-center` beside the house.yaml."),
    ] = None,
    root: Annotated[str, typer.Option(help="What the suite puts before the names of pages.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="About so many faults in all.")] = FAULTS,
    split: Annotated[str, typer.Option(help="all, tune or report.")] = "all",
    details: Annotated[
        Path | None, typer.Option(help="Write every fault and its verdict here (JSONL).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Break what right answers rest on, on copies, in many ways; measure whether the diagnosis
    names the layer and the cause."""
    from models.evaluate.local import open_local
    from twofold.settings import company_settings

    if split not in SPLITS:
        raise InvalidInput(f"There is no split {split!r}. Take one of {', '.join(SPLITS)}.")
    settings = company_settings(path)
    house = settings.house_file if pages is None else None
    folder = pages or (house.parent / "help-center" if house else None)
    if folder is None or not folder.is_dir():
        raise InvalidInput(f"There are no pages at {folder}. Name their folder with --pages.")
    with steps() as progress:
        local = open_local(context.obj, settings)
        report = asyncio.run(_run(local, path, folder, house, root, split, limit, progress))
    if details is not None:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in report.rows())
        details.write_text("".join(lines), encoding="utf-8")
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        _show(report)


async def _run(
    local: "Local",
    path: Path,
    pages: Path,
    house: Path | None,
    root: str,
    split: str,
    limit: int,
    progress: StepCallback,
) -> "InjectReport":
    from models.diagnosis.inject import inject, with_histories
    from models.suite.client import AnswerClient
    from models.suite.customer import as_cases, is_customer
    from models.suite.suite import load_suite

    name = f"{path.parent.name}-{path.stem}"
    async with local.bench(name, pages, house, progress) as bench:
        if is_customer(path):
            conversations = as_cases(path, split, root)
            cases = await with_histories(AnswerClient(bench.http), conversations)
        else:
            chosen = next(each for each in ("all", "tune", "report") if each == split)
            cases = load_suite(path, chosen)
        return await inject(bench, cases, bench.house, limit, progress)


def _show(report: "InjectReport") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    data = report.data()
    faults = counted(data["faults"], "planted fault")
    table = Table(title=f"{faults} of {counted(data['kinds'], 'kind')}")
    for column in ("kind", "cause", "faults", "layer right", "cause right", "kept out"):
        table.add_column(column)
    for name, (kind, n, layers, causes) in report.by_kind().items():
        row = (name, kind.cause, n, layers, causes, "yes" if kind.kept_out else "")
        table.add_row(*map(str, row))
    console.print(table)
    for what, shares in (("all kinds", data), ("kinds kept out of tuning", data["kept_out"])):
        console.print(
            f"{what}: layer {shares['layer_right']} {shares['layer_right_ci']},"
            f" cause {shares['cause_right']} {shares['cause_right_ci']}"
        )
    console.print(f"false alarms {data['false_alarms']} {data['false_alarms_ci']}")
