"""`twofold eval suite from-answers`: a suite that starts with what customers really asked."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from models.cli.service import questions, service
from models.cli.since import since as moment
from twofold.counted import counted
from twofold.errors import Conflict

suites = typer.Typer(no_args_is_help=True)


@suites.callback()
def _group() -> None:
    """Make eval suites."""


@suites.command("from-answers")
def from_answers(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The YAML file to write.")],
    since: Annotated[str, typer.Option(help="30m, 12h, 7d, 4w, or a day.")] = "7d",
    url: Annotated[
        str, typer.Option(help="A running service; without it, this home's answers.")
    ] = "",
    key: Annotated[str, typer.Option(help="API key for --url.", envvar="TWOFOLD_API_KEY")] = "",
) -> None:
    """Start a suite from live answers: masked, similar questions together, all unconfirmed."""
    from models.suite.from_answers import start
    from twofold.settings import Settings
    from twofold.stack import open_embedder

    if out.exists():
        raise Conflict(f"{out} is there already, and may be confirmed. Give another name.")
    settings = Settings()
    asked = asyncio.run(questions(service(context, settings, url, key), moment(since)))
    started = start(asked, open_embedder(settings))
    out.write_text(started.text, encoding="utf-8")
    typer.echo(
        f"Wrote {out}: {counted(started.cases, 'question')} in {counted(started.groups, 'group')},"
        f" {started.left_out} left out. None counts until a person confirms it."
    )
