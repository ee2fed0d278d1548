"""`twofold model economics`: what an answer costs, and from which volume on tuning pays."""

import asyncio
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from models.cli.release import model
from twofold.counted import counted
from twofold.errors import InvalidInput
from twofold.options import Json
from twofold.terminal import steps

if TYPE_CHECKING:
    from models.data.rows import Row
    from models.economics import Measured, PricedArm
    from models.stats import Estimate
    from twofold.policy import HousePolicy
    from twofold.prompt import Profile
    from twofold.settings import Settings

MONTH_S = 30 * 86400.0
QUALITY = ("contract", "action", "citation_recall", "facts")
"""Of the gate's figures, those that an answer's price is held against."""
BASE, SHOTS, TUNED = "base, full", "base, full and few-shot", "tuned"


class MeasuredArm(NamedTuple):
    """What a server with one prompt took, and what its replies were worth."""

    measured: "Measured"
    quality: "dict[str, Estimate]"

    def data(self) -> dict[str, Any]:
        return {
            **self.measured._asdict(),
            "answers_per_hour": self.measured.answers_per_hour,
            "quality": {name: each.data() for name, each in self.quality.items()},
        }


def register() -> None:
    model.command("economics")(economics)


def economics(
    dataset: Annotated[Path, typer.Argument(help="Rows with a held-out part: what is asked.")],
    tokenizer: Annotated[
        Path | None, typer.Option(help="tokenizer.json of the model; else an estimate.")
    ] = None,
    price_read: Annotated[
        float, typer.Option(help="The larger model: dollars for a million prompt tokens.")
    ] = 0.0,
    price_cached: Annotated[
        float, typer.Option(help="The same where they come from its prefix cache.")
    ] = 0.0,
    price_written: Annotated[float, typer.Option(help="And for a million it writes.")] = 0.0,
    machine_hour: Annotated[
        float, typer.Option(help="Dollars an hour of the machine that serves a model of your own.")
    ] = 0.0,
    base_url: Annotated[
        str, typer.Option(help="A vLLM with the base: measured with both long prompts.")
    ] = "",
    tuned_url: Annotated[str, typer.Option(help="A vLLM with the adapter merged: measured.")] = "",
    rows: Annotated[int, typer.Option(min=1, help="Held-out rows that a server is asked.")] = 40,
    training_hours: Annotated[float, typer.Option(help="Machine hours of one training.")] = 1.0,
    people_hours: Annotated[float, typer.Option(help="Hours of people on rows and gate.")] = 24.0,
    wage: Annotated[float, typer.Option(help="Dollars an hour of theirs.")] = 60.0,
    runs_per_month: Annotated[float, typer.Option(help="Trainings a month, later on.")] = 1.0,
    months: Annotated[float, typer.Option(help="Over how many months it has to pay.")] = 12.0,
    from_answers: Annotated[
        bool, typer.Option("--from-answers", help="Your own traffic: the ledger's last 30 days.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count and measure what each way to answer costs, with prefix caching counted in.

    Prices are yours to give: nothing here knows them. Without one, tokens are told and no dollars.
    """
    from models import economics as sums
    from models.data.lint.length import by_tokenizer, estimated
    from models.data.rows import read_dataset
    from twofold.house_file import load_house
    from twofold.settings import Settings

    settings = Settings()
    house = load_house(settings.house_file)
    found = read_dataset(dataset)
    asked, train = list(found.rows["heldout"]), found.rows["train"]
    count = by_tokenizer(tokenizer) if tokenizer else estimated
    examples = sums.shown(train)
    full = sums.tokens(asked, "full", house, count)
    shots = sums.few_shot(full, examples, count)
    tuned = sums.tokens(asked, "tuned", house, count)
    price = sums.Price(price_read, price_cached, price_written) if price_read else None
    seen: dict[str, MeasuredArm] = {}
    if base_url:
        seen[BASE] = _ask(base_url, asked, rows, "full", house)
        seen[SHOTS] = _ask(base_url, asked, rows, "full", house, examples)
    if tuned_url:
        seen[TUNED] = _ask(tuned_url, asked, rows, "tuned", house)

    def machine(name: str) -> sums.Machine | None:
        if not machine_hour or name not in seen:
            return None
        return sums.Machine(machine_hour, seen[name].measured.answers_per_hour)

    arms = [
        sums.PricedArm(BASE, full, machine=machine(BASE)),
        sums.PricedArm(SHOTS, shots, machine=machine(SHOTS)),
        sums.PricedArm(TUNED, tuned, machine=machine(TUNED)),
        sums.PricedArm("larger model, full", full, price),
        sums.PricedArm("larger model, few-shot", shots, price),
    ]
    effort = sums.Effort(training_hours, machine_hour, people_hours, wage, runs_per_month)
    even = sums.break_even(arms[2], arms[3], effort, months)
    volume = _volume(settings) if from_answers else None
    if as_json:
        told = {
            "arms": sums.data(arms),
            "measured": {name: each.data() for name, each in seen.items()},
            "first_cost": effort.first,
            "monthly_cost": effort.monthly,
            "break_even_answers_per_month": even,
            "answers_last_30_days": volume,
        }
        typer.echo(json.dumps(told))
        return
    _show(arms, seen)
    typer.echo(
        f"Tuning costs ${effort.first:,.0f} once and ${effort.monthly:,.2f} a month beside serving."
    )
    _tell(even, volume, months)


def _ask(
    url: str,
    rows: "Sequence[Row]",
    sample: int,
    profile: "Profile",
    house: "HousePolicy",
    shown: str = "",
) -> MeasuredArm:
    """Returns the server's own counters over a fixed sample of rows, and the gate's figures of
    its replies."""
    from models.cli.gate import MOST_TOKENS
    from models.economics import between, read_metrics
    from models.gate.arms import ArmReply, ModelArm, patient
    from models.gate.judge import estimates, judge
    from models.serve.vllm import Vllm
    from twofold.clients.chat import ChatModel, ModelServer

    with Vllm(url) as admin:
        name = next(name for name, each in admin.served().items() if not each.parent)
    before, begun = read_metrics(url), time.monotonic()
    server = ModelServer(url.rstrip("/").removesuffix("/v1"))
    model = patient(ChatModel(server, name))
    arm = ModelArm(name, model, profile, house, sample, MOST_TOKENS, shown)
    asked = arm.among(rows)

    async def run() -> list[ArmReply]:
        try:
            with steps() as progress:
                return await arm.ask(asked, progress)
        finally:
            await server.aclose()

    said = asyncio.run(run())
    measured = between(before, read_metrics(url), time.monotonic() - begun)
    judged = [judge(row, reply, house) for row, reply in zip(asked, said, strict=True)]
    found = estimates(judged)
    return MeasuredArm(measured, {name: found[name] for name in QUALITY})


def _volume(settings: "Settings") -> int:
    """Answers of the last 30 days. Raises InvalidInput where there are none."""
    from sqlalchemy import func, select

    from twofold.ledger import Ledger
    from twofold.ledger.models import Answer

    with Ledger(settings.ledger).session() as session:
        since = time.time() - MONTH_S
        found = session.scalar(
            select(func.count()).select_from(Answer).where(Answer.created_at >= since)
        )
    if not found:
        raise InvalidInput(
            "The ledger has no answers of the last 30 days: --from-answers counts your own traffic."
        )
    return int(found)


def _show(arms: "Sequence[PricedArm]", seen: "dict[str, MeasuredArm]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("arm", "prompt tokens", "of them shared", "written", "$ for 1,000", "uncached")
    for arm in arms:
        table.add_row(
            arm.name, f"{arm.tokens.prompt:,.0f}", f"{arm.tokens.shared:,.0f}",
            f"{arm.tokens.completion:,.0f}", _dollars(arm.per_thousand),
            _dollars(arm.uncached_per_thousand),
        )  # fmt: skip
    console = Console()
    console.print(table)
    if seen:
        heads = ("calls", "read", "cache hits", "written", "first token", "answers an hour")
        told = Table("measured", *heads, *QUALITY)
        for name, (each, quality) in seen.items():
            told.add_row(
                name, f"{each.calls}", f"{each.read:,.0f}", f"{each.hit_share:.0%}",
                f"{each.written:,.0f}", f"{each.first_token_s:.2f} s",
                f"{each.answers_per_hour:,.0f}", *(_share(quality[q]) for q in QUALITY),
            )  # fmt: skip
        console.print(told)


def _share(found: "Estimate") -> str:
    return f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def _dollars(value: float | None) -> str:
    return "-" if value is None else f"${value:,.3f}"


def _tell(even: float | None, volume: int | None, months: float) -> None:
    if even is None:
        typer.echo(
            "There is no break-even: prices are missing, or the tuned model's answer costs as much."
        )
    else:
        typer.echo(f"Over {months:g} months it pays from {even:,.0f} answers a month on.")
    if volume is not None:
        verdict = (
            "" if even is None else (" It pays." if volume >= even else " It does not pay yet.")
        )
        typer.echo(f"Your last 30 days: {counted(volume, 'answer')}.{verdict}")
