"""Commands of the whole product. Anything heavy is imported by the command that needs it."""

from typing import TYPE_CHECKING

import typer

from services.standalone import init
from services.standalone.operate import cli as operate
from services.standalone.serve import serve

if TYPE_CHECKING:
    from models.evaluate.local import Local
    from twofold.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this package's commands to the `twofold` command, and hand the evals the product."""
    app.command("serve")(serve)
    init.register(app)
    operate.register(app)
    if isinstance(settings := app.info.context_settings, dict):
        settings["obj"]["local"] = local  # models.evaluate.local.LOCAL, which takes long to import


def local(settings: "Settings") -> "Local":
    """Returns what evals run in this process."""
    from services.standalone import evals

    return evals.Local(settings)
