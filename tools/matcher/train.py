"""Tunes the packaged MiniLM to questions as customers ask them.

    python -m tools.matcher.train --pairs PAIRS_QA --doc2dial DOC2DIAL --out FOLDER

A question is drawn to the piece that answers it, and away from that one's neighbours and from what
answers other questions; one that has no answer, away from what looks like one. `--out`, outside the
repository, gets the weights (a running average), the curve and the manifest. With `--go-on` it
begins with the packaged matcher, and what stands beside an answer is what that one takes for one.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

from models.stats import auroc
from tools.matcher.centers import DEV_CENTERS, names
from tools.matcher.examples import (
    Asked,
    Builder,
    Grouped,
    Labelled,
    add_center,
    digests,
    load_groups,
    load_pairs,
    vary,
)
from tools.matcher.trunk import packaged, trunk
from twofold.clients import matcher, minilm, weights
from twofold.clients.graph import Array
from twofold.clients.matcher import LONGEST, Matcher

SEED = 23
QUESTIONS, HARD = 28, 3
"""Of a step; and pieces that do not answer, beside each."""
TAKEN = 12
"""Pieces nearest to a question, of which those that do not answer are drawn."""
TOGETHER = 14
"""Questions of one source that stand in a batch together: what answers one of them is more like
what answers another."""
BATCH = 28
RATE, LINE_RATE, WARM_UP, DECAY = 4e-5, 5e-3, 40, 0.99
SCALE = 20.0
"""Of cosines, in the choice among all pieces of a batch."""
ALONE = 0.5
"""Weight of the loss that says of each pair by itself whether it answers."""
SHARES: Mapping[str, float] = {
    "centers": 0.58,
    "squad2_train": 0.12,
    "doc2dial": 0.1,
    "docs": 0.04,
    "dstc9_faq": 0.04,
    "medquad": 0.04,
    "qed_dev": 0.04,
    "selqa": 0.04,
}
EVERY_S = 420.0
DEV, DEV_LEAST, DEV_NEAR = 150, 40, 14
"""Questions of each source that the curve is measured on, and pieces near each."""


class Row(NamedTuple):
    """`key`: what answers; no two questions of a batch have the same."""

    question: str
    gold: str | None
    hard: list[str]
    key: str


class Source(NamedTuple):
    """Questions of one source: with the pieces around them, or with passages labelled whole.
    `taken`: for each question places of pieces that another matcher takes for answers, best
    first."""

    pool: Grouped | None
    asked: Sequence[Any]
    taken: Sequence[Sequence[int]] = ()


class Encoder(nn.Module):  # type: ignore[misc]
    """Tokens to unit vectors; and a line from a cosine to the log odds that it is an answer's."""

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        super().__init__()
        self.trunk = trunk(tensors)
        self.slope = nn.Parameter(torch.tensor(10.0))
        self.middle = nn.Parameter(torch.tensor(0.6))

    def forward(self, ids: Any, mask: Any) -> Any:
        hidden = self.trunk(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return functional.normalize(((hidden * weights).sum(1) / weights.sum(1)).float(), dim=-1)


class Texts:
    """Texts to vectors, in batches of like length."""

    def __init__(self) -> None:
        self._tokenizer = Tokenizer.from_file(
            str(minilm.verified("tokenizer.json", minilm.TOKENIZER_SHA256))
        )
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(LONGEST)

    def vectors(self, encoder: Encoder, texts: Sequence[str]) -> Any:
        rows = [each.ids for each in self._tokenizer.encode_batch_fast(list(texts))]
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        parts = []
        with torch.autocast("cpu", dtype=torch.bfloat16):
            for at in range(0, len(order), BATCH):
                own = [rows[i] for i in order[at : at + BATCH]]
                width = max(map(len, own))
                ids = torch.tensor([row + [0] * (width - len(row)) for row in own])
                mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in own])
                parts.append(encoder(ids, mask))
        return torch.cat(parts)[torch.tensor(order).argsort()]


