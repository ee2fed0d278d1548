"""The gate's figures of a merged model without a server: every reply greedy and unconstrained.

`python -m tools.smollm2.evaluate MODEL ROWS.jsonl... --house FILE [--probes N]`
"""

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.data.rows import Row, read_rows
from models.gate.arms import ArmReply, Progress
from models.gate.judge import escalation_f1, estimates, judge
from models.gate.probes import changed_facts, closed_book
from models.training.replies import replies
from models.training.rows import prompt_ids
from twofold.house_file import load_house
from twofold.policy import HousePolicy

MOST_TOKENS = 160


class Local:
    """A model in this process, asked as an arm of the gate is."""

    def __init__(self, folder: Path, house: HousePolicy) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._house = house

    async def ask(self, rows: Sequence[Row], progress: Progress) -> list[ArmReply]:
        rendered = [row.model_copy(update={"messages": row.rendered(self._house)}) for row in rows]
        prompts = [prompt_ids(self._tokenizer, row) for row in rendered]
        said = replies(
            self._model, self._tokenizer, prompts, MOST_TOKENS,
            lambda done: progress("Asking", done, len(rows)),
        )  # fmt: skip
        return [ArmReply(wire or "", len(p), 0, 0.0) for wire, p in zip(said, prompts, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("rows", type=Path, nargs="+")
    parser.add_argument("--house", type=Path, required=True)
    parser.add_argument("--probes", type=int, default=0, help="rows probed; 0: no probes")
    parser.add_argument("--sample", type=int, default=0, help="of the rows, at random; 0: all")
    parser.add_argument("--replies", type=Path, help="write every reply here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    house = load_house(args.house)
    arm: Any = Local(args.model, house)
    rows = [row for path in args.rows for row in read_rows(path) if not row.made]
    random.Random(1).shuffle(rows)
    probed, rows = rows, rows[: args.sample or None]
    begun = time.monotonic()
    judged = asyncio.run(_judged(arm, rows, house))
    if args.replies:
        lines = (json.dumps({"id": j.row.id, "said": j.said.wire}) + "\n" for j in judged)
        args.replies.write_text("".join(lines), encoding="utf-8")
    told: dict[str, Any] = {name: each.data() for name, each in estimates(judged).items()}
    told |= {"rows": len(rows), "escalation_f1": escalation_f1(judged)}
    print(json.dumps(told | {"seconds": round(time.monotonic() - begun)}), flush=True)
    if args.probes:
        asyncio.run(_probes(arm, probed, args.probes))


async def _judged(arm: Any, rows: Sequence[Row], house: HousePolicy) -> list[Any]:
    said = await arm.ask(rows, lambda *_: None)
    return [judge(row, each, house) for row, each in zip(rows, said, strict=True)]


async def _probes(arm: Any, rows: Sequence[Row], most: int) -> None:
    for name, alone in (("changed alone", True), ("changed packed", False)):
        found = await changed_facts(arm, rows[:most], lambda *_: None, alone=alone)
        print(json.dumps({name: found.share.data()}), flush=True)
    found = await closed_book(arm, rows[:most], lambda *_: None)
    leaks = [probe.said.wire for probe in found.wrong]
    print(json.dumps({"closed book": found.share.data(), "leaks": leaks[:5]}), flush=True)


if __name__ == "__main__":
    main()
