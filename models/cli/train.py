"""The command `twofold train`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twofold.counted import counted
from twofold.terminal import bars

if TYPE_CHECKING:
    from rich.progress import Progress

_GB = 1e9


def register(app: typer.Typer) -> None:
    app.command("train")(train)


def train(
    dataset: Annotated[Path, typer.Argument(help="What `twofold dataset build` wrote.")],
    base: Annotated[str, typer.Option(help="The model to tune: a folder, or a hub name.")],
    recipe: Annotated[str, typer.Option(help="A shipped recipe's name, or a YAML file.")],
    out: Annotated[Path, typer.Option(help="Folder for the adapter.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a stop.")] = False,
    start: Annotated[
        Path | None, typer.Option(help="An adapter on the same base to go on from; for pairs.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same adapter.")] = 0,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Progress as JSON lines on stderr, the manifest on stdout."),
    ] = False,
) -> None:
    """Train an adapter on a dataset's replies: how to answer, never what. On pairs, what `twofold
    dataset pairs` wrote, it is the preference step."""
    from models.recipes import load_recipe
    from models.training.finetune import TrainingJob, finetune
    from twofold.house_file import load_house
    from twofold.settings import Settings

    house = load_house(Settings().house_file)
    job = TrainingJob(dataset, base, load_recipe(recipe), out, house, seed, resume, start)
    if as_json:
        made = finetune(job, _lines)
        typer.echo(made.model_dump_json())
        return
    with bars() as bar:
        made = finetune(job, _shown(bar))
    metrics = made.metrics
    typer.echo(
        f"{out}: {counted(made.steps, 'step')}, {counted(made.tokens, 'token')},"
        f" {_time(made.seconds)}; eval loss {metrics.eval_loss:.3f}"
    )
    if metrics.completion_format is not None:
        typer.echo(
            f"Replies to eval prompts that keep the contract: {metrics.completion_format:.0%}"
        )
    if metrics.margins is not None:
        before, after = metrics.margins
        typer.echo(
            "The approved reply of an eval pair is likelier than the rejected by"
            f" {before:.1f} nats before, {after:.1f} after. Whether it is kept, says:"
            " twofold gate NAME"
        )


def _lines(event: Any) -> None:
    """Prints one JSON object a line: its name as `event`, and what it has to say."""
    from models.training.events import NAMES

    typer.echo(json.dumps({"event": NAMES[type(event)]} | event._asdict()), err=True)


def _shown(bar: "Progress") -> Callable[[Any], None]:
    """Returns a callback that shows a person the estimate, a bar, and a line at each new eval
    loss."""
    from models.training.events import Compared, Needs, Sampled

    task = bar.add_task("Loading", total=None)
    evals: list[float] = []

    def show(event: Any) -> None:
        if isinstance(event, Sampled | Compared):
            what = "Asking" if isinstance(event, Sampled) else "Reading pairs"
            bar.update(task, description=what, completed=event.done, total=event.total)
            return
        if isinstance(event, Needs):
            bar.console.print(_estimated(event), highlight=False)
            return
        loss = "" if event.loss is None else f" loss {event.loss:.3f},"
        speed = f"{event.tokens_per_second:,.0f} tokens/s"
        bar.update(
            task, description=f"Training:{loss} {speed}", completed=event.step, total=event.steps
        )
        if event.eval_loss is not None and evals[-1:] != [event.eval_loss]:
            evals.append(event.eval_loss)
            bar.console.print(
                f"step {event.step}/{event.steps}:{loss} eval loss {event.eval_loss:.3f}, {speed}, "
                f"{_time(event.seconds_left)} left",
                highlight=False,
            )

    return show


def _estimated(it: Any) -> str:
    lines = [
        f"{it.parameters / 1e6:,.1f}M parameters, {it.trained / 1e6:,.2f}M of them trained, "
        f"on {it.device} in {it.dtype}",
        f"memory: {it.memory / _GB:,.2f} GB (weights {it.weights / _GB:,.2f}, optimizer "
        f"{it.optimizer / _GB:,.2f}, longest pass of {it.longest:,} tokens "
        f"{it.activations / _GB:,.2f}); {it.available / _GB:,.1f} GB free",
        f"time: about {_time(it.seconds)} ({counted(it.tokens, 'token')} at "
        f"{it.tokens_per_second:,.0f} a second, evals included), less if it stops early",
    ]
    if it.memory > it.available:
        lines.append(
            "This is more memory than is free: lower max_length, set gradient_checkpointing, or "
            "take a smaller base."
        )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
