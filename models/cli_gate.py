"""`twofold gate`: whether a release may answer customers."""

import asyncio
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.errors import Conflict, SetupError
from twofold.prompt import Profile

if TYPE_CHECKING:
    from models.data.rows import Dataset
    from models.evaluate.gate.arms import Arm
    from models.evaluate.gate.run import GateReport
    from models.registry import Registry
    from twofold.ledger.releases import Release
    from twofold.settings import Settings

REFUSED = 1
"""Exit code where the release may not serve."""


def register(app: typer.Typer) -> None:
    app.command("gate")(gate)


def gate(
    name: Annotated[str, typer.Argument(help="A release: see twofold model list.")],
    dataset: Annotated[
        Path, typer.Option(help="What `twofold dataset build --heldout` wrote.")
    ] = Path(".twofold/dataset"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object last.")] = False,
) -> None:
    """Ask a release the held-out rows, beside the base with the full prompt and the live release.

    Keeps the report with the release; only one that passed can be promoted. Exit code 1: refused.
    """
    from rich.console import Console

    from models.data.rows import read_dataset
    from models.evaluate.gate.show import show
    from models.registry import open_registry
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    registry = open_registry(settings, Ledger(settings.ledger))
    release = registry.get(name)
    rows = read_dataset(dataset)
    arms = _arms(release, registry, settings)
    report = asyncio.run(_run(arms, rows))
    registry.gated(
        name,
        report.data()
        | {
            "adapter_sha256": release.adapter_sha256,
            "prompt": release.prompt,
            "house": release.house,
            "dataset": rows.sha256,
        },
    )
    if json:
        typer.echo(dumps(report.data()))
    else:
        show(Console(), report)
    if report.reasons:
        raise typer.Exit(REFUSED)


async def _run(arms: "Sequence[Arm]", dataset: "Dataset") -> "GateReport":
    from models.evaluate.gate.run import run_gate
    from models.evaluate.show import bar

    candidate, *others = arms
    try:
        with bar() as progress:
            return await run_gate(candidate, others, dataset, progress)
    finally:
        await candidate.model.server.aclose()


def _arms(release: "Release", registry: "Registry", settings: "Settings") -> "list[Arm]":
    """The release, the base with the full prompt, and what is live; all on one model server."""
    from models.evaluate.gate.arms import Arm, patient
    from twofold.clients.chat import ChatModel, ModelServer
    from twofold.ledger.releases import misfit

    if not settings.model_url:
        raise SetupError(
            "The gate asks a model server: set TWOFOLD_MODEL_URL, and start one with what"
            " twofold model serve-args prints."
        )
    if unfit := misfit(release, registry.house):
        raise Conflict(f"{release.name!r} cannot pass: {unfit}.")
    url = settings.model_url.rstrip("/").removesuffix("/v1")
    server = ModelServer(url, settings.model_key.get_secret_value())
    live = next((each for each in registry.all() if each.state == "live"), None)
    base = settings.model_name or release.base
    names: list[tuple[str, Profile]] = [(release.name, release.profile), (base, "full")]
    if live is not None and live.name != release.name and not misfit(live, registry.house):
        names.append((live.name, live.profile))
    return [
        Arm(name, patient(ChatModel(server, name)), profile, registry.house)
        for name, profile in names
    ]
