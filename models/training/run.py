"""The training itself, on TRL's SFTTrainer with a LoRA of PEFT. Importing this imports torch.

Where the time goes on a CPU, and what is done about it: rows are never padded (one row in a pass,
or packed); logits are made only where a reply stands; and LoRA's inputs stay in bfloat16.
"""

import json
import shutil
import time
from collections.abc import Callable, Sequence
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

from models.recipes import Recipe
from models.training.estimate import Estimate, measure
from models.training.passes import lean, precision, reply_loss
from models.training.rows import Encoded
from twofold.errors import InvalidInput

Report = Callable[["Estimate | Progress"], None]

_KEPT = 2
"""Checkpoints kept: the best and the last."""


class Progress(NamedTuple):
    """Where a run stands after a step; `loss` is that step's, `eval_loss` the newest."""

    step: int
    steps: int
    loss: float | None
    eval_loss: float | None
    tokens_per_second: float
    seconds_left: float


class Trained(NamedTuple):
    """A finished run. `model` holds the weights of the best eval loss."""

    model: Any
    tokens: int
    steps: int
    seconds: float
    train_loss: float
    eval_loss: float


def train(
    base: str,
    tokenizer: Any,
    rows: Sequence[Encoded],
    evals: Sequence[Encoded],
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
    trainer = _Trainer(
        model=model,
        args=_arguments(recipe, seed, checkpoints),
        train_dataset=_dataset(rows),
        eval_dataset=_dataset(evals),
        processing_class=tokenizer,
        peft_config=None if start else lora,
        callbacks=[watch, EarlyStoppingCallback(early_stopping_patience=recipe.patience)],
    )
    trainer.remove_callback(PrinterCallback)
    last = last_checkpoint(checkpoints)
    with lean(trainer.model):
        report(measure(trainer, recipe))
        trainer.past_seconds = _seconds(last)
        set_seed(seed)
        trainer.train(resume_from_checkpoint=str(last) if last else None)
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


def _dataset(rows: Sequence[Encoded]) -> Any:
    return datasets.Dataset.from_dict(
        {"input_ids": [row.input_ids for row in rows], "labels": [row.labels for row in rows]}
    )
