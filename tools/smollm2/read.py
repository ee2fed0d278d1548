"""Stage 1: a LoRA on reading practice.

`python -m tools.smollm2.read PRACTICE --base FOLDER --out FOLDER --tokens N`

The questions of a row share its documents: these pass through the model once, and each question
with its reply is a branch that sees them and itself alone. One pass of 400 tokens so teaches what
four rows of 270 would. The loss is on replies only. The run goes on from its last checkpoint;
`--until` ends it in time whatever it has read. The rate falls over the last part of `--tokens`.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.manifest import file_sha256, weights_sha256
from tools.smollm2.fast import Fast

MAX_LENGTH = 900
LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
FROZEN = 10
"""The lowest layers stay as they are: no gradient has to reach them, a fifth of the time."""
STEP = 2
"""Rows of one optimizer step, of several questions each."""
WARM_UP = 12
"""Steps."""
COOL_DOWN = 0.6
"""Share of the run over which the rate falls to nothing."""
DECIDES, OPENS = 8.0, 2.0
"""How much the first token of a reply counts, and the rest of its header and opening."""
OPENING = 5
"""Tokens of a text that decide which sentence is said."""
CHECKPOINT_S = 300.0
REPORT = 5
STATE = "state.pt"
END = "<|im_end|>"


class Batch(NamedTuple):
    """One row: `ids` and `positions` (1, length); `labels` (length,), -100 where nothing is learnt,
    and how much each counts; `head` tokens that all see, and where each branch ends."""

    ids: torch.Tensor
    positions: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    head: int
    ends: tuple[int, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("practice", type=Path, nargs="+", help="files whose rows take turns")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="an adapter to go on from")
    parser.add_argument("--tokens", type=float, default=1.5e6)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--alpha", type=int, default=32)
    parser.add_argument("--frozen", type=int, default=FROZEN, help="lowest layers left alone")
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--until", type=float, default=0, help="epoch seconds; 0: no end")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    tokenizer = AutoTokenizer.from_pretrained(args.base)
    base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.bfloat16)
    last = args.out / "last"
    if (last / STATE).exists():
        model: Any = PeftModel.from_pretrained(base, last, is_trainable=True)
        kept = torch.load(last / STATE, weights_only=True)
    elif args.start:
        model = PeftModel.from_pretrained(base, args.start, is_trainable=True)
        kept = {"row": 0, "step": 0, "tokens": 0, "seconds": 0.0}
    else:
        layers = range(args.frozen, base.config.num_hidden_layers)
        lora = LoraConfig(
            r=args.rank,
            lora_alpha=args.alpha,
            target_modules=list(LINEAR),
            layers_to_transform=list(layers),
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(base, lora)
        kept = {"row": 0, "step": 0, "tokens": 0, "seconds": 0.0}
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.0)
    if "optimizer" in kept:
        optimizer.load_state_dict(kept.pop("optimizer"))
    lines = mixed([path.read_text(encoding="utf-8").splitlines() for path in args.practice])
    begun, spent, saved = time.time(), kept["seconds"], time.time()
    seen, losses = kept["tokens"], []
    fast = Fast(model)
    while kept["tokens"] < args.tokens and kept["row"] + STEP < len(lines):
        now = time.time()
        timed = (now - begun) / (args.until - begun) if args.until else 0.0
        rate = args.rate * _schedule(kept["step"], max(timed, kept["tokens"] / args.tokens))
        batches = [
            batch
            for line in lines[kept["row"] : kept["row"] + STEP]
            if (batch := encode(tokenizer, json.loads(line))) is not None
        ]
        count = sum(float(b.weights.sum()) for b in batches)
        total = sum(fast.loss(batch, 1 / count) for batch in batches) / count
        fast.hand_over()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        fast.renew()
        kept["tokens"] += sum(batch.ids.shape[1] for batch in batches)
        kept["row"] += STEP
        kept["step"] += 1
        losses.append(total)
        kept["loss"] = sum(losses[-50:]) / len(losses[-50:])
        now = time.time()
        kept["seconds"] = spent + now - begun
        if kept["step"] % REPORT == 0:
            speed = (kept["tokens"] - seen) / (now - begun)
            print(
                f"{datetime.now(UTC):%H:%M:%S} step {kept['step']} row {kept['row']} tokens "
                f"{kept['tokens']} loss {total:.3f} mean {kept['loss']:.3f} {speed:.0f}/s",
                flush=True,
            )
        if now - saved > CHECKPOINT_S:
            save(model, optimizer, kept, args)
            saved = now
        if args.until and now > args.until:
            break
    save(model, optimizer, kept, args)


def mixed(files: Sequence[Sequence[str]]) -> list[str]:
    """The rows of all files, each spread evenly over the whole."""
    places = [
        ((at + 0.5) / len(rows), number, row)
        for number, rows in enumerate(files)
        for at, row in enumerate(rows)
    ]
    return [row for _, _, row in sorted(places)]


def _schedule(step: int, done: float) -> float:
    return min(1.0, (step + 1) / WARM_UP, max(0.02, (1 - done) / COOL_DOWN))


def encode(tokenizer: Any, row: dict[str, Any]) -> Batch | None:
    """The row's documents and as many of its questions as fit; None where none does."""
    head = tokenizer.encode(f"<|im_start|>system\n{row['system']}{END}\n", add_special_tokens=False)
    ids, labels, weights = list(head), [-100] * len(head), [0.0] * len(head)
    positions, ends = list(range(len(head))), []
    for asked in row["asked"]:
        told = "".join(f"<|im_start|>{m['role']}\n{m['content']}{END}\n" for m in asked["messages"])
        prompt = tokenizer.encode(told + "<|im_start|>assistant\n", add_special_tokens=False)
        reply = tokenizer.encode(asked["reply"] + END, add_special_tokens=False)
        if len(ids) + len(prompt) + len(reply) > MAX_LENGTH:
            continue
        length = len(prompt) + len(reply)
        ids += prompt + reply
        labels += [-100] * len(prompt) + reply
        header = tokenizer.encode(asked["reply"].partition("\n")[0], add_special_tokens=False)
        weights += [0.0] * len(prompt) + _weights(len(header), len(reply))
        positions += range(len(head), len(head) + length)
        ends.append(len(ids))
    if not ends:
        return None
    return Batch(
        torch.tensor([ids]),
        torch.tensor([positions]),
        torch.tensor(labels),
        torch.tensor(weights),
        len(head),
        tuple(ends),
    )


