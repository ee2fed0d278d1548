"""Whether a model's own replies keep the contract: greedy, without any constraint on decoding."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from models.training.passes import autocast, lean
from twofold.reply import strict

_BATCH = 32


def keeps_contract(wire: str, reasons: Mapping[str, str]) -> bool:
    """Returns whether a strict header, from the house's closed sets, stands before a text.
    `reasons`: reason -> team."""
    return strict(wire, reasons)[0] is not None


def replies(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    done: Callable[[int], None],
) -> list[str | None]:
    """Returns the greedy reply to each prompt (its tokens), None where it did not come to an
    end."""
    model.eval()
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    found: list[str | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        width = max(len(prompts[at]) for at in chosen)
        missing = [width - len(prompts[at]) for at in chosen]
        ids = [[pad] * n + list(prompts[at]) for n, at in zip(missing, chosen, strict=True)]
        mask = [[0] * n + [1] * (width - n) for n in missing]
        with torch.no_grad(), lean(model), autocast(model):
            output = model.generate(
                input_ids=torch.tensor(ids, device=device),
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=max_new_tokens,
                do_sample=False,
                temperature=None,
                top_p=None,
                top_k=None,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=pad,
            )
        for at, tokens in zip(chosen, output[:, width:].tolist(), strict=True):
            if tokenizer.eos_token_id in tokens:
                end = tokens.index(tokenizer.eos_token_id)
                found[at] = tokenizer.decode(tokens[:end], skip_special_tokens=False)
        done(start + len(chosen))
    return found
