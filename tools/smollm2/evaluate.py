"""The gate's figures of a merged model without a server: every reply greedy and unconstrained.

`python -m tools.smollm2.evaluate MODEL ROWS.jsonl... --house FILE [--probes N] [--reading FILE]`

`--reading` takes rows of `tools.smollm2.centers --dev`: help centers that nothing was trained on.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.data.rows import Row, read_rows
from models.gate.arms import ArmReply
from models.gate.judge import JudgedRow, escalation_f1, estimates, judge
from models.gate.probes import Probed, changed_facts, closed_book
from models.stats import estimate
from models.training.replies import replies
from models.training.rows import prompt_ids
from tools.smollm2.practice import ABSENT
from twofold.house_file import load_house
from twofold.policy import HousePolicy
from twofold.reply import marks, split, strip_marks
from twofold.terminal import StepCallback

MOST_TOKENS = 160


class Local:
    """A model in this process, asked as an arm of the gate is."""

    def __init__(self, folder: Path, house: HousePolicy) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.house = house
        self.name, self.profile = folder.name, "tuned"

    def among(self, rows: Sequence[Row]) -> list[Row]:
        return list(rows)

    async def instruction_tokens(self) -> int:
        return 0

    async def ask(self, rows: Sequence[Row], progress: StepCallback) -> list[ArmReply]:
        rendered = [row.model_copy(update={"messages": row.rendered(self.house)}) for row in rows]
        prompts = [prompt_ids(self.tokenizer, row) for row in rendered]
        said = self.replies(prompts, lambda done: progress("Asking", done, len(rows)))
        return [ArmReply(wire, len(p), 0, 0.0) for wire, p in zip(said, prompts, strict=True)]

    def replies(self, prompts: Sequence[Sequence[int]], done: Any) -> list[str]:
        said = replies(self._model, self.tokenizer, prompts, MOST_TOKENS, done)
        return [wire or "" for wire in said]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path, nargs="*")
    parser.add_argument("--house", type=Path, required=True)
    parser.add_argument("--probes", type=int, default=0, help="rows probed; 0: no probes")
    parser.add_argument("--closed", type=Path, nargs="*", default=[], help="more closed-book rows")
    parser.add_argument("--sample", type=int, default=0, help="of the rows, at random; 0: all")
    parser.add_argument("--reading", type=Path, help="rows of the held-back help centers")
    parser.add_argument("--questions", type=int, default=300, help="of the reading rows")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--replies", type=Path, help="write every reply here")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    arm: Any = Local(args.model, load_house(args.house))
    begun = time.monotonic()
    told = asyncio.run(_told(arm, args))
    print(json.dumps(told | {"seconds": round(time.monotonic() - begun)}), flush=True)


async def _told(arm: Any, args: argparse.Namespace) -> dict[str, Any]:
    told: dict[str, Any] = {}
    rows = [row for path in args.rows for row in read_rows(path) if not row.made]
    random.Random(1).shuffle(rows)
    if rows:
        asked = rows[: args.sample or None]
        judged = await _judged(arm, asked)
        told |= {name: each.data() for name, each in estimates(judged).items()}
        told |= {"rows": len(asked), "escalation_f1": escalation_f1(judged)}
        if args.replies:
            _keep(args.replies, judged)
        print(json.dumps(told), file=sys.stderr, flush=True)
    if args.probes:
        for name, alone in (("changed_alone", True), ("changed_packed", False)):
            found = await changed_facts(arm, rows[: args.probes], _progress, alone=alone)
            told[name] = found.share.data()
        closed = [row for path in args.closed for row in read_rows(path) if not row.made]
        told |= _leaks(await closed_book(arm, [*rows, *closed][: args.probes], _progress))
    if args.reading:
        lines = args.reading.read_text(encoding="utf-8").splitlines()
        told |= reading(arm, [json.loads(line) for line in lines], args.questions)
    return told


async def _judged(arm: Any, rows: Sequence[Row]) -> list[JudgedRow]:
    said = await arm.ask(rows, _progress)
    return [judge(row, each, arm.house) for row, each in zip(rows, said, strict=True)]


def _keep(path: Path, judged: Sequence[JudgedRow]) -> None:
    lines = (
        json.dumps({"id": j.row.id, "said": j.said.wire, "figures": dict(j.figures)}) + "\n"
        for j in judged
    )
    path.write_text("".join(lines), encoding="utf-8")


def _leaks(found: Probed) -> dict[str, Any]:
    said = [probe.said.wire for probe in found.wrong]
    return {"closed_book": {"probes": found.share.n, "leaks": len(said), "such_as": said[:5]}}


def reading(arm: Local, rows: Sequence[Mapping[str, Any]], most: int) -> dict[str, Any]:
    """What is said of documents that nothing was trained on: who answers, from where, with what."""
    pairs = [(row, asked) for row in rows for asked in row["asked"]][:most]
    prompts: list[list[int]] = [
        arm.tokenizer.apply_chat_template(
            [{"role": "system", "content": row["system"]}, *asked["messages"]],
            add_generation_prompt=True, tokenize=True, return_dict=False,
        )
        for row, asked in pairs
    ]  # fmt: skip
    said = arm.replies(prompts, lambda done: _progress("Reading", done, len(prompts)))
    held, absent = [], []
    for (_, asked), wire in zip(pairs, said, strict=True):
        if asked["reply"] == ABSENT:
            absent.append(float(wire == ABSENT))
        else:
            held.append((asked["reply"], wire))
    clusters = [str(at) for at in range(len(pairs))]
    figures = {
        "handed_over": [float(wire == ABSENT) for _, wire in held],
        "cited": [float(bool(set(marks(wire)) & set(marks(right)))) for right, wire in held],
        "piece": [float(_same(right, wire)) for right, wire in held],
        "absent": absent,
    }
    found = {name: estimate(each, clusters[: len(each)]).data() for name, each in figures.items()}
    return {"reading": found}


def _same(right: str, wire: str) -> bool:
    """Whether one of the pieces that answer is said, whatever is said beside it."""
    header, text = split(wire)
    pieces = [_bare(line) for line in re.split(r"\n|(?<=\])\s", split(right)[1])]
    heads = {line for line, under in pairwise(pieces) if "---" in under}
    whole = _bare(text)
    return header is not None and any(
        piece in whole for piece in pieces if piece and piece not in heads and "---" not in piece
    )


def _bare(text: str) -> str:
    return " ".join(strip_marks(text).split())


def _progress(what: str, done: int, of: int) -> None:
    print(f"\r{what} {done}/{of}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