def sources(groups: Mapping[str, Grouped], pairs: Iterable[Labelled]) -> dict[str, Source]:
    """What batches are drawn from. Questions without an answer are the made-up help centers'."""
    found = {
        name: Source(drawn, [each for each in drawn.asked if each.gold or name == "centers"])
        for name, drawn in groups.items()
        if name in SHARES and name != "docs"
    }
    labelled: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    for each in pairs:
        if not each.dev and each.pair.source in SHARES:
            yes, no = labelled.setdefault((each.pair.source, each.pair.question), ([], []))
            (yes if each.pair.label else no).append(each.pair.piece)
    whole: dict[str, list[Any]] = {}
    for (source, question), (yes, no) in labelled.items():
        if yes:
            whole.setdefault(source, []).append((question, yes, no))
    return found | {name: Source(None, rows) for name, rows in whole.items()}


def drawn(source: Source, at: int, dice: random.Random) -> Row:
    """A question with one piece that answers it, where any does, and HARD that do not."""
    if source.pool is None:
        question, yes, no = source.asked[at]
        hard = dice.sample(no, min(HARD, len(no)))
        gold = dice.choice(yes)
        return Row(vary(question, dice), gold, hard, gold)
    each: Asked = source.asked[at]
    pool = source.pool.pool
    near = source.taken[at] if source.taken else pool.near(each.question)
    near = [place for place in near if place not in each.gold]
    beside = [place for place in near if place in each.near]
    if not each.gold:
        places = list(dict.fromkeys([*beside[:1], *near[:HARD]]))[:HARD]
        texts = [pool.texts[place] for place in places]
        return Row(vary(each.question, dice), None, texts, each.question)
    beside = beside or list(each.near)
    chosen = dice.sample(beside, min(1, len(beside)))
    rest = [place for place in near[:8] if place not in chosen]
    chosen += dice.sample(rest, min(HARD - len(chosen), len(rest)))
    gold = pool.texts[dice.choice(each.gold)]
    return Row(vary(each.question, dice), gold, [pool.texts[place] for place in chosen], gold)


def taken_by(other: Matcher) -> list[list[int]]:
    """Of the made-up help centers, as `load_groups` joins them: for each question the TAKEN pieces
    of its own help center that are nearest to it."""
    taken: list[list[int]] = []
    before = 0
    for name in names():
        if name in DEV_CENTERS:
            continue
        builder = Builder()
        add_center(builder, name)
        vectors = other.vectors([*builder.texts, *(each.question for each in builder.asked)])
        matrix = np.array([vectors[text] for text in builder.texts])
        for each in builder.asked:
            order = np.argsort(-(matrix @ vectors[each.question]), kind="stable")
            taken.append([before + int(at) for at in order[:TAKEN]])
        before += len(builder.texts)
    return taken


def schedule(found: Mapping[str, Source], seed: int) -> Iterator[list[Row]]:
    """The batches of step 0, 1, ...: the same for the same arguments, each source in an order of
    its own, shuffled anew when it has been through."""
    dice = random.Random(seed)
    names = list(found)
    shares = [SHARES[name] for name in names]
    left: dict[str, list[int]] = {name: [] for name in names}
    while True:
        batch: dict[str, Row] = {}
        while len(batch) < QUESTIONS:
            if len(batch) % TOGETHER == 0:
                name = dice.choices(names, shares)[0]
            if not left[name]:
                left[name] = list(range(len(found[name].asked)))
                dice.shuffle(left[name])
            row = drawn(found[name], left[name].pop(), dice)
            batch.setdefault(row.key, row)
        yield list(batch.values())


