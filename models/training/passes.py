"""One forward pass in training: its precision, and the loss of its replies. Imports torch."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from peft.helpers import disable_input_dtype_casting
from torch.nn import functional

from models.recipes import Preference, Recipe
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


def pair_log_probs(model: Any, inputs: dict[str, Any]) -> tuple[Any, Any]:
    """Returns the log-probabilities of the two replies of one pair: the approved one, the rejected.

    They stand behind one prompt, which passes through the model once: the second reply is a branch
    that sees the prompt and itself, at the places that the first one has.
    """
    labels = inputs["labels"][0]
    prompt = int((labels == MASKED).sum())
    first, last = prompt + int(inputs["approved"]), len(labels)
    at = torch.arange(last, device=labels.device)
    sees = at[:, None] >= at
    sees[first:, prompt:first] = False
    places = torch.where(at < first, at, at - (first - prompt))
    # Of each token of a reply, the one that it follows; both replies follow the prompt's last.
    before = torch.cat([at[prompt - 1 : first - 1], at[prompt - 1 : prompt], at[first : last - 1]])
    with autocast(model):
        logits = model(
            input_ids=inputs["input_ids"],
            attention_mask=sees[None, None],
            position_ids=places[None],
            use_cache=False,
            logits_to_keep=before,
        ).logits[0]
    said = -functional.cross_entropy(logits.float(), labels[prompt:], reduction="none")
    return said[: first - prompt].sum(), said[first - prompt :].sum()


def preference_loss(model: Any, inputs: dict[str, Any], step: Preference) -> Any:
    """Returns DPO's loss of one pair, and the approved reply's own by the token, `anchor` times:
    what DPO alone only sets apart may both become unlikely. `reference`: by how much the adapter
    as it began has the approved reply likelier."""
    approved, rejected = pair_log_probs(model, inputs)
    gained = approved - rejected - inputs["reference"]
    own = -approved / inputs["approved"]
    return step.anchor * own - functional.logsigmoid(step.beta * gained)
