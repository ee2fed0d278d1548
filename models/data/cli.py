"""`twofold dataset build` and `twofold dataset lint`."""

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from models.data import build, seeds
from models.data.collect import Built, collect
from models.data.lint import Finding, lint
from models.data.lint.findings import places
from models.data.lint.gone import Live, ask_live
from models.data.lint.length import by_tokenizer, estimated
from models.data.plan import Plan
from models.data.rows import Manifest, Row, read_dataset
from models.data.seeds import Seed
from models.data.vary import rendered
from models.evaluate.client import AnswerClient
from models.evaluate.local import open_local
from models.evaluate.show import bar
from models.evaluate.suite import load_suite
from twofold.errors import InvalidInput
from twofold.house import load_house
from twofold.prompt import Profile
from twofold.settings import Settings

dataset = typer.Typer(no_args_is_help=True, help="Make and check what a model is trained on.")
OUT = Path("dataset")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]


def register(app: typer.Typer) -> None:
    app.add_typer(dataset, name="dataset")


@dataset.command("build")
def build_command(
    suite: Annotated[
        Path | None, typer.Option(help="An eval suite: its tune half becomes rows.")
    ] = None,
    dialogues: Annotated[
        Path | None, typer.Option(help="A YAML file of approved conversations.")
    ] = None,
    feedback: Annotated[
        bool, typer.Option("--feedback", help="Answers that people rated up.")
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
    as_json: AsJson = False,
) -> None:
    """Build a dataset: each question asked of the service in this process, its packed passages,
    and the reply that it should get."""
    if suite is None and not (dialogues or feedback or agents or examples):
        raise InvalidInput(
            "Say what to build from: --suite, --dialogues, --feedback, --agents, --examples."
        )
    if heldout and suite is None:
        raise InvalidInput("--heldout takes the report half of a suite: give --suite.")
    # What is asked here is no customer's question: nobody is to be told of it.
    settings = Settings().model_copy(update={"handoff_targets": []})
    plan = Plan(load_house(settings.house), _profile(profile), perturb, seed)
    started = time.monotonic()

    async def run() -> tuple[Built, list[Row]]:
        async with open_local(settings).service() as http:
            client = AnswerClient(http)
            found: list[Seed | str] = []
            if suite is not None:
                found += seeds.of_suite(load_suite(suite, "tune"))
            if dialogues is not None:
                found += seeds.of_dialogues(dialogues)
            if feedback:
                found += await seeds.of_feedback(client)
            if agents:
                found += await seeds.of_agents(client)
            if examples:
                found += seeds.of_house(plan.house)
            held: list[Seed] = []
            if heldout and suite is not None:
                held += seeds.of_suite(load_suite(suite, "report"))
            with bar() as progress:
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
    folder: Annotated[Path, typer.Argument(help="A dataset: what `dataset build` wrote.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json of the base model; else an estimate.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest row that fits.")] = 4096,
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not ask whether document versions still answer.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with a dataset: leaked facts, drift, duplicates, broken replies, and more.
    Ends with 1 where something is."""
    found = read_dataset(folder)
    settings = Settings()
    house = load_house(settings.house)

    async def versions() -> Live:
        async with open_local(settings).service() as http:
            return await ask_live(AnswerClient(http), places(found))

    with bar() as progress:
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
        typer.echo(f"{rows:,} rows, {len(findings):,} findings.")
    if findings:
        raise typer.Exit(1)


def _tell(findings: Sequence[Finding]) -> None:
    console = Console()
    for each in findings:
        console.print(f"{each.file}:{each.line}: {each.concern}: {each.reason}", highlight=False,
                      markup=False, soft_wrap=True)  # fmt: skip
        console.print(f"    {each.id}  {each.fix}".rstrip(), highlight=False, markup=False,
                      soft_wrap=True)  # fmt: skip


def _show(manifest: Manifest, out: Path, seconds: float, as_json: bool) -> None:
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
    typer.echo(f"{out}, in {seconds:.0f} s. Check it with: twofold dataset lint {out}")


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in counts.items())


def _profile(name: str) -> Profile:
    if name == "tuned":
        return "tuned"
    if name == "full":
        return "full"
    raise InvalidInput(f"There is no prompt profile {name!r}: tuned or full.")