def step_loss(encoder: Encoder, texts: Texts, batch: Sequence[Row]) -> dict[str, float]:
    """One step's backward pass; returns its losses."""
    golds = [row.gold for row in batch if row.gold is not None]
    answered = [at for at, row in enumerate(batch) if row.gold is not None]
    hard = [text for row in batch for text in row.hard]
    owners = [at for at, row in enumerate(batch) for _ in row.hard]
    vectors = texts.vectors(encoder, [*(row.question for row in batch), *golds, *hard])
    cosines = vectors[: len(batch)] @ vectors[len(batch) :].T
    # A piece that answers is not held against its question where it stands there for another one.
    again = torch.tensor(
        [
            [text == row.gold and place != own for place, text in enumerate([*golds, *hard])]
            for own, row in zip(range(len(golds)), (batch[at] for at in answered), strict=True)
        ]
    )
    listed = (SCALE * cosines[answered]).masked_fill(again, -1e4)
    choice = functional.cross_entropy(listed, torch.arange(len(golds)))
    pairs = [*zip(answered, range(len(golds)), strict=True)]
    pairs += [(at, len(golds) + place) for place, at in enumerate(owners)]
    own = torch.stack([cosines[at, place] for at, place in pairs])
    labels = torch.tensor([1.0] * len(answered) + [0.0] * len(owners))
    odds = encoder.slope * (own - encoder.middle)
    alone = functional.binary_cross_entropy_with_logits(odds, labels)
    (choice + ALONE * alone).backward()
    return {"choice": choice.item(), "alone": alone.item()}


def measured(encoder: Encoder, texts: Texts, dev: Mapping[str, Grouped]) -> dict[str, Any]:
    """By source: share of questions whose best piece answers; and AUROC of its cosine, of questions
    that have an answer against those that have none."""
    found = {}
    dice = np.random.default_rng(SEED)
    for source, held in dev.items():
        if len(held.asked) < DEV_LEAST:
            continue
        asked = [held.asked[at] for at in dice.permutation(len(held.asked))[:DEV]]
        near = [
            list(dict.fromkeys([*each.gold, *held.pool.near(each.question)[:DEV_NEAR]]))
            for each in asked
        ]
        places = sorted({at for own in near for at in own})
        with torch.no_grad():
            said = texts.vectors(encoder, [held.pool.texts[at] for at in places])
            questions = texts.vectors(encoder, [each.question for each in asked])
        of = dict(zip(places, said, strict=True))
        cosines = [
            np.array([float(of[at] @ vector) for at in own])
            for own, vector in zip(near, questions, strict=True)
        ]
        first = [
            own[int(near_by.argmax())] in each.gold
            for each, own, near_by in zip(asked, near, cosines, strict=True)
            if each.gold
        ]
        has = np.array([bool(each.gold) for each in asked])
        found[source] = {"first": round(float(np.mean(first)), 3)}
        if 0 < has.sum() < len(has):
            best = np.array([each.max() for each in cosines])
            found[source]["auroc"] = round(auroc(best, has, [e.question for e in asked]).value, 3)
    return found


def rate_at(step: int, steps: int) -> float:
    """Share of the full learning rate: it rises, stays, and falls over the second half."""
    return min(1.0, (step + 1) / WARM_UP, 2 * (1 - step / steps))


