"""Make the tiny base: `python -m tools.tiny.make --out FOLDER`.

A curriculum on generated practice: one document, then two, then several, the rows longer each time.
With `--start` a base goes on in the last stage; docs/behaviour.md says how the kept one was made.
The loss is on replies only. Matrices learn by Muon, the rest by AdamW; the rate falls to nothing at
the end. Prints what share of held-out replies is right to the letter.
"""

import argparse
import hashlib
import json
import random
import shlex
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import AttentionInterface, LlamaConfig, LlamaForCausalLM

from tools.tiny import tokenizer as tokens
from tools.tiny.corpus import Corpus
from tools.tiny.practice import Level, Row, rows

CORPUS = Path("examples/brackwater/help-center")
VOCABULARY = 4096
MAX_LENGTH = 4096
SHAPE = {"hidden_size": 256, "intermediate_size": 704, "num_hidden_layers": 4}
HEADS = 4
BATCH_TOKENS = 4096
RATE = 3e-3
WARM_UP = 100
STAGES = (
    (0.10, Level(160, documents=1, pieces=2, absent=0.0, facts=0.3)),
    (0.25, Level(288, documents=2, pieces=4, absent=0.1, facts=0.3)),
    (0.55, Level(448, documents=3, pieces=6, absent=0.15, facts=0.25)),
    (0.85, Level(640, documents=4, pieces=8, absent=0.15, facts=0.3)),
    (1.00, Level(1024, documents=4, pieces=14, absent=0.15, facts=0.3)),
)
"""Up to this share of the tokens, rows of this level; some of any easier one."""
NAMES = ("one", "two", "three", "four documents", "long ones")
EASIER = 0.4
"""Share of rows from an easier level."""
BLOCKED = "blocked"
BLOCK = 128
"""Queries that attention takes at a time."""
REPORT_S = 60.0


class Batch(NamedTuple):
    """`ids` and `learn` (row, position); position p is learnt from what stands before it."""

    ids: torch.Tensor
    learn: torch.Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=float, default=15e6)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--start", type=Path, help="a base to go on with, in the last stage")
    parser.add_argument("--layers", type=int, help="how many the base to go on with shall have")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    corpus = Corpus(CORPUS)
    AttentionInterface.register(BLOCKED, _attention)
    if args.start:
        tokenizer = Tokenizer.from_file(str(args.start / "tokenizer.json"))
        model = LlamaForCausalLM.from_pretrained(args.start, dtype=torch.bfloat16)
        if args.layers:
            model = deeper(model, args.layers)
    else:
        tokenizer = tokens.make_tokenizer(_tokenizer_texts(corpus, args.seed), VOCABULARY)
        model = LlamaForCausalLM(_config()).to(torch.bfloat16)
    model.set_attn_implementation(BLOCKED)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    figures = train(model, tokenizer, corpus, args)
    if args.start:
        figures["went_on_with"] = json.loads((args.start / "manifest.json").read_text())
    save(model, tokenizer, args.out, figures | {"seed": args.seed, "threads": args.threads})


