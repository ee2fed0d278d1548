"""`twofold dataset build`, `lint` and `forget`."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.counted import counted
from twofold.errors import InvalidInput
from twofold.options import Json
from twofold.terminal import steps

if TYPE_CHECKING:
    from models.data.collect import Built
    from models.data.lint import RowFinding
    from models.data.lint.gone import Live
    from models.data.refresh import Refreshed, Stale
    from models.data.rows import Manifest, Row
    from models.data.seeds import Seed
    from twofold.prompt import Profile

dataset = typer.Typer(no_args_is_help=True, help="Make and check what a model is trained on.")
OUT = Path("dataset")


def register(app: typer.Typer) -> None:
    app.add_typer(dataset, name="dataset")


@dataset.command("build")
def build_command(
    context: typer.Context,
    suite: Annotated[
        Path | None, typer.Option(help="An eval suite: its tune half becomes rows.")
    ] = None,
    dialogues: Annotated[
        Path | None, typer.Option(help="Approved conversations: a YAML file or a folder.")
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Answers that people rated up.")
    ] = False,
    approved: Annotated[
        bool, typer.Option("--approved", help="Answers that people pinned to a question.")
    ] = False,
    agents: Annotated[
        bool, typer.Option("--agents", help="What people replied to those handed over.")
    ] = False,
    examples: Annotated[
        bool, typer.Option("--examples", help="The example questions of the house policy.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The folder to write.")] = OUT,
    profile: Annotated[str, typer.Option(help="Prompt of the rows: tuned or full.")] = "tuned",
    heldout: Annotated[
        bool, typer.Option("--heldout", help="Also heldout.jsonl, of the suite's report half.")
    ] = False,
    perturb: Annotated[
        int, typer.Option(min=0, help="Copies of each answer with other numbers.")
    ] = 2,
    seed: Annotated[int, typer.Option(help="Splits and copies follow from it.")] = 7,
    as_json: Json = False,
) -> None:
    """Build a dataset: each question asked of the service in this process, its packed passages,
    and the reply that it should get."""
    from models.data import build, seeds
    from models.data.collect import collect
    from models.data.plan import DatasetPlan
    from models.data.vary import rendered
    from models.evaluate.local import open_local
    from models.suite.client import AnswerClient
    from models.suite.suite import load_suite
    from twofold.house_file import load_house
    from twofold.settings import Settings

    if suite is None and not (dialogues or feedback or approved or agents or examples):
        raise InvalidInput(
            "Say what to build from: --suite, --dialogues, --feedback, --approved, --agents,"
            " --examples."
        )
    if heldout and suite is None:
        raise InvalidInput("--heldout takes the report half of a suite: give --suite.")
    # These are no customer's questions: nobody is called.
    settings = Settings().model_copy(update={"handoff_targets": []})
    plan = DatasetPlan(load_house(settings.house_file), _profile(profile), perturb, seed)
    started = time.monotonic()

    async def run() -> "tuple[Built, list[Row]]":
        async with open_local(context.obj, settings).service() as http:
            client = AnswerClient(http)
            found: list[Seed | str] = []
            if suite is not None:
                found += seeds.of_suite(load_suite(suite, "tune"))
            if dialogues is not None:
                found += seeds.of_dialogues(dialogues)
            if feedback:
                found += await seeds.of_feedback(client)
            if approved:
                found += await seeds.of_pinned(client)
            if agents:
                found += await seeds.of_agents(client)
            if examples:
                found += seeds.of_house(plan.house)
            held: list[Seed] = []
            if heldout and suite is not None:
                held += seeds.of_suite(load_suite(suite, "report"))
            with steps() as progress:
                whole = len(found) + len(held)

                def report(before: int) -> Callable[[int], None]:
                    return lambda done: progress("Asking", before + done, whole)

                built = await collect(client, found, plan, report(0))
                kept = await collect(client, held, plan, report(len(found)))
            return built, [rendered(row, plan.house) for row in kept.rows]

    built, kept = asyncio.run(run())
    build.apart(built, kept)
    splits = build.divided(built.rows, plan)
    if kept:
        splits["heldout"] = kept
    splits = {name: build.sound(rows, built, plan) for name, rows in splits.items()}
    manifest = build.write(out, splits, built, plan)
    _show(manifest, out, time.monotonic() - started, as_json)


@dataset.command("lint")
def lint_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A dataset: what `dataset build` wrote.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json of the base model; else an estimate.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest row that fits.")] = 4096,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask whether document versions still answer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Find what is wrong with a dataset: leaked facts, drift, duplicates, broken replies, and more.
    Ends with 1 where something is."""
    from models.data.lint import lint
    from models.data.lint.findings import places
    from models.data.lint.gone import ask_live
    from models.data.lint.length import by_tokenizer, estimated
    from models.data.rows import read_dataset
    from models.evaluate.local import open_local
    from models.suite.client import AnswerClient
    from twofold.house_file import load_house
    from twofold.settings import Settings

    found = read_dataset(folder)
    settings = Settings()
    house = load_house(settings.house_file)

    async def versions() -> "Live":
        async with open_local(context.obj, settings).service() as http:
            return await ask_live(AnswerClient(http), places(found))

    with steps() as progress:
        findings = lint(
            found,
            house,
            live=None if offline else asyncio.run(versions()),
            count=by_tokenizer(tokenizer) if tokenizer else estimated,
            most_tokens=max_tokens,
            progress=lambda done, total: progress("Checking", done, total),
        )
    rows = sum(len(part) for part in found.rows.values())
    if as_json:
        typer.echo(json.dumps({"rows": rows, "findings": [each.data() for each in findings]}))
    else:
        _tell(findings)
        typer.echo(f"{counted(rows, 'row')}, {counted(len(findings), 'finding')}.")
    if findings:
        raise typer.Exit(1)


