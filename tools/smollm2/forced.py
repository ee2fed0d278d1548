"""What an adapter would say, from one pass over what it should: minutes where asking takes hours.

`python -m tools.smollm2.forced ADAPTER --base FOLDER --dataset FOLDER [--reading FILE]`

Whether the greedy reply is the expected one word for word, and which action it takes, is known
exactly without writing it: each token of the expected reply is held against what the model would
say there. What else a reply says in place of it is not known. Prints one line of JSON.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from models.data.rows import Row, read_dataset
from models.gate.judge import cluster
from models.gate.probes import changed_pairs
from models.gate.run import MOST_PROBES
from models.stats import estimate
from tools.demo import EXAMPLE
from tools.smollm2 import read
from tools.smollm2.fast import Fast
from tools.smollm2.practice import ABSENT
from twofold.house_file import load_house
from twofold.policy import NOT_IN_SOURCES
from twofold.reply import ACTIONS


class Told(NamedTuple):
    """`action`: the one of the greedy reply; "" where it begins otherwise. `header`, `whole`:
    whether its first line, and all of it, are the expected ones."""

    action: str
    header: bool
    whole: bool


class Forced:
    def __init__(self, adapter: Path, base: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
        self._fast = Fast(PeftModel.from_pretrained(model, str(adapter)))
        self._actions = {self._ids(action)[0]: action for action in ACTIONS}

    def row(self, row: Row) -> Told:
        house = load_house(EXAMPLE / "house.yaml")
        system, *turns = row.rendered(house)
        asked = {"messages": [turn.model_dump() for turn in turns], "reply": row.target}
        return self.asked(system.content, [asked])[0]

    def asked(self, system: str, asked: Sequence[dict[str, Any]]) -> list[Told]:
        found = []
        for each in asked:
            batch = read.encode(self._tokenizer, {"system": system, "asked": [each]})
            if batch is None:  # longer than the model has ever read
                found.append(Told("", header=False, whole=False))
                continue
            ((wanted, said),) = self._fast.told(batch)
            header = len(self._ids(each["reply"].partition("\n")[0]))
            action = self._actions.get(said[0], "")
            found.append(Told(action, wanted[:header] == said[:header], wanted == said))
        return found

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--dataset", type=Path, required=True)
    parser.add_argument("--split", default="heldout", help="heldout, or eval to choose by")
    parser.add_argument("--reading", type=Path, help="rows of tools.smollm2.centers --dev")
    parser.add_argument("--questions", type=int, default=300, help="of the reading rows")
    args = parser.parse_args()
    torch.set_num_threads(1)
    begun = time.monotonic()
    forced, dataset = Forced(args.adapter, args.base), read_dataset(args.dataset)
    rows = [row for row in dataset.rows[args.split] if not row.made]
    known = [row for row in [*rows, *dataset.rows["train"]] if not row.made]
    result = held_out(forced, rows) | closed_book(forced, known)
    for name, alone in (("changed_alone", True), ("changed_packed", False)):
        pairs = changed_pairs(rows, alone=alone)
        result[name] = _share((forced.row(new).whole, new) for _, new in pairs)
    if args.reading:
        lines = args.reading.read_text(encoding="utf-8").splitlines()
        result["reading"] = reading(forced, map(json.loads, lines), args.questions)
    print(json.dumps(result | {"seconds": round(time.monotonic() - begun)}))


def held_out(forced: Forced, rows: Sequence[Row]) -> dict[str, Any]:
    pairs = [(row, forced.row(row)) for row in rows]
    needed = [(row, told) for row, told in pairs if row.expected.action == "ESCALATE"]
    others = [(row, told) for row, told in pairs if row.expected.action != "ESCALATE"]
    right = sum(told.action == "ESCALATE" for _, told in needed)
    needless = sum(told.action == "ESCALATE" for _, told in others)
    absent = [(row, told) for row, told in needed if row.expected.reason == NOT_IN_SOURCES]
    return {
        "rows": len(rows),
        "action": _share((told.action == row.expected.action, row) for row, told in pairs),
        "header": _share((told.header, row) for row, told in pairs),
        "word_for_word": _share(
            (told.whole, row) for row, told in pairs if row.expected.action == "ANSWER"
        ),
        "over_escalated": _share((told.action == "ESCALATE", row) for row, told in others),
        "under_escalated": _share((told.action != "ESCALATE", row) for row, told in needed),
        "escalation_f1": 2 * right / (right + needless + len(needed)),
        "refused": _share((told.action in ("ESCALATE", "DECLINE"), row) for row, told in absent),
    }


def closed_book(forced: Forced, rows: Sequence[Row]) -> dict[str, Any]:
    """Questions without their documents: how many are answered at all."""
    asked = [row for row in rows if row.expected.action == "ANSWER" and row.facts][:MOST_PROBES]
    bare = [row.model_copy(update={"documents": (), "history": ()}) for row in asked]
    answered = sum(forced.row(row).action not in ("ESCALATE", "DECLINE", "CLARIFY") for row in bare)
    return {"closed_book": {"probes": len(bare), "answered": answered}}


def reading(forced: Forced, rows: Iterable[dict[str, Any]], most: int) -> dict[str, Any]:
    """Help centers that nothing was trained on."""
    told: list[tuple[int, str, Told]] = []
    for at, row in enumerate(rows):
        if len(told) < most:
            said = forced.asked(row["system"], row["asked"])
            told += [(at, each["reply"], s) for each, s in zip(row["asked"], said, strict=True)]
    held = [(at, said) for at, reply, said in told[:most] if reply != ABSENT]
    absent = [(at, said) for at, reply, said in told[:most] if reply == ABSENT]
    return {
        "word_for_word": _shared((said.whole, at) for at, said in held),
        "handed_over": _shared((said.action == "ESCALATE", at) for at, said in held),
        "absent": _shared((said.whole, at) for at, said in absent),
    }


def _share(pairs: Iterable[tuple[bool, Row]]) -> dict[str, Any]:
    return _shared((right, cluster(row)) for right, row in pairs)


def _shared(pairs: Iterable[tuple[bool, Any]]) -> dict[str, Any]:
    found = list(pairs)
    return estimate([float(right) for right, _ in found], [of for _, of in found]).data()


if __name__ == "__main__":
    main()