def train(
    model: LlamaForCausalLM, tokenizer: Tokenizer, corpus: Corpus, args: argparse.Namespace
) -> dict[str, Any]:
    """Train as the command line says; what was reached."""
    budget, seed, out = args.tokens, args.seed, args.out
    optimizer = _Optimizer(model)
    body = torch.compile(model.model, dynamic=False)
    held_out = [_batches(tokenizer, corpus, level, _dice(-1)) for _, level in STAGES]
    checks = [next(batches) for batches in held_out]
    streams = [_batches(tokenizer, corpus, level, _dice(seed)) for _, level in STAGES]
    rng = _dice(seed)
    start = reported = time.monotonic()
    seen = steps = 0
    losses: list[float] = []
    while (share := seen / budget) < 1:
        reached = (i for i, (until, _) in enumerate(STAGES) if share < until)
        stage = len(STAGES) - 1 if args.start else next(reached)
        if stage and rng.random() < EASIER:
            stage = rng.randrange(stage)
        batch = next(streams[stage])
        loss = _loss(model, body, batch)
        loss.backward()
        steps += 1
        optimizer.step(args.rate * min(1.0, steps / WARM_UP) * min(1.0, 1.25 * (1 - share)))
        seen += batch.ids.numel()
        losses.append(loss.item())
        if time.monotonic() - reported > REPORT_S:
            reported = time.monotonic()
            right = [round(_right(model, check), 3) for check in checks]
            minutes, speed = (reported - start) / 60, seen / (reported - start)
            left = (budget - seen) / speed / 60
            recent = sum(losses[-50:]) / len(losses[-50:])
            print(
                f"{minutes:5.1f} min, {left:.0f} left  {seen / 1e6:.1f}M tokens ({speed:,.0f}/s)"
                f"  stage {stage + 1}  loss {recent:.3f}  right {right}",
                flush=True,
            )
            model.save_pretrained(out.with_name(out.name + ".partial"))
            tokens.save(tokenizer, out.with_name(out.name + ".partial"), MAX_LENGTH)
    right = [round(_right(model, check), 4) for check in checks]
    return {
        "tokens": seen,
        "steps": steps,
        "seconds": round(time.monotonic() - start),
        "loss": round(sum(losses[-50:]) / len(losses[-50:]), 4),
        "replies_right": dict(zip(NAMES, right, strict=True)),
    }


