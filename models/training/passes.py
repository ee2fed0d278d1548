"""One forward pass in training: its precision, and the loss of its reply. Imports torch."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from torch.nn import functional

from models.recipes import Recipe
from models.training.rows import MASKED


def precision(recipe: Recipe) -> Any:
    """Returns the recipe's dtype, or float32 on a CPU that would have to emulate bfloat16."""
    cpu = torch.cpu.get_capabilities()
    able = torch.cuda.is_available() or any(
        cpu.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
    )
    return torch.bfloat16 if recipe.dtype == "bfloat16" and able else torch.float32


def autocast(model: Any) -> Any:
    """Returns the context of one pass, never of several: the cast weights are kept until its
    end, so that a step within it would change nothing."""
    device = next(model.parameters()).device.type
    return torch.autocast(device, dtype=torch.bfloat16, enabled=model.dtype == torch.bfloat16)


def lean(model: Any) -> AbstractContextManager[None]:
    """Feeds LoRA's inputs straight in under autocast, without a detour through float32."""
    detour: AbstractContextManager[None] = disable_input_dtype_casting(
        model, active=model.dtype == torch.bfloat16
    )
    return detour


def reply_loss(model: Any, inputs: dict[str, Any]) -> tuple[Any, int]:
    """Returns summed cross entropy of the unmasked labels of one sequence (1, length), and their
    count.

    Logits are made for these alone: prompts are ten times as long as replies, and a vocabulary can
    be as wide as the rest of a small model.
    """
    labels = inputs["labels"][0, 1:]
    kept = (labels != MASKED).nonzero().flatten()
    fed = {name: value for name, value in inputs.items() if name != "labels"}
    with autocast(model):
        logits = model(**fed, use_cache=False, logits_to_keep=kept).logits[0]
    return functional.cross_entropy(logits.float(), labels[kept], reduction="sum"), len(kept)
