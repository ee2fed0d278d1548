"""`twofold diagnose`, and the arms of `twofold eval answers`: which layer failed, by evidence."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.cli.live_diagnosis import data, look
from models.cli.service import service
from models.diagnosis.compared import ARMS, Prices
from twofold.errors import InvalidInput
from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    import httpx
    from rich.console import Console

    from models.diagnosis.gaps import Gap
    from models.diagnosis.verdicts import Arm, Comparison, Diagnosis
    from models.suite.suite import Case
    from twofold.policy import HousePolicy
    from twofold.settings import Settings

SPLITS = ("all", "tune", "report")
KEPT = Path("cache") / "replays"

Url = Annotated[
    str, typer.Option(help="A running service; without it, one is run in this process.")
]
Key = Annotated[str, typer.Option(help="API key for --url.", envvar="TWOFOLD_API_KEY")]
AtOnce = Annotated[int, typer.Option(min=1, help="Questions asked at a time.")]
PriceIn = Annotated[
    float | None, typer.Option(min=0, help="Money a million tokens of prompt cost.")
]
PriceOut = Annotated[float | None, typer.Option(min=0, help="The same of completion.")]


def diagnose_suite(
    context: typer.Context,
    path: Annotated[
        Path | None, typer.Argument(help="A suite: a YAML or JSONL file, or a folder.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Instead of a suite: what customers really asked.")
    ] = False,
    since: Annotated[str, typer.Option(help="With --live: 30m, 12h, 7d, 4w, or a day.")] = "7d",
    url: Url = "",
    key: Key = "",
    arms: Annotated[
        str, typer.Option(help=f"Ask in these ways as well: some of {', '.join(ARMS)}.")
    ] = "",
    split: Annotated[str, typer.Option(help="all, tune or report.")] = "all",
    limit: Annotated[int, typer.Option(min=0, help="Ask only so many questions; 0: all.")] = 0,
    concurrency: AtOnce = 1,
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    html: Annotated[
        Path | None, typer.Option(help="Write the page here, as one HTML file.")
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it here for a pull request.")] = None,
    as_json: Json = False,
) -> None:
    """Say of every failed case of a suite which layer failed it, shown by what makes it pass; and
    what to do first. With --live the same of live answers, as far as they were looked into."""
    from rich.console import Console

    from models.diagnosis.page import render_terminal
    from twofold.house_file import load_house
    from twofold.settings import company_settings

    if live == (path is not None):
        raise InvalidInput("Name a suite, or say --live: one of the two.")
    if path is None:
        seen = look(context, since, url, key)
        _write(seen.diagnosis, seen.gaps, html, markdown)
        if as_json:
            typer.echo(json.dumps(data(seen)))
        else:
            render_terminal(Console(), seen.diagnosis, seen.gaps)
        return
    cases = _cases(path, split, limit)
    settings = company_settings(path)
    house = load_house(settings.house_file)
    with steps() as progress:
        found = asyncio.run(
            _diagnosed(
                service(context, settings, url, key),
                cases,
                house,
                path,
                settings.home / KEPT,
                names(arms),
                _prices(price_in, price_out),
                concurrency,
                progress,
            )
        )
    _write(found, (), html, markdown)
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        render_terminal(Console(), found)


def answer_arms(
    context: typer.Context,
    path: Path,
    settings: "Settings",
    cases: "Sequence[Case]",
    url: str,
    key: str,
    arms: str,
    concurrency: int,
    prices: Prices | None,
    as_json: bool,
) -> None:
    """Runs `twofold eval answers SUITE --arms`."""
    from rich.console import Console

    from twofold.house_file import load_house

    house = load_house(settings.house_file)
    with steps() as progress:
        measured, compared = asyncio.run(
            _armed(
                service(context, settings, url, key), cases, house, settings.home / KEPT,
                names(arms), prices, concurrency, progress,
            )
        )  # fmt: skip
    if as_json:
        data = {
            "suite": str(path),
            "cases": len(cases),
            "arms": [arm.model_dump(mode="json") for arm in measured],
            "comparisons": [each.model_dump(mode="json") for each in compared],
        }
        typer.echo(json.dumps(data))
    else:
        _show_arms(Console(), measured, compared)


def _write(
    found: "Diagnosis", gaps: "Sequence[Gap]", html: Path | None, markdown: Path | None
) -> None:
    from models.diagnosis.page import render_html, render_markdown

    if html is not None:
        html.write_text(render_html(found, gaps), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(render_markdown(found, gaps), encoding="utf-8")


def names(arms: str) -> list[str]:
    """Returns the arms that a comma-separated list names."""
    return [name.strip() for name in arms.split(",") if name.strip()]


async def _diagnosed(
    running: "AbstractAsyncContextManager[httpx.AsyncClient]",
    cases: "Sequence[Case]",
    house: "HousePolicy",
    path: Path,
    folder: Path,
    arms: Sequence[str],
    prices: Prices | None,
    concurrency: int,
    progress: StepCallback,
) -> "Diagnosis":
    from models.diagnosis.diagnose import diagnose
    from models.suite.client import AnswerClient

    async with running as http:
        return await diagnose(
            AnswerClient(http), cases, house, str(path), folder=folder, arms=arms, prices=prices,
            concurrency=concurrency, progress=progress,
        )  # fmt: skip


async def _armed(
    running: "AbstractAsyncContextManager[httpx.AsyncClient]",
    cases: "Sequence[Case]",
    house: "HousePolicy",
    folder: Path,
    arms: Sequence[str],
    prices: Prices | None,
    concurrency: int,
    progress: StepCallback,
) -> "tuple[list[Arm], list[Comparison]]":
    from models.diagnosis.arms import compare, measure, run_arms
    from models.diagnosis.kept import KeptReplays
    from models.suite.client import AnswerClient

    async with running as http:
        client = AnswerClient(http)
        world = await client.world()
        client = client.remembering(KeptReplays(folder, world["digest"]))
        runs = await run_arms(
            client, cases, arms, makers=world["makers"], concurrency=concurrency, progress=progress
        )
    return [measure(ran, house, prices) for ran in runs], compare(runs, house)


def _cases(path: Path, split: str, limit: int) -> "list[Case]":
    from models.suite.suite import load_suite

    for each in ("all", "tune", "report"):
        if each == split:
            cases = load_suite(path, each)
            return cases[:limit] if limit else cases
    raise InvalidInput(f"There is no split {split!r}. Take one of {', '.join(SPLITS)}.")


def _prices(prompt: float | None, completion: float | None) -> Prices | None:
    if prompt is None and completion is None:
        return None
    return Prices(prompt or 0.0, completion or 0.0)


def _show_arms(console: "Console", arms: "Sequence[Arm]", compared: "Sequence[Comparison]") -> None:
    from rich.table import Table

    from models.diagnosis.verdicts import METRICS

    ran = [arm for arm in arms if arm.ran]
    table = Table(title="Arms")
    for column in ("", *(arm.name for arm in ran)):
        table.add_column(column)
    table.add_row("passes", *(_figure(arm.passed) for arm in ran))
    for metric, label in METRICS.items():
        table.add_row(label, *(_figure(arm.metrics.get(metric)) for arm in ran))
    table.add_row("tokens of prompt", *(f"{arm.prompt_tokens:.0f}" for arm in ran))
    table.add_row("tokens of completion", *(f"{arm.completion_tokens:.0f}" for arm in ran))
    if any(arm.prefix_cached is not None for arm in ran):
        cached = ("" if a.prefix_cached is None else f"{a.prefix_cached:.2f}" for a in ran)
        table.add_row("… of the prompt's, cached", *cached)
    for share, of in (("p50", "seconds_p50"), ("p95", "seconds_p95")):
        table.add_row(f"seconds {share}", *(f"{getattr(arm, of):.3f}" for arm in ran))
    if any(arm.cost is not None for arm in ran):
        table.add_row("money a thousand", *(f"{arm.cost:.2f}" for arm in ran))
    console.print(table)
    for arm in arms:
        if not arm.ran:
            console.print(f"{arm.name}: not run, {arm.why_not}.")
    for each in compared:
        gap = each.difference
        console.print(
            f"{each.a} - {each.b}: {gap.value} {list(gap.ci)}, {each.only_a} and {each.only_b}"
            f" pass in one alone, p = {each.p:.3g}"
        )


def _figure(figure: object) -> str:
    value, ci = getattr(figure, "value", None), getattr(figure, "ci", (None, None))
    return "" if value is None else f"{value:.3f} {ci[0]}-{ci[1]}"
