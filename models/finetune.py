"""`twofold train`: a dataset and a base become an adapter.

    check -> tokenize -> estimate -> train -> ask a sample -> write, the manifest last

Everything that can be refused is refused before the first step. A killed run goes on from its last
whole checkpoint. torch and its like are imported only once they are known to be there.
"""

import importlib.util
import shutil
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Union

from pydantic import BaseModel, ConfigDict

from models import manifest as adapters
from models.data.rows import Dataset, Row, read_dataset
from models.manifest import AdapterManifest, Counts, DatasetRef, Metrics
from models.recipes import Recipe
from models.train_base import Found, find_base
from models.train_rows import Encoded, encode_all, prompt_ids
from twofold.errors import Conflict, InvalidInput, SetupError
from twofold.house import HousePolicy
from twofold.prompt import prompt_digest

if TYPE_CHECKING:
    from models.train_estimate import Estimate
    from models.train_run import Progress, Trained

LIBRARIES = ("torch", "transformers", "trl", "peft")
_CHECKPOINTS = "checkpoints"
_RUN = "run.json"
_CARD = "README.md"


class Asked(NamedTuple):
    """So many eval prompts were answered by the tuned model, to see who keeps the contract."""

    done: int
    total: int


Report = Callable[[Union["Estimate", "Progress", Asked]], None]


class Job(NamedTuple):
    """What to train from what. `base` is a folder or a hub name."""

    dataset: Path
    base: str
    recipe: Recipe
    out: Path
    house: HousePolicy
    seed: int = 0
    resume: bool = False


class _Run(BaseModel):
    """What must be the same for a run to be gone on with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    dataset: str
    recipe: Recipe
    seed: int


def finetune(job: Job, report: Report) -> AdapterManifest:
    """Train an adapter into `job.out`. With `resume`, one that is finished is only read.

    Raises SetupError without torch; NotFound, InvalidInput or Conflict, saying what to do.
    """
    need_libraries()
    dataset = read_dataset(job.dataset)
    _check(dataset, job)
    found = find_base(job.base)
    _check_length(found, job.recipe)
    rows = encode_all(found.tokenizer, dataset.rows["train"], job.recipe)
    evals = encode_all(found.tokenizer, dataset.rows["eval"], job.recipe)
    run = _Run(base=found.base.sha256, dataset=dataset.sha256, recipe=job.recipe, seed=job.seed)
    checkpoints = job.out / _CHECKPOINTS
    if not _finished(job, run, checkpoints):
        _train(job, dataset, found, rows, evals, checkpoints, report)
    shutil.rmtree(checkpoints, ignore_errors=True)
    return adapters.read_adapter(job.out)


def need_libraries() -> None:
    """Raises SetupError where training's libraries are not installed."""
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise SetupError(
            f"Training needs {', '.join(missing)}, which this environment lacks. Make one that has "
            "them with: make .venv/.train. Then run .venv-train/bin/twofold train"
        )


def _check(dataset: Dataset, job: Job) -> None:
    made, today = dataset.manifest, prompt_digest(job.house, dataset.manifest.profile)
    if (made.prompt, made.house) != (today, job.house.digest):
        changed = "house policy" if made.house != job.house.digest else "prompt"
        raise InvalidInput(
            f"The {changed} changed since {job.dataset} was built (its prompt is {made.prompt}, "
            f"today's is {today}): an adapter of it would be served a prompt it has never seen. "
            f"Build it again: twofold dataset build --out {job.dataset}"
        )
    for split in ("train", "eval"):
        if not dataset.rows[split]:
            raise InvalidInput(
                f"{job.dataset} has no {split} rows. Build it from more sources: twofold dataset "
                f"build --out {job.dataset}"
            )


def _check_length(found: Found, recipe: Recipe) -> None:
    if recipe.max_length > found.limit:
        raise InvalidInput(
            f"Recipe {recipe.name} allows rows of {recipe.max_length:,} tokens, but "
            f"{found.base.name} attends to {found.limit:,}. Lower max_length in a recipe of your "
            "own."
        )


def _finished(job: Job, run: _Run, checkpoints: Path) -> bool:
    """Whether the adapter is there already; else `checkpoints` is made ready for this run.

    Raises Conflict where the folder holds another run, or this one and `resume` was not asked for.
    """
    started = checkpoints / _RUN
    if (job.out / adapters.MANIFEST).exists():
        made = adapters.read_adapter(job.out)
        there, what = (
            _Run(
                base=made.base.sha256,
                dataset=made.dataset.sha256,
                recipe=made.recipe,
                seed=made.seed,
            ),
            "a finished adapter",
        )
    elif started.exists():
        there, what = _Run.model_validate_json(started.read_bytes()), "an unfinished run"
    else:
        checkpoints.mkdir(parents=True, exist_ok=True)
        partial = started.with_suffix(".partial")
        partial.write_text(run.model_dump_json(), encoding="utf-8")
        partial.replace(started)
        return False
    if not job.resume:
        raise Conflict(f"{job.out} holds {what}. Go on with --resume, or take another --out.")
    other = [name for name in _Run.model_fields if getattr(there, name) != getattr(run, name)]
    if other:
        raise Conflict(
            f"{job.out} holds {what} with another {' and '.join(other)}. Take another --out, or "
            "go on with what it was started with."
        )
    return what == "a finished adapter"


def _train(
    job: Job,
    dataset: Dataset,
    found: Found,
    rows: list[Encoded],
    evals: list[Encoded],
    checkpoints: Path,
    report: Report,
) -> None:
    from models import train_run

    trained = train_run.train(
        found.base.path, found.tokenizer, rows, evals, job.recipe, job.seed, checkpoints, report
    )
    kept = _completion_format(job, dataset.rows["eval"], found, trained, report)
    trained.model.save_pretrained(job.out)
    (job.out / _CARD).unlink(missing_ok=True)  # PEFT's empty form; the manifest says it all
    made = dataset.manifest
    adapters.write_adapter(
        job.out,
        AdapterManifest(
            name=job.out.resolve().name,
            created=time.time(),
            base=found.base,
            dataset=DatasetRef(path=str(job.dataset), sha256=dataset.sha256),
            profile=made.profile,
            prompt=made.prompt,
            house=made.house,
            fingerprint=made.fingerprint,
            recipe=job.recipe,
            seed=job.seed,
            rows=Counts(train=len(rows), eval=len(evals)),
            tokens=trained.tokens,
            steps=trained.steps,
            metrics=Metrics(
                train_loss=trained.train_loss,
                eval_loss=trained.eval_loss,
                completion_format=kept,
            ),
            seconds=trained.seconds,
            versions={name: version(name) for name in LIBRARIES},
            sha256=adapters.file_sha256(job.out / adapters.WEIGHTS),
        ),
    )


def _completion_format(
    job: Job, rows: Sequence[Row], found: Found, trained: "Trained", report: Report
) -> float | None:
    """Share of a sample's replies that keep the contract; None where the recipe takes no sample."""
    from models import train_format, train_pass

    size = min(job.recipe.format_sample, len(rows))
    if not size:
        return None
    sample = [rows[at * len(rows) // size] for at in range(size)]
    with train_pass.passes(trained.model, train_pass.precision(job.recipe)):
        replies = train_format.replies(
            trained.model,
            found.tokenizer,
            [prompt_ids(found.tokenizer, row) for row in sample],
            job.recipe.max_new_tokens,
            lambda done: report(Asked(done, size)),
        )
    kept = [
        reply is not None and train_format.keeps_contract(reply, job.house.reason_teams)
        for reply in replies
    ]
    return sum(kept) / size
