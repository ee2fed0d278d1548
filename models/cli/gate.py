"""`twofold gate`: whether a release may answer customers."""

import asyncio
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twofold.errors import Conflict, SetupError
from twofold.options import Json
from twofold.terminal import steps

if TYPE_CHECKING:
    from models.data.rows import Dataset
    from models.gate.arms import ModelArm
    from models.gate.run import GateReport
    from models.registry import Registry
    from twofold.clients.chat import ModelServer
    from twofold.ledger.releases import Release
    from twofold.policy import HousePolicy
    from twofold.settings import Settings

MOST_TOKENS = 160
"""Of a reply of the untuned base, which seldom ends by itself."""
REFUSED = 1
"""Exit code where the release may not serve."""


def register(app: typer.Typer) -> None:
    app.command("gate")(gate)


def gate(
    name: Annotated[str, typer.Argument(help="A release: see twofold model list.")],
    dataset: Annotated[
        Path, typer.Option(help="What `twofold dataset build --heldout` wrote.")
    ] = Path(".twofold/dataset"),
    at: Annotated[
        str,
        typer.Option(help="A server that has the release merged; default: beside its base."),
    ] = "",
    base_rows: Annotated[
        int, typer.Option(min=0, help="Held-out rows that the base is asked; 0: all of them.")
    ] = 0,
    json: Json = False,
) -> None:
    """Ask a release the held-out rows, beside the base with the full prompt and the live release.

    Keeps the report with the release; only one that passed can be promoted. Exit code 1: refused.
    """
    from rich.console import Console

    from models.data.rows import read_dataset
    from models.gate.show import show
    from models.registry import open_registry
    from twofold.ledger import Ledger
    from twofold.settings import Settings

    settings = Settings()
    registry = open_registry(settings, Ledger(settings.ledger))
    release = registry.get(name)
    rows = read_dataset(dataset)
    arms = _arms(release, registry, settings, at, base_rows)
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


async def _run(arms: "Sequence[ModelArm]", dataset: "Dataset") -> "GateReport":
    from models.gate.run import run_gate

    candidate, *others = arms
    try:
        with steps() as progress:
            return await run_gate(candidate, others, dataset, progress)
    finally:
        for server in {id(arm.model.server): arm.model.server for arm in arms}.values():
            await server.aclose()


def _arms(
    release: "Release", registry: "Registry", settings: "Settings", at: str, base_rows: int
) -> "list[ModelArm]":
    """Returns the release, the base with the full prompt, and what is live."""
    from twofold.ledger.releases import misfit

    if not settings.model_url:
        raise SetupError(
            "The gate asks a model server: set TWOFOLD_MODEL_URL, and start one with what"
            " twofold model serve-args prints."
        )
    if unfit := misfit(release, registry.house):
        raise Conflict(f"{release.name!r} cannot pass: {unfit}.")
    beside = server_at(settings.model_url, settings)
    merged = server_at(at, settings) if at else beside
    live = next((each for each in registry.all() if each.state == "live"), None)
    base = settings.model_name or release.base
    arms = [
        release_arm(release, merged, registry.house),
        base_arm(base, beside, registry.house, base_rows),
    ]
    if live is not None and live.name != release.name and not misfit(live, registry.house):
        arms.append(release_arm(live, beside, registry.house))
    return arms


def release_arm(release: "Release", server: "ModelServer", house: "HousePolicy") -> "ModelArm":
    from models.gate.arms import ModelArm, patient
    from twofold.clients.chat import ChatModel

    model = patient(ChatModel(server, release.name))
    return ModelArm(release.name, model, release.profile, house)


def base_arm(name: str, server: "ModelServer", house: "HousePolicy", rows: int) -> "ModelArm":
    from models.gate.arms import ModelArm, patient
    from twofold.clients.chat import ChatModel

    model = patient(ChatModel(server, name))
    return ModelArm(name, model, "full", house, rows, MOST_TOKENS)


def server_at(url: str, settings: "Settings") -> "ModelServer":
    from twofold.clients.chat import ModelServer

    address = url.rstrip("/").removesuffix("/v1")
    return ModelServer(address, settings.model_key.get_secret_value())
