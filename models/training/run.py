"""The training itself, on TRL's SFTTrainer with a LoRA of PEFT. Importing this imports torch.

Where the time goes on a CPU, and what is done about it: rows are never padded (one row in a pass,
or packed); logits are made only where a reply stands; and LoRA's inputs stay in bfloat16.
"""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import torch
from peft import LoraConfig, PeftModel
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    EarlyStoppingCallback,
    PrinterCallback,
    TrainerCallback,
    set_seed,
)
from trl import SFTConfig, SFTTrainer

from models.recipes import Preference, Recipe
from models.training.estimate import measure
from models.training.events import Compared, Progress, Report
from models.training.passes import lean, pair_log_probs, precision, preference_loss, reply_loss
from models.training.rows import Encoded, EncodedPair
from twofold.errors import InvalidInput

_KEPT = 2
"""Checkpoints kept: the best and the last."""
_REFERENCE = "reference.json"


class Trained(NamedTuple):
    """What a finished run came to. `model` holds the weights of the best eval loss."""

    model: Any
    tokens: int
    steps: int
    seconds: float
    train_loss: float
    eval_loss: float
    margins: tuple[float, float] | None
    """Of eval pairs, before and after; None where rows were trained on."""


def train(
    base: str,
    tokenizer: Any,
    rows: Sequence[Encoded] | Sequence[EncodedPair],
    evals: Sequence[Encoded] | Sequence[EncodedPair],
    recipe: Recipe,
    seed: int,
    checkpoints: Path,
    report: Report,
    start: Path | None = None,
) -> Trained:
    """Trains a LoRA on `base` (a folder or hub name), from the last whole checkpoint if any,
    else from the adapter in `start`, else from nothing. Raises InvalidInput where that has
    another shape than the recipe."""
    set_seed(seed)
    datasets.disable_progress_bars()
    model = AutoModelForCausalLM.from_pretrained(
        base,
        dtype=precision(recipe),
        attn_implementation=recipe.attention,
        quantization_config=_quantized(recipe),
    )
    lora = _lora(recipe, model)
    if start is not None:
        model = _going_on(model, start, lora)
    watch = _Watch(report)
    pairs = isinstance(rows[0], EncodedPair)
    trainer = (_PairTrainer if pairs else _Trainer)(
        model=model,
        args=_arguments(recipe, seed, checkpoints),
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(evals),
        processing_class=tokenizer,
        peft_config=None if start else lora,
        callbacks=[watch, EarlyStoppingCallback(early_stopping_patience=recipe.patience)],
        data_collator=_one_pair if pairs else None,
    )
    trainer.preference = recipe.preference
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    with lean(trainer.model):
        report(measure(trainer, recipe))
        trainer.past_seconds = _seconds(last)
        if pairs:
            _compare(trainer, checkpoints / _REFERENCE, report)
        set_seed(seed)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        margins = _gained(trainer) if pairs else None
    state = trainer.state
    final = [
        entry["loss"]
        for entry in state.log_history
        if "loss" in entry and entry["epoch"] > state.epoch - 1
    ]
    return Trained(
        model=trainer.accelerator.unwrap_model(trainer.model),
        tokens=state.num_input_tokens_seen,
        steps=state.global_step,
        seconds=trainer.seconds(),
        train_loss=sum(final) / len(final),
        eval_loss=state.best_metric,
        margins=margins,
    )


def last_checkpoint(folder: Path) -> Path | None:
    """Returns the newest whole checkpoint. What a kill left half written is deleted: the trainer
    writes `trainer_state.json` last, so without a readable one a checkpoint is not whole."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    while found:
        newest = found.pop()
        if _state(newest) is not None:
            return newest
        shutil.rmtree(newest)
    return None


def _state(checkpoint: Path) -> dict[str, Any] | None:
    try:
        state: dict[str, Any] = json.loads((checkpoint / "trainer_state.json").read_bytes())
    except (OSError, ValueError):
        return None
    return state


def _seconds(checkpoint: Path | None) -> float:
    """Returns seconds that the run had taken when the checkpoint was written."""
    state = _state(checkpoint) if checkpoint else None
    return float(state["log_history"][-1]["seconds"]) if state else 0.0


class _Trainer(SFTTrainer):  # type: ignore[misc]  # untyped where torch is not installed
    past_seconds = 0.0
    started = 0.0

    def seconds(self) -> float:
        return self.past_seconds + time.perf_counter() - self.started

    def train(self, *args: Any, **kwargs: Any) -> Any:
        self.started = time.perf_counter()
        return super().train(*args, **kwargs)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Returns mean cross entropy of the reply's tokens, with logits for these alone."""
        del return_outputs  # only asked for with metrics on logits, which there are none of
        loss, tokens = reply_loss(model, inputs)
        return loss / (tokens if num_items_in_batch is None else num_items_in_batch)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        logs["seconds"] = self.seconds()
        super().log(logs, start_time)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Writes no card: the manifest says more."""


class _PairTrainer(_Trainer):
    """Trains on pairs, each beside what the adapter as it began makes of it."""

    preference: Preference

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Returns the loss of one pair; in a step all count the same, however long they are."""
        del return_outputs
        loss = preference_loss(model, inputs, self.preference)
        # Where the trainer counts tokens, it leaves the mean over a step to us.
        pairs = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
        return loss / pairs


