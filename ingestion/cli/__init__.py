"""Commands of the ingestion plane. Anything heavy is imported by the command that needs it."""

import typer

from ingestion.cli import retry, sources, status, sync, upkeep


def register(app: typer.Typer) -> None:
    """Add this plane's commands to the `twofold` command."""
    sources.register(app)
    sync.register(app)
    knowledge = typer.Typer(help="Look into the knowledge layer.", no_args_is_help=True)
    status.register(knowledge)
    upkeep.register(knowledge)
    retry.register(knowledge)
    app.add_typer(knowledge, name="knowledge")
