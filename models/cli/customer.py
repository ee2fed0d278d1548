"""`twofold eval customer`: whole answers, judged as a customer would."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.errors import InvalidInput, NotFound
from twofold.options import Json
from twofold.terminal import StepCallback, steps

if TYPE_CHECKING:
    from models.evaluate.customer import JudgedTurn
    from models.evaluate.local import Local

TREES = {"magento": "helpcenter_magento/current", "policies": "policies_github/current"}
"""Where the pages of a file's help center lie below --data; those of any other beside the file."""
SPLITS = ("tune", "report", "all")


def eval_customer(
    context: typer.Context,
    path: Annotated[
        Path, typer.Argument(help="A file of turns, or a folder of such files (JSONL).")
    ] = Path("examples/brackwater/customer"),
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the public help centers; without it they are left out."),
    ] = None,
    split: Annotated[str, typer.Option(help="tune, report or all.")] = "tune",
    shown: Annotated[
        str, typer.Option("--show", help="Print the turns with this outcome, such as `wrong`.")
    ] = "",
    tag: Annotated[str, typer.Option(help="Of these, only turns with this tag.")] = "",
    as_json: Json = False,
) -> None:
    """Hold conversations as customers do; say which answers are right and good."""
    from rich.console import Console

    from models.evaluate import customer, show
    from models.evaluate.local import open_local
    from models.suite.customer import OUTCOMES
    from twofold.settings import company_settings

    if split not in SPLITS:
        raise InvalidInput(f"There is no split {split!r}. Take one of {', '.join(SPLITS)}.")
    if shown and shown not in OUTCOMES:
        raise InvalidInput(f"There is no outcome {shown!r}. Take one of {', '.join(OUTCOMES)}.")
    local = open_local(context.obj, company_settings(path))
    found: dict[str, list[JudgedTurn]] = {}
    with steps() as progress:
        for file in _files(path):
            pages = _pages(file, data)
            if pages is None:
                typer.echo(f"{file.name}: left out; give --data FOLDER for its pages.", err=True)
                continue
            found[file.stem] = asyncio.run(_talk(local, file, pages, split, progress))
    report = customer.report(found)
    console = Console()
    if shown:
        show.show_turns(
            console,
            [
                each
                for replies in found.values()
                for each in replies
                if each.judgement.outcome == shown and (not tag or tag in each.turn.tags)
            ],
        )
    if as_json:
        typer.echo(json.dumps(report.data()))
    else:
        show.show_customer(console, report)


async def _talk(
    local: "Local", file: Path, pages: Path, split: str, progress: StepCallback
) -> "list[JudgedTurn]":
    from models.evaluate import customer
    from models.suite.client import AnswerClient
    from models.suite.customer import load_customer

    conversations = load_customer(file, split)
    turns = sum(map(len, conversations))
    house = file.parent.parent / "house.yaml" if file.stem not in TREES else None
    name = f"customer-{file.stem}"
    async with local.help_center(name, pages, house, progress) as http:
        return await customer.talk(
            AnswerClient(http), conversations, lambda done: progress("Asking", done, turns)
        )


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise NotFound(f"There are no turns at {path}.")
    return sorted(path.glob("*.jsonl"), key=lambda p: p.stem in TREES) if path.is_dir() else [path]


def _pages(file: Path, data: Path | None) -> Path | None:
    if file.stem not in TREES:
        return file.parent.parent / "help-center"
    return data / TREES[file.stem] if data is not None else None