def _attention(
    _module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    scaling: float,
    **_other: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention by plain products, a block of queries at a time, each against no more keys
    than it may see: compiled, half the time that torch's own takes on a CPU."""
    length = query.shape[2]
    future = query.new_full((length, length), float("-inf")).triu(1)
    said = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        scores = query[:, :, start:end] @ key[:, :, :end].transpose(-1, -2) * scaling
        weights = (scores + future[start:end, :end]).float().softmax(-1).to(value.dtype)
        said.append(weights @ value[:, :, :end])
    return torch.cat(said, 2).transpose(1, 2), None


class _Optimizer:
    """Muon for matrices, AdamW for the rest; weights are kept in fp32 and used in bf16."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._used = list(model.parameters())
        self._kept = [p.detach().float().clone().requires_grad_() for p in self._used]
        embedding = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
        pairs = list(zip(self._used, self._kept, strict=True))
        matrices = [k for u, k in pairs if k.ndim == 2 and id(u) not in embedding]
        others = [k for u, k in pairs if k.ndim != 2 or id(u) in embedding]
        self._steps: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=0.0),
        ]

    def step(self, rate: float) -> None:
        for used, kept in zip(self._used, self._kept, strict=True):
            kept.grad = used.grad.float() if used.grad is not None else None
            used.grad = None
        torch.nn.utils.clip_grad_norm_(self._kept, 1.0)
        for optimizer in self._steps:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        with torch.no_grad():
            for used, kept in zip(self._used, self._kept, strict=True):
                used.copy_(kept)


def deeper(model: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    """The same function with more layers: the new ones, spread evenly, are copies of those before
    them that add nothing yet (Gong et al. 2019, "Efficient Training of BERT by Progressively
    Stacking", here with outputs of nought)."""
    old = model.config.num_hidden_layers
    config = LlamaConfig(**{**model.config.to_dict(), "num_hidden_layers": layers})
    deep = LlamaForCausalLM(config).to(torch.bfloat16)
    deep.load_state_dict(model.state_dict(), strict=False)  # all but the layers stands as it did
    known = -1
    for at, layer in enumerate(deep.model.layers):
        source = at * old // layers
        layer.load_state_dict(model.model.layers[source].state_dict())
        if source == known:
            torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
            torch.nn.init.zeros_(layer.mlp.down_proj.weight)
        known = source
    return deep


def _loss(model: LlamaForCausalLM, body: Any, batch: Batch) -> torch.Tensor:
    logits, targets = _predict(model, body, batch)
    return functional.cross_entropy(logits.float(), targets)


def _predict(model: LlamaForCausalLM, body: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """(learnt tokens, vocabulary) logits, and the tokens themselves."""
    hidden = body(input_ids=batch.ids, use_cache=False).last_hidden_state
    return model.lm_head(hidden[:, :-1][batch.learn[:, 1:]]), batch.ids[:, 1:][batch.learn[:, 1:]]


def _right(model: LlamaForCausalLM, batch: Batch) -> float:
    """Share (0..1) of replies whose every token is the likeliest one."""
    with torch.no_grad():
        logits, targets = _predict(model, model.model, batch)
    wrong = (logits.argmax(-1) != targets).tolist()
    ends = (targets == 2).tolist()  # END closes a reply
    right, bad = [], False
    for miss, end in zip(wrong, ends, strict=True):
        bad = bad or miss
        if end:
            right.append(not bad)
            bad = False
    return sum(right) / len(right)


def _batches(
    tokenizer: Tokenizer, corpus: Corpus, level: Level, rng: random.Random
) -> Iterator[Batch]:
    source = rows(corpus, level, rng, turns=20)
    count = BATCH_TOKENS // level.length
    while True:
        ids = torch.zeros((count, level.length), dtype=torch.long)
        learn = torch.zeros((count, level.length), dtype=torch.bool)
        filled = 0
        while filled < count:
            encoded = _encode(tokenizer, next(source), level.length)
            if encoded is None:
                continue
            for start, piece, learnt in encoded:
                ids[filled, start : start + len(piece)] = torch.tensor(piece)
                learn[filled, start : start + len(piece)] = learnt
            filled += 1
        yield Batch(ids, learn)


_Encoded = list[tuple[int, list[int], bool]]


def _encode(tokenizer: Tokenizer, row: Row, length: int) -> _Encoded | None:
    """(start, ids, whether learnt) of each part that fits; None where no reply does."""
    parts: _Encoded = []
    at = 0
    head = f"<|im_start|>system\n{row.system}<|im_end|>\n"
    for question, reply in row.turns:
        asked = f"{head}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
        before, after = tokenizer.encode(asked).ids, tokenizer.encode(f"{reply}<|im_end|>").ids
        newline = tokenizer.encode("\n").ids
        if at + len(before) + len(after) + len(newline) > length:
            break
        for piece, learnt in ((before, False), (after, True), (newline, False)):
            parts.append((at, piece, learnt))
            at += len(piece)
        head = ""
    return parts or None


def _tokenizer_texts(corpus: Corpus, seed: int) -> Iterator[str]:
    """The help center as it stands, and practice, so that invented words split well too."""
    yield from corpus.texts
    source = rows(corpus, STAGES[2][1], _dice(seed), turns=6)
    for _ in range(2000):
        row = next(source)
        yield "\n".join((row.system, *(text for turn in row.turns for text in turn)))


def _dice(seed: int) -> random.Random:
    return random.Random(seed)


def _config() -> LlamaConfig:
    return LlamaConfig(
        **SHAPE,
        vocab_size=VOCABULARY,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
        initializer_range=0.02,
    )


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path, figures: dict[str, Any]) -> None:
    """The asset, its manifest last."""
    out.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(out)
    tokens.save(tokenizer, out, MAX_LENGTH)
    weights = (out / "model.safetensors").read_bytes()
    manifest = {
        "made_by": shlex.join(["python", "-m", "tools.tiny.make", *sys.argv[1:]]),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "purpose": "proves the path from rows to a served adapter; no measure of answer quality",
        "parameters": sum(p.numel() for p in model.parameters()),
        "sha256": hashlib.sha256(weights).hexdigest(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        **figures,
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(manifest))


if __name__ == "__main__":
    main()