@dataset.command("refresh")
def refresh_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A dataset: what `dataset build` wrote.")],
    out: Annotated[
        Path | None, typer.Option(help="Write what is left here; without it, only list.")
    ] = None,
    perturb: Annotated[
        int, typer.Option(min=0, help="Copies of each answer with other numbers.")
    ] = 2,
    as_json: Json = False,
) -> None:
    """List the rows that rest on a document which has changed; with --out, ask them of today's
    service again: those whose reply today's passages hold stay, the others are dropped and named.
    """
    from models.data import build
    from models.data.collect import Built
    from models.data.lint.findings import places
    from models.data.lint.gone import ask_live
    from models.data.plan import DatasetPlan
    from models.data.refresh import refreshed, stale
    from models.data.rows import read_dataset
    from models.evaluate.local import open_local
    from models.suite.client import AnswerClient
    from twofold.house_file import load_house
    from twofold.settings import Settings

    found = read_dataset(folder)
    if out is not None and out.resolve() == folder.resolve():
        raise InvalidInput("The old dataset is what a release was trained on: write to another.")
    if out is not None and found.manifest.pairs_of:
        raise InvalidInput(
            f"{folder} holds pairs. Refresh the dataset that they are of, and make them again:"
            " twofold dataset pairs DATASET …"
        )
    settings = Settings().model_copy(update={"handoff_targets": []})
    plan = DatasetPlan(load_house(settings.house_file), found.manifest.profile, perturb,
                found.manifest.seed)  # fmt: skip

    async def run() -> "tuple[list[Stale], Refreshed | None]":
        async with open_local(context.obj, settings).service() as http:
            client = AnswerClient(http)
            live = await ask_live(client, places(found))
            old = list(stale(found, live))
            if out is None:
                return old, None
            with steps() as progress:
                made = await refreshed(
                    client, found, live, plan, lambda n, of: progress("Asking", n, of)
                )
            return old, made

    old, made = asyncio.run(run())
    if as_json:
        typer.echo(json.dumps(_refreshed(old, made)))
    else:
        _tell_stale(old, made)
    if made is not None and out is not None:
        built = Built(left_out=Counter(made.dropped.values()), fingerprint="")
        splits = {name: build.sound(rows, built, plan) for name, rows in made.splits.items()}
        build.write(out, splits, built, plan)


