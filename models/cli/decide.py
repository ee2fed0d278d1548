"""`twofold decide`: what to build next, asked of a system that is not Twofold."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.diagnosis.compared import Prices
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.options import Json
from twofold.terminal import steps

if TYPE_CHECKING:
    from models.diagnosis.decide.endpoint import Endpoint
    from models.diagnosis.decide.tasks import Task
    from models.diagnosis.verdicts import Diagnosis


def register(app: typer.Typer) -> None:
    app.command("decide")(decide)


def decide(
    suite: Annotated[Path, typer.Argument(help="Tasks: a YAML or JSONL file, or a folder.")],
    endpoint: Annotated[
        str, typer.Option(help="Base URL of an OpenAI-compatible endpoint, such as https://…/v1.")
    ] = "",
    outputs: Annotated[
        Path | None, typer.Option(help="Instead: outputs of another time, JSON lines: id, output.")
    ] = None,
    pages: Annotated[
        Path | None,
        typer.Option(help="The suite is one of questions; its documents are in this folder."),
    ] = None,
    model: Annotated[str, typer.Option(help="The model to name to the endpoint.")] = "",
    system: Annotated[
        Path | None, typer.Option(help="The system prompt that you use today, a text file.")
    ] = None,
    key_env: Annotated[
        str, typer.Option(help="The environment variable that holds the endpoint's key.")
    ] = "",
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Calls at a time.")] = 4,
    deadline: Annotated[float, typer.Option(min=0.1, help="Seconds for one call.")] = 60.0,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="Money for a million tokens read.")
    ] = None,
    price_out: Annotated[
        float | None, typer.Option(min=0, help="Money for a million tokens written.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it here for a pull request.")] = None,
    as_json: Json = False,
) -> None:
    """Say whether retrieval, training, a better prompt or nothing is what a system needs next.

    An endpoint is asked every task as it is, with the right context, and with that and a strong
    prompt; recorded outputs are judged as far as they allow. Answers of the endpoint are kept by
    their prompt under the home's `cache`: a run that broke off goes on where it was.
    """
    from rich.console import Console

    from models.diagnosis.decide.endpoint import Endpoint
    from models.diagnosis.decide.recorded import load_outputs
    from models.diagnosis.decide.run import judge_outputs
    from models.diagnosis.decide.tasks import load_tasks
    from models.diagnosis.page import render_html, render_markdown, render_terminal
    from twofold.settings import company_settings

    if bool(endpoint) == (outputs is not None):
        raise InvalidInput("Give either --endpoint URL or --outputs RUN.jsonl.")
    if endpoint and not model:
        raise InvalidInput("Give --model: the name that the endpoint knows it by.")
    if (price_in is None) != (price_out is None):
        raise InvalidInput("Give both --price-in and --price-out, or neither.")
    loaded = load_tasks(suite, pages)
    if loaded.left_out:
        left_out = counted(loaded.left_out, "case")
        said = f"Left out: {left_out} of which what to do is the point, not a fact."
        typer.echo(said, err=True)
    prices = Prices(price_in, price_out) if price_in is not None and price_out is not None else None
    if outputs is not None:
        found = judge_outputs(str(suite), loaded.tasks, load_outputs(outputs), prices)
    else:
        asked = Endpoint(
            endpoint,
            model,
            _key(key_env),
            company_settings(suite).home / "cache" / "decide",
            deadline,
        )
        run = _ask(str(suite), asked, loaded.tasks, _read(system), prices, concurrency)
        found = asyncio.run(run)
    if html is not None:
        html.write_text(render_html(found), encoding="utf-8")
    if markdown is not None:
        markdown.write_text(render_markdown(found), encoding="utf-8")
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        render_terminal(Console(), found)


async def _ask(
    name: str,
    endpoint: "Endpoint",
    tasks: "list[Task]",
    system: str,
    prices: Prices | None,
    concurrency: int,
) -> "Diagnosis":
    from models.diagnosis.decide.run import ask

    try:
        with steps() as progress:
            return await ask(
                name,
                endpoint,
                tasks,
                system,
                prices,
                concurrency,
                lambda done, total: progress("Asking", done, total),
            )
    finally:
        await endpoint.aclose()


def _key(name: str) -> str:
    from twofold.settings import secret

    if not name:
        return ""
    if not (key := secret(name)):
        raise InvalidInput(f"The environment has no {name}. --key-env names the variable.")
    return key


def _read(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise NotFound(f"There is no readable file {path}.") from None