def _compare(trainer: Any, kept: Path, report: Report) -> None:
    """Tells each pair by how much the adapter as it begins has its approved reply likelier. That
    is computed once and kept: after a stop the adapter is another."""
    if not kept.exists():
        total = len(trainer.train_dataset) + len(trainer.eval_dataset)
        found: list[float] = []
        for rows in (trainer.train_dataset, trainer.eval_dataset):
            for margin in _margins(trainer.model, rows):
                found.append(margin)
                report(Compared(len(found), total))
        partial = kept.with_suffix(".partial")
        partial.write_text(json.dumps(found), encoding="utf-8")
        partial.replace(kept)
    margins = json.loads(kept.read_text(encoding="utf-8"))
    train = len(trainer.train_dataset)
    trainer.train_dataset = trainer.train_dataset.add_column("reference", margins[:train])
    trainer.eval_dataset = trainer.eval_dataset.add_column("reference", margins[train:])


def _gained(trainer: Any) -> tuple[float, float]:
    evals = trainer.eval_dataset
    after = list(_margins(trainer.model, evals))
    return sum(evals["reference"]) / len(after), sum(after) / len(after)


def _margins(model: Any, pairs: Any) -> Iterator[float]:
    """Yields by how many nats the approved reply of each pair is likelier than the rejected."""
    model.eval()
    device = next(model.parameters()).device
    for pair in pairs:
        inputs = {name: value.to(device) for name, value in _one_pair([pair]).items()}
        with torch.no_grad():
            approved, rejected = pair_log_probs(model, inputs)
        yield float(approved - rejected)


def _one_pair(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the batch of a pair."""
    (row,) = rows
    return {
        "input_ids": torch.tensor([row["input_ids"]]),
        "labels": torch.tensor([row["labels"]]),
        "approved": torch.tensor(row["approved"]),
        "reference": torch.tensor(row.get("reference", 0.0)),
    }


class _Watch(TrainerCallback):  # type: ignore[misc]
    """Reports after every step how far the run is."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._loss: float | None = None
        self._eval_loss: float | None = None
        self._since = (0.0, 0, 0)

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        self._since = (time.perf_counter(), state.global_step, state.num_input_tokens_seen)

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        # The last step is rarely a multiple of the eval interval, and its weights count too.
        control.should_evaluate = control.should_evaluate or state.global_step >= state.max_steps

    def on_log(self, _args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        self._loss = logs.get("loss", self._loss)
        self._eval_loss = logs.get("eval_loss", self._eval_loss)
        if "loss" not in logs and "eval_loss" not in logs:
            return
        start, step, tokens = self._since
        seconds = time.perf_counter() - start
        each = seconds / max(1, state.global_step - step)
        self._report(
            Progress(
                step=state.global_step,
                steps=state.max_steps,
                loss=self._loss,
                eval_loss=self._eval_loss,
                tokens_per_second=(state.num_input_tokens_seen - tokens) / seconds,
                seconds_left=each * (state.max_steps - state.global_step),
            )
        )


def _arguments(recipe: Recipe, seed: int, checkpoints: Path) -> SFTConfig:
    interval = 1 / (recipe.epochs * recipe.evals + 1e-9)
    return SFTConfig(
        output_dir=str(checkpoints),
        seed=seed,
        data_seed=seed,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,  # `reply_loss` casts by itself
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch,
        per_device_eval_batch_size=recipe.batch,
        gradient_accumulation_steps=recipe.accumulate,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        max_length=recipe.max_length,
        packing=recipe.packing,
        # Rows come with labels and in length; only packing is left to do.
        dataset_kwargs={"skip_prepare_dataset": not recipe.packing},
        gradient_checkpointing=recipe.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False},
        eval_strategy="steps",
        eval_steps=interval,
        save_strategy="steps",
        save_steps=interval,
        save_total_limit=_KEPT,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        prediction_loss_only=True,
        remove_unused_columns=False,  # a pair's are no model's
        include_num_input_tokens_seen="all",
        logging_steps=1,
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
    )


def _lora(recipe: Recipe, model: Any) -> LoraConfig:
    targets = recipe.targets if isinstance(recipe.targets, str) else list(recipe.targets)
    layers = None
    if recipe.frozen_layers:
        layers = list(range(recipe.frozen_layers, model.config.num_hidden_layers))
        if targets == "all-linear":
            targets = sorted(
                {
                    name.rpartition(".")[2]
                    for name, module in model.named_modules()
                    if isinstance(module, torch.nn.Linear) and ".layers." in name
                }
            )
    return LoraConfig(
        r=recipe.rank,
        lora_alpha=recipe.alpha,
        lora_dropout=recipe.dropout,
        target_modules=targets,
        layers_to_transform=layers,
        task_type="CAUSAL_LM",
    )


def _going_on(model: Any, start: Path, lora: LoraConfig) -> Any:
    """Returns the model with the adapter of `start`, to be trained further."""
    tuned = PeftModel.from_pretrained(model, str(start), is_trainable=True)
    there = tuned.peft_config["default"]
    if (there.r, there.lora_alpha) != (lora.r, lora.lora_alpha):
        raise InvalidInput(
            f"{start} has rank {there.r} and alpha {there.lora_alpha}, the recipe {lora.r} and"
            f" {lora.lora_alpha}. Take a recipe with those of the adapter."
        )
    for weight in tuned.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()  # adapters are kept in bfloat16, and trained in more
    return tuned


def _quantized(recipe: Recipe) -> BitsAndBytesConfig | None:
    if recipe.quantize == "none":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=recipe.quantize,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _dataset(rows: Sequence[Encoded] | Sequence[EncodedPair]) -> Any:
    return datasets.Dataset.from_list([row._asdict() for row in rows])
