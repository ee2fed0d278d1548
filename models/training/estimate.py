"""What a run will need, before it starts: measured on a few passes, not taken from a formula."""

import time
from typing import Any

import psutil
import torch

from models.recipes import Recipe
from models.training.events import Needs
from models.training.passes import reply_loss

_PROBE = 512
"""Tokens of the pass whose kept activations are counted; they grow in proportion."""
_TIMED = 2
_STATE = 16
"""Bytes of a trained parameter: itself, its gradient and Adam's two moments, in float32."""


def measure(trainer: Any, recipe: Recipe) -> Needs:
    """Runs a few passes without changing the weights. Call it inside `train_pass.lean`."""
    model, rows = trainer.model, trainer.train_dataset
    parameters = list(model.parameters())
    trained = sum(each.numel() for each in parameters if each.requires_grad)
    lengths = [len(ids) for ids in rows["input_ids"]]
    by_length = sorted(range(len(rows)), key=lengths.__getitem__)
    usual = rows[by_length[len(rows) // 2]]
    longest = recipe.batch * max(lengths)
    model.train()
    activations = longest * _kept_per_token(model, usual, recipe)
    speed = _speed(trainer, [usual] * recipe.batch, recipe)
    tokens = int(recipe.epochs * sum(lengths))
    evals = sum(len(ids) for ids in trainer.eval_dataset["input_ids"])
    # An eval has no backward pass: a third of the work.
    work = tokens + recipe.epochs * recipe.evals * evals / 3
    if "approved" in rows.column_names:  # each pair is read once, before the first step
        work += (sum(lengths) + evals) / 3
    device = parameters[0].device
    return Needs(
        device=torch.cuda.get_device_name() if device.type == "cuda" else "CPU",
        dtype=str(model.dtype).removeprefix("torch."),
        parameters=sum(each.numel() for each in parameters),
        trained=trained,
        weights=sum(each.nbytes for each in parameters if not each.requires_grad),
        optimizer=_STATE * trained,
        activations=int(activations),
        available=(
            torch.cuda.mem_get_info()[0]
            if device.type == "cuda"
            else psutil.virtual_memory().available
        ),
        tokens=tokens,
        longest=longest,
        tokens_per_second=speed,
        seconds=work / speed,
    )


def _kept_per_token(model: Any, row: dict[str, Any], recipe: Recipe) -> float:
    """Returns bytes that autograd keeps for the backward pass, by token, weights left out."""
    device = next(model.parameters()).device
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    inputs = {
        name: torch.tensor([row[name][-_PROBE:]], device=device) for name in ("input_ids", "labels")
    }
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        reply_loss(model, inputs)
    whole: float = sum(kept.values()) / inputs["input_ids"].numel()
    if not recipe.gradient_checkpointing:
        return whole
    # Only each layer's input is kept, and one layer at a time is run again.
    config = model.config.get_text_config()
    layers = config.num_hidden_layers
    return float(whole / layers + layers * config.hidden_size * model.dtype.itemsize)


def _speed(trainer: Any, rows: list[dict[str, Any]], recipe: Recipe) -> float:
    """Returns tokens a second, forward and backward."""
    model = trainer.model
    device = next(model.parameters()).device
    batch = {
        name: value.to(device) if isinstance(value, torch.Tensor) else value
        for name, value in trainer.data_collator(rows).items()
    }
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    started = 0.0
    for each in range(1 + _TIMED):
        loss = trainer.compute_loss(model, batch)
        loss.backward()
        loss.item()  # waits for the device
        if each == 0:  # the first pass sets things up
            started = time.perf_counter()
    model.zero_grad()
    return _TIMED * int(batch["input_ids"].numel()) / (time.perf_counter() - started)