def _refreshed(old: "Sequence[Stale]", made: "Refreshed | None") -> dict[str, Any]:
    listed = [
        {
            "id": each.row.id,
            "file": f"{each.split}.jsonl",
            "documents": [f"{v.document}@{v.number}" for v in each.versions],
            "reply_rests_on_it": each.gold,
        }
        for each in old
    ]
    if made is None:
        return {"stale": listed}
    return {"stale": listed, "renewed": list(made.renewed), "dropped": dict(made.dropped)}


def _tell_stale(old: "Sequence[Stale]", made: "Refreshed | None") -> None:
    for each in old:
        rests = "its reply rests on" if each.gold else "beside its answer stands"
        which = ", ".join(f"{v.document} (version {v.number})" for v in each.versions)
        why = None if made is None else made.dropped.get(each.row.id)
        end = "" if made is None else f": dropped, {why}" if why else ": renewed"
        typer.echo(f"{each.row.id}: {rests} {which}{end}")
    typer.echo(f"{counted(len(old), 'row rests', 'rows rest')} on documents that have changed.")
    if made is None and old:
        typer.echo("Renew or drop them with: twofold dataset refresh FOLDER --out NEW")


@dataset.command("forget")
def forget_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="A dataset: what `dataset build` wrote.")],
) -> None:
    """Take out the rows of conversations that were deleted since. Run it after a deletion, before a
    training; a model that was trained on them is to be trained again."""
    from models.data.forget import erased, forget
    from models.data.rows import read_dataset
    from models.evaluate.local import open_local
    from models.suite.client import AnswerClient
    from twofold.settings import Settings

    found = read_dataset(folder)

    async def gone() -> "list[Row]":
        async with open_local(context.obj, Settings()).service() as http:
            return await erased(AnswerClient(http), found)

    rows = asyncio.run(gone())
    if rows:
        forget(found, rows)
    for row in rows:
        typer.echo(f"out: {row.id}")
    typer.echo(f"Taken out of {folder}: {counted(len(rows), 'row')} of deleted conversations.")


def _tell(findings: "Sequence[RowFinding]") -> None:
    from rich.console import Console

    console = Console()
    for each in findings:
        console.print(f"{each.file}:{each.line}: {each.concern}: {each.reason}", highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip
        console.print(f"    {each.id}  {each.fix}".rstrip(), highlight=False, markup=False,
                      soft_wrap=True)  # fmt: skip


def _show(manifest: "Manifest", out: Path, seconds: float, as_json: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from models.data.target import GOLD_NOT_PACKED, NOT_HELD

    if as_json:
        data: dict[str, Any] = {"folder": str(out), "seconds": round(seconds, 1)}
        typer.echo(json.dumps(data | manifest.model_dump()))
        return
    console = Console()
    table = Table("file", "rows", "actions", "made of others")
    for name, file in manifest.files.items():
        made = {how: n for how, n in file.made.items() if how}
        table.add_row(name, f"{file.rows:,}", _counts(file.actions), _counts(made))
    console.print(table)
    shares = Table("kind", "share wanted", "reached")
    for kind, share in manifest.wanted.items():
        shares.add_row(kind, f"{share:.2f}", f"{manifest.reached[kind]:.2f}")
    console.print(shares)
    for why, n in manifest.left_out.items():
        console.print(f"{n} left out: {why}", highlight=False)
    if unfound := sum(manifest.left_out.get(why, 0) for why in (GOLD_NOT_PACKED, NOT_HELD)):
        stand = counted(unfound, "reply stands", "replies stand")
        typer.echo(
            f"{stand} in no passage that search packed. That is a matter of"
            " retrieval, which no training mends: twofold eval answers SUITE --failures FILE"
        )
    typer.echo(f"{out}, in {seconds:.0f} s. Check it with: twofold dataset lint {out}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _profile(name: str) -> "Profile":
    if name == "tuned":
        return "tuned"
    if name == "full":
        return "full"
    raise InvalidInput(f"There is no prompt profile {name!r}: tuned or full.")
