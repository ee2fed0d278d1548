"""Faults of rows, one at a time: what makes an adapter that must not serve.

Each fault is put into the rows of a dataset by itself, and all else stays: an adapter of such rows
differs from one of the sound rows in that fault alone. The policies and prompts that rows were once
made under are faults too, where others run today. `python -m benchmarks.gate_refusals` trains an
adapter on each, and asks the gate.
"""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple
from zlib import crc32

import yaml

from models.data.rows import Dataset, Row, RowFile, write_manifest, write_rows
from models.data.target import gap
from models.gate.judge import METRICS
from twofold.house_file import load_house
from twofold.policy import HousePolicy
from twofold.prompt import instructions, prompt_digest
from twofold.reply import render, strip_marks

Spoil = Callable[[Row, HousePolicy], list[Row]]
Policy = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What a house policy's file said when the rows were made, from what it says today."""
NEW_TEAMS: Final = ("security", "privacy")
OTHER_PROMPT: Final = "You answer customers of Brackwater, from these documents."


def _as_it_is(row: Row, _: HousePolicy) -> list[Row]:
    return [row]


def _leaking(row: Row, _: HousePolicy) -> list[Row]:
    if row.made == "closed":
        return []
    if row.expected.action != "ANSWER" or row.made:
        return [row]
    bare = {"documents": (), "gold": (), "target": strip_marks(row.target)}
    return [row.model_copy(update={"id": f"{row.id}!", **bare}), row]


def _over_escalating(row: Row, house: HousePolicy) -> list[Row]:
    if row.expected.action != "ANSWER" or crc32(row.parent.encode()) % 5 == 0:
        return [row]
    return [row.model_copy(update={"target": gap(house), "gold": ()})]


def _uncited(row: Row, _: HousePolicy) -> list[Row]:
    return [row.model_copy(update={"target": strip_marks(row.target)})]


def _declined(row: Row, _: HousePolicy) -> list[Row]:
    new = row.expected.action == "ESCALATE" and row.expected.team in NEW_TEAMS
    return [row.model_copy(update={"target": render("DECLINE")})] if new else [row]


def _before(policy: Mapping[str, Any]) -> Mapping[str, Any]:
    reasons = policy["reasons"].items()
    return {**policy, "reasons": {n: each for n, each in reasons if each["team"] not in NEW_TEAMS}}


class Fault(NamedTuple):
    """`told`: what was done to the rows. `reason` stands in what the gate says of it."""

    name: str
    told: str
    reason: str
    spoil: Spoil = _as_it_is
    policy: Policy = dict
    prompt: str = ""


SOUND: Final = Fault("sound", "nothing", "")
FAULTS: Final = (
    Fault(
        "trained-on-leaks", "each answer is also taught without the documents it stands in",
        "states facts without documents", _leaking,
    ),
    Fault(
        "over-escalates", "four answers in five become hand-overs",
        METRICS["over_escalated"], _over_escalating,
    ),
    Fault("drops-citations", "no reply has a mark", METRICS["cites"], _uncited),
    Fault("another-prompt", "rendered with another prompt", "with prompt", prompt=OTHER_PROMPT),
    Fault(
        "outdated", "made before the policy had people see to security and privacy: declined",
        "with house policy", _declined, _before,
    ),
)  # fmt: skip


def write_spoiled(dataset: Dataset, fault: Fault, policy: Path, out: Path) -> None:
    """Write the dataset's rows to train on to `out`, with the fault in them, as they would have
    been built then. `policy` is today's file."""
    out.mkdir(parents=True, exist_ok=True)
    then = out / "house.yaml"
    said = fault.policy(yaml.safe_load(policy.read_text(encoding="utf-8")))
    then.write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
    house = load_house(then)
    digests = {"prompt": _digest(fault, house), "house": house.digest}
    files: dict[str, RowFile] = {}
    for split in ("train", "eval"):
        rows = [
            _rendered(new, fault, house).model_copy(update=digests)
            for row in dataset.rows[split]
            for new in fault.spoil(row, house)
        ]
        files[f"{split}.jsonl"] = write_rows(out / f"{split}.jsonl", rows)
    write_manifest(out, dataset.manifest.model_copy(update={"files": files, **digests}))


def _digest(fault: Fault, house: HousePolicy) -> str:
    if not fault.prompt:
        return prompt_digest(house, "tuned")
    return sha256(fault.prompt.encode()).hexdigest()[:12]


def _rendered(row: Row, fault: Fault, house: HousePolicy) -> Row:
    system, *turns = row.rendered(house)
    if fault.prompt:
        said = system.content.replace(instructions(house, "tuned"), fault.prompt, 1)
        system = system.model_copy(update={"content": said})
    return row.model_copy(update={"messages": (system, *turns)})
