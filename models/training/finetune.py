"""`twofold train`: a dataset and a base become an adapter; pairs and an adapter, another one.

    check -> tokenize -> estimate -> train -> ask a sample -> write, the manifest last

Everything that can be refused is refused before the first step. A killed run goes on from its last
whole checkpoint. torch and its like are imported only once they are known to be there.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from models import manifest as adapters
from models.data.rows import Dataset, Row, read_dataset
from models.manifest import AdapterManifest, Counts, DatasetRef, Metrics
from models.recipes import Recipe
from models.training.base import (
    LIBRARIES,
    BaseFiles,
    find_base,
    load_tokenizer,
    need_four_bits,
    need_libraries,
)
from models.training.events import Report, Sampled
from models.training.rows import Encoded, EncodedPair, encode_all, encode_pairs, prompt_ids
from twofold.errors import Conflict, InvalidInput
from twofold.policy import HousePolicy
from twofold.prompt import prompt_digest

if TYPE_CHECKING:
    from models.training.run import Trained

_CHECKPOINTS = "checkpoints"
_RUN = "run.json"
_CARD = "README.md"
_TEMPLATE = "chat_template.jinja"


class TrainingJob(NamedTuple):
    """What to train from what. `base` is a folder or a hub name."""

    dataset: Path
    base: str
    recipe: Recipe
    out: Path
    house: HousePolicy
    seed: int = 0
    resume: bool = False
    start: Path | None = None
    """An adapter on the same base to go on from. Pairs need one: it is what their loss is held
    against."""


class _Run(BaseModel):
    """What must be the same for a run to be gone on with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    dataset: str
    recipe: Recipe
    seed: int
    start: str = ""


