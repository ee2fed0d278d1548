"""The `twofold` command, assembled from what each plane registers in `twofold.commands`."""

import os
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from twofold.errors import TwofoldError

FAILED = 2
EXTRAS = {
    "redis": "ingestion", "celery": "ingestion", "psycopg": "server", "qdrant_client": "server"
}  # fmt: skip
"""Package that only some settings need -> the extra of ours that brings it."""


class Commands(TyperGroup):
    """Turns an error we raise on purpose into its one sentence; every other one keeps its trace."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except TwofoldError as error:
            typer.echo(f"error: {error.message}", err=True)
            raise typer.Exit(FAILED) from None
        except ModuleNotFoundError as error:
            if error.name not in EXTRAS:
                raise
            typer.echo(f"error: {not_installed(error.name)}", err=True)
            raise typer.Exit(FAILED) from None


def not_installed(package: str) -> str:
    """Returns what to say where a package is missing that the settings make necessary."""
    return (
        f"The settings need the package {package}, which is not installed: pip install"
        f" 'twofold[{EXTRAS[package]}]'"
    )


def build() -> typer.Typer:
    """Returns the app with every command that this installation has the dependencies for."""
    app = typer.Typer(
        cls=Commands,
        help="A self-hosted support assistant: retrieval for facts, fine-tuning for behaviour.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Holds what one plane hands to the commands of another.
        context_settings={"obj": {}},
    )
    app.callback()(_options)
    for entry in sorted(entry_points(group="twofold.commands"), key=lambda entry: entry.name):
        try:
            register = entry.load()
        except ModuleNotFoundError:
            # Where a plane's extra is not installed, its commands are absent and the others work.
            continue
        register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"twofold {version('twofold')}")
        raise typer.Exit


def _change_folder(folder: Path | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _folder: Annotated[
        Path | None,
        typer.Option(
            "-C",
            callback=_change_folder,
            is_eager=True,
            exists=True,
            file_okay=False,
            help="Act as if started in this folder: its house.yaml, its .twofold.",
        ),
    ] = None,
) -> None:
    from twofold import telemetry

    # Whatever is logged goes to stderr: stdout is a command's result alone.
    telemetry.configure()