def _weights(header: int, reply: int) -> list[float]:
    """A reply is decided by its first token, by its header, and by how its text begins; what
    follows is copied."""
    weights = [DECIDES] + [OPENS] * (header + OPENING)
    return (weights + [1.0] * reply)[:reply]


def save(model: Any, optimizer: Any, kept: dict[str, Any], args: argparse.Namespace) -> None:
    """The adapter, the state to go on with, and a manifest; the old ones until these are whole."""
    partial, last = args.out / "partial", args.out / "last"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    model.save_pretrained(partial)
    torch.save(kept | {"optimizer": optimizer.state_dict()}, partial / STATE)
    manifest = {
        "made_by": "python -m tools.smollm2.read",
        "base": weights_sha256(args.base),
        "practice": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in args.practice
        },
        "adapter": file_sha256(partial / "adapter_model.safetensors"),
        "rank": args.rank,
        "frozen_layers": args.frozen,
        "alpha": args.alpha,
        "rate": args.rate,
        "planned_tokens": args.tokens,
        "start": file_sha256(args.start / "adapter_model.safetensors") if args.start else "",
        **kept,
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    old = args.out / "old"
    shutil.rmtree(old, ignore_errors=True)
    if last.exists():
        last.rename(old)
    partial.rename(last)


if __name__ == "__main__":
    main()
