"""Options that several commands have, spelt and explained the same way."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and no tables.")]
Workspace = Annotated[str, typer.Option(help="Workspace; TWOFOLD_WORKSPACE where not given.")]