def manifest(options: argparse.Namespace) -> dict[str, Any]:
    """What went in: seed, recipe, data by hash, versions."""
    begun = " --go-on" * options.go_on + " --start FIRST/checkpoint.pt" * bool(options.start)
    return {
        "made_by": [
            "python -m tools.matcher.train --pairs PAIRS_QA --doc2dial DOC2DIAL --out RUN"
            f" --steps {options.steps} --seed {options.seed}{begun}",
            "python -m tools.matcher.export RUN --pairs PAIRS_QA --doc2dial DOC2DIAL",
        ],
        "seed": options.seed,
        "steps": options.steps,
        "weights_sha256": minilm.WEIGHTS_SHA256,
        **({"begins_with": {"matcher_sha256": matcher.SHA256}} if options.go_on else {}),
        "shares": dict(SHARES),
        "step": {"questions": QUESTIONS, "hard": HARD, "longest": LONGEST, "scale": SCALE},
        "rates": {"trunk": RATE, "line": LINE_RATE, "warm_up": WARM_UP, "average": DECAY},
        "data_sha256": digests(options.pairs, options.doc2dial),
        "versions": {"torch": torch.__version__, "python": sys.version.split()[0]},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--doc2dial", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--stop", type=int, help="end at this step of them")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--go-on", action="store_true", help="begin with the packaged matcher")
    parser.add_argument("--start", type=Path, help="weights of another run to begin with")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    (options.out / "manifest.json").write_text(json.dumps(manifest(options), indent=2) + "\n")
    train, dev = load_groups(options.pairs, options.doc2dial)
    found = sources(train, load_pairs(options.pairs))
    tensors = packaged()
    if options.go_on:
        other = Matcher(options.out / "cache", options.threads)
        found["centers"] = found["centers"]._replace(taken=taken_by(other))
        file = weights.verified(matcher.PACKAGE, matcher.FILE, matcher.SHA256, matcher.REMEDY)
        tensors |= matcher.unpacked(minilm.read_safetensors(file))
    print({name: len(source.asked) for name, source in found.items()}, flush=True)
    encoders = Encoder(tensors), Encoder(tensors)
    if options.start:
        for each in encoders:
            each.load_state_dict(torch.load(options.start, weights_only=True)["average"])
    run(options, encoders, schedule(found, options.seed), dev)


def run(
    options: argparse.Namespace,
    encoders: tuple[Encoder, Encoder],
    batches: Iterator[list[Row]],
    dev: Mapping[str, Grouped],
) -> None:
    """Trains the first encoder; the second one becomes its running average."""
    encoder, kept = encoders
    texts = Texts()
    trunk = [p for p in encoder.trunk.parameters() if p.requires_grad]
    line = [encoder.slope, encoder.middle]
    optimizer = torch.optim.AdamW(
        [
            {"params": trunk, "full": RATE},
            {"params": line, "full": LINE_RATE, "weight_decay": 0.0},
        ],
        lr=RATE,
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )
    average = kept.state_dict()
    losses: dict[str, float] = {}
    start = saved = time.monotonic()

    def checkpoint(step: int) -> None:
        spent = round(time.monotonic() - start)
        state = {"average": average, "step": step, "seconds": spent}
        part = options.out / "checkpoint.part"
        torch.save(state, part)
        part.replace(options.out / "checkpoint.pt")
        told = {"step": step, "seconds": spent, "loss": losses}
        told["dev"] = measured(kept, texts, dev)
        print(json.dumps(told), flush=True)
        with (options.out / "curve.jsonl").open("a") as file:
            file.write(json.dumps(told) + "\n")

    checkpoint(0)
    last = min(options.steps, options.stop or options.steps)
    for step, batch in zip(range(last), batches, strict=False):
        for group in optimizer.param_groups:
            group["lr"] = group["full"] * rate_at(step, options.steps)
        said = step_loss(encoder, texts, batch)
        torch.nn.utils.clip_grad_norm_([*trunk, *line], 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        decay = min(DECAY, (1 + step) / (10 + step))
        with torch.no_grad():
            for name, value in encoder.state_dict().items():
                if value.is_floating_point():
                    average[name].lerp_(value, 1 - decay)
        for name, loss in said.items():
            losses[name] = 0.97 * losses.get(name, loss) + 0.03 * loss
        if step % 10 == 0:
            spent = time.monotonic() - start
            print(step, f"{spent:.0f}s", {k: round(v, 3) for k, v in losses.items()}, flush=True)
        if time.monotonic() - saved > EVERY_S:
            checkpoint(step + 1)
            saved = time.monotonic()
    checkpoint(last)


if __name__ == "__main__":
    main()
