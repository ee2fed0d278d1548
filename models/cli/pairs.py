"""`twofold dataset pairs`: what the preference step is trained on."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.cli.dataset import dataset
from twofold.counted import counted
from twofold.errors import Conflict, InvalidInput, SetupError
from twofold.options import Json
from twofold.terminal import steps

if TYPE_CHECKING:
    from models.data.pairs import Voice
    from models.data.rows import Row
    from models.gate.arms import ModelArm
    from twofold.policy import HousePolicy
    from twofold.settings import Settings
    from twofold.terminal import StepCallback


def register() -> None:
    dataset.command("pairs")(pairs)


def pairs(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A dataset: what `dataset build` wrote.")],
    composer: Annotated[
        bool, typer.Option("--composer", help="What the composer replies to the rows.")
    ] = False,
    edited: Annotated[
        bool, typer.Option("--edited", help="What the assistant said before a person replied.")
    ] = False,
    base: Annotated[
        bool, typer.Option("--base", help="What the base replies, asked with the full prompt.")
    ] = False,
    release: Annotated[
        list[str] | None, typer.Option(help="What a release replies: see twofold model list.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=0, help="Rows of each split that a model is asked; 0: all of them.")
    ] = 0,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = Path("pairs"),
    as_json: Json = False,
) -> None:
    """Set beside the rows of a dataset the replies that theirs are to be preferred to. Held-out
    rows are left alone. Next: twofold train PAIRS --start ADAPTER …"""
    from models.data import pairs as made
    from models.data.rows import Split, read_dataset
    from models.evaluate.local import open_local
    from models.suite.client import AnswerClient
    from twofold.house_file import load_house
    from twofold.settings import Settings

    if not (composer or edited or base or release):
        raise InvalidInput("Say whose replies: --composer, --edited, --base, --release NAME.")
    found = read_dataset(folder)
    if found.manifest.pairs_of:
        raise InvalidInput(f"{folder} holds pairs already. Give the dataset that they are of.")
    settings = Settings().model_copy(update={"handoff_targets": []})
    house = load_house(settings.house_file)
    arms = _arms(base, release or [], settings, house, rows)
    splits: tuple[Split, ...] = ("train", "eval")
    asked = [row for name in splits for row in found.rows[name]]

    async def run() -> "list[Voice]":
        voices = []
        with steps() as progress:
            if composer or edited:
                async with open_local(context.obj, settings).service() as http:
                    client = AnswerClient(http)
                    if edited:
                        voices.append(await made.of_drafts(client, asked, house))
                    if composer:
                        voices.append(await made.of_composer(client, asked, house, progress))
            for arm in arms:
                drawn = [row for name in splits for row in arm.among(found.rows[name])]
                voices.append(await _of_model(arm, drawn, progress))
        for server in {id(arm.model.server): arm.model.server for arm in arms}.values():
            await server.aclose()
        return voices

    voices = asyncio.run(run())
    left_out = sum((voice.left_out for voice in voices), Counter[str]())
    paired: dict[Split, list[Row]] = {}
    for name in splits:
        paired[name], left = made.paired(found.rows[name], voices, house)
        left_out += left
    manifest = made.write(out, found, paired, left_out)
    if as_json:
        typer.echo(json.dumps({"folder": str(out)} | manifest.model_dump()))
        return
    for path, file in manifest.files.items():
        by = ", ".join(f"{n:,} by {who}" for who, n in file.rejected.items()) or "none"
        typer.echo(f"{path}: {counted(file.rows, 'row')}; rejected replies: {by}")
    for why, n in manifest.left_out.items():
        typer.echo(f"{n} left out: {why}")
    typer.echo(f"{out}: check it with: twofold dataset lint {out}")


async def _of_model(arm: "ModelArm", rows: "Sequence[Row]", progress: "StepCallback") -> "Voice":
    """Returns what the model says without any constraint, of what it brought to an end."""
    from models.data.pairs import NOTHING, Voice

    said = await arm.ask(rows, progress)
    whole = {
        row.id: reply.wire
        for row, reply in zip(rows, said, strict=True)
        if reply.wire.strip() and reply.completion_tokens < arm.most
    }
    silent = len(rows) - len(whole)
    return Voice(arm.name, whole, Counter({NOTHING: silent} if silent else {}))


def _arms(
    base: bool, releases: Sequence[str], settings: "Settings", house: "HousePolicy", rows: int
) -> "list[ModelArm]":
    from dataclasses import replace

    from models.cli.gate import base_arm, release_arm, server_at
    from models.registry import open_registry
    from twofold.ledger import Ledger
    from twofold.ledger.releases import misfit

    if not (base or releases):
        return []
    if not settings.model_url:
        raise SetupError("Models are asked at a server: set TWOFOLD_MODEL_URL.")
    if base and not settings.model_name:
        raise SetupError("Which model is the base? Set TWOFOLD_MODEL_NAME.")
    server = server_at(settings.model_url, settings)
    arms = [base_arm(settings.model_name, server, house, rows)] if base else []
    registry = open_registry(settings, Ledger(settings.ledger)) if releases else None
    for each in map(registry.get, releases) if registry else ():
        if unfit := misfit(each, house):
            raise Conflict(f"{each.name!r} would be asked what it never learnt: {unfit}.")
        arms.append(replace(release_arm(each, server, house), sample=rows))
    return arms