def finetune(job: TrainingJob, report: Report) -> AdapterManifest:
    """Trains an adapter into `job.out`. With `resume`, one that is finished is only read.

    Raises NotFound, InvalidInput, Conflict, or SetupError without torch; each says what to do.
    """
    dataset = read_dataset(job.dataset)
    _check(dataset, job)
    pairs = any(row.rejected for rows in dataset.rows.values() for row in rows)
    recipe = _on_pairs(job) if pairs else job.recipe
    found = find_base(job.base)
    _check_length(found, job.recipe)
    run = _Run(
        base=found.base.sha256,
        dataset=dataset.sha256,
        recipe=job.recipe,
        seed=job.seed,
        start=_start_sha256(job.start, found),
    )
    checkpoints = job.out / _CHECKPOINTS
    if _finished(job, run):
        shutil.rmtree(checkpoints, ignore_errors=True)
        return adapters.read_adapter(job.out)
    need_libraries()
    if job.recipe.quantize != "none":
        need_four_bits()
    # Threads that spin while they wait cost tenfold where other work shares the cores.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    tokenizer = load_tokenizer(found)
    encoded = encode_pairs if pairs else encode_all
    rows, evals = (encoded(tokenizer, dataset.rows[name], recipe) for name in ("train", "eval"))
    with _alone(job.out):
        _start(checkpoints, run)
        _train(job, dataset, recipe, found, tokenizer, rows, evals, report)
        shutil.rmtree(checkpoints, ignore_errors=True)
    return adapters.read_adapter(job.out)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Lets one run at a time work in a folder: two would take each other's checkpoints for their
    own."""
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(
                f"Another process trains into {out} just now. Wait for it, or take another --out."
            ) from None
        yield
    finally:
        os.close(folder)


def _check(dataset: Dataset, job: TrainingJob) -> None:
    made, today = dataset.manifest, prompt_digest(job.house, dataset.manifest.profile)
    again = f"twofold dataset build --out {job.dataset}"
    if made.pairs_of:
        again = f"twofold dataset build, and of it twofold dataset pairs --out {job.dataset}"
    if (made.prompt, made.house) != (today, job.house.digest):
        changed = "house policy" if made.house != job.house.digest else "prompt"
        raise InvalidInput(
            f"The {changed} changed since {job.dataset} was built (its prompt is {made.prompt}, "
            f"today's is {today}): an adapter of it would be served a prompt it has never seen. "
            f"Build it again: {again}"
        )
    for split in ("train", "eval"):
        if not dataset.rows[split]:
            raise InvalidInput(
                f"{job.dataset} has no {split} rows. Build it from more sources: {again}"
            )


def _on_pairs(job: TrainingJob) -> Recipe:
    if job.start is None:
        raise InvalidInput(
            f"{job.dataset} holds pairs: they are for an adapter that has learnt from rows. Name it"
            " with --start."
        )
    return job.recipe.on_pairs()


def _check_length(found: BaseFiles, recipe: Recipe) -> None:
    if recipe.max_length > found.limit:
        raise InvalidInput(
            f"Recipe {recipe.name} allows rows of {recipe.max_length:,} tokens, but "
            f"{found.base.name} attends to {found.limit:,}. Lower max_length in a recipe of your "
            "own."
        )


def _start_sha256(start: Path | None, found: BaseFiles) -> str:
    """Raises InvalidInput where the adapter to go on from was made upon another base."""
    if start is None:
        return ""
    made = adapters.read_adapter(start)
    if made.base.sha256 != found.base.sha256:
        raise InvalidInput(
            f"{start} was made upon {made.base.name} with other weights than {found.base.path} has."
            " An adapter goes on only upon its own base."
        )
    return made.sha256


def _finished(job: TrainingJob, run: _Run) -> bool:
    """Returns whether the adapter is there already. Raises Conflict where the folder holds
    another run, or this one and `resume` was not asked for."""
    started = job.out / _CHECKPOINTS / _RUN
    finished = (job.out / adapters.MANIFEST).exists()
    if not finished and not started.exists():
        return False
    if finished:
        made = adapters.read_adapter(job.out)
        base, dataset = made.base.sha256, made.dataset.sha256
        there = _Run(
            base=base, dataset=dataset, recipe=made.recipe, seed=made.seed, start=made.start
        )
    else:
        there = _Run.model_validate_json(started.read_bytes())
    what = "a finished adapter" if finished else "an unfinished run"
    if not job.resume:
        raise Conflict(f"{job.out} holds {what}. Go on with --resume, or take another --out.")
    other = [name for name in _Run.model_fields if getattr(there, name) != getattr(run, name)]
    if other:
        raise Conflict(
            f"{job.out} holds {what} with another {' and '.join(other)}. Take another --out, or "
            "go on with what it was started with."
        )
    return finished


def _start(checkpoints: Path, run: _Run) -> None:
    checkpoints.mkdir(parents=True, exist_ok=True)
    partial = checkpoints / f"{_RUN}.partial"
    partial.write_text(run.model_dump_json(), encoding="utf-8")
    partial.replace(checkpoints / _RUN)


def _train(
    job: TrainingJob,
    dataset: Dataset,
    recipe: Recipe,
    found: BaseFiles,
    tokenizer: Any,
    rows: Sequence[Encoded] | Sequence[EncodedPair],
    evals: Sequence[Encoded] | Sequence[EncodedPair],
    report: Report,
) -> None:
    from models.training import run

    trained = run.train(
        found.base.path,
        tokenizer,
        rows,
        evals,
        recipe,
        job.seed,
        job.out / _CHECKPOINTS,
        report,
        job.start,
    )
    kept = _completion_format(job, dataset.rows["eval"], tokenizer, trained, report)
    trained.model.save_pretrained(job.out)
    (job.out / _CARD).unlink(missing_ok=True)  # PEFT's empty form; the manifest says it all
    # A server must render prompts with the template that was trained with, whatever base it loads.
    (job.out / _TEMPLATE).write_text(tokenizer.get_chat_template(), encoding="utf-8")
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
            start=_start_sha256(job.start, found),
            rows=Counts(train=len(rows), eval=len(evals)),
            tokens=trained.tokens,
            steps=trained.steps,
            metrics=Metrics(
                train_loss=trained.train_loss,
                eval_loss=trained.eval_loss,
                completion_format=kept,
                margins=trained.margins,
            ),
            seconds=trained.seconds,
            versions={name: version(name) for name in LIBRARIES},
            sha256=adapters.file_sha256(job.out / adapters.WEIGHTS),
        ),
    )


def _completion_format(
    job: TrainingJob, rows: Sequence[Row], tokenizer: Any, trained: "Trained", report: Report
) -> float | None:
    """Returns share of a sample's replies that keep the contract; None where the recipe takes no
    sample."""
    from models.training.replies import keeps_contract, replies

    size = min(job.recipe.format_sample, len(rows))
    if not size:
        return None
    sample = [rows[at * len(rows) // size] for at in range(size)]
    written = replies(
        trained.model,
        tokenizer,
        [prompt_ids(tokenizer, row) for row in sample],
        job.recipe.max_new_tokens,
        lambda done: report(Sampled(done, size)),
    )
    kept = [
        reply is not None and keeps_contract(reply, job.house.reason_teams) for reply in written
    ]
    return sum(kept) / size
