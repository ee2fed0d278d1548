"""Pairs: rows beside replies that their own is preferred to. The preference step learns of them.

A rejected reply is of the composer, of a model, or the assistant's own before a person wrote a
better one. It goes with the row that it was given to: what is held out is never asked. One that
does what the approved reply does, or states what its prompt does not show, is left out.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from models.data.lint.findings import RowPlace
from models.data.lint.pairs import pairs
from models.data.rows import Dataset, Manifest, Rejected, Row, Split, write_manifest, write_rows
from models.data.seeds import Cite, Seed
from models.data.sentences import RowPassages
from models.data.target import ServiceReply, target
from models.suite.client import AnswerClient
from twofold.policy import NOT_IN_SOURCES, HousePolicy
from twofold.redact import redact
from twofold.reply import OURS, judged
from twofold.terminal import StepCallback

COMPOSER: Final = "composer"
DRAFT: Final = "draft"
NOT_SHOWN: Final = "it rests on passages that the row does not show"
BY_POLICY: Final = "the assistant handed over as the policy has it"
NOTHING: Final = "nothing was said, or it came to no end"
UNSOUND: Final = {
    "pair": "it differs from the approved reply in facts alone, or in nothing",
    "leak": "it states what its prompt does not show",
}
_SILENT = ServiceReply("", "", {})


@dataclass(slots=True)
class Voice:
    """What somebody replied to rows (row's id -> reply on the wire), and why to others nothing."""

    by: str
    replies: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


async def of_composer(
    client: AnswerClient, rows: Sequence[Row], house: HousePolicy, progress: StepCallback
) -> Voice:
    """Returns what the composer replies to the rows as they came. Raises UpstreamError."""
    voice = Voice(COMPOSER)
    own = [row for row in rows if not row.made]
    for done, row in enumerate(own, start=1):
        told = await client.replay(_seed(row).body() | {"maker": "composer"})
        _add(voice, row, told, told["signals"], house)
        progress("Asking the composer", done, len(own))
    return voice


async def of_drafts(client: AnswerClient, rows: Sequence[Row], house: HousePolicy) -> Voice:
    """Returns what the assistant replied where a person then wrote what it should have. Raises
    UpstreamError.

    Where it handed over as the policy has it, or as the customer wished, it made no mistake.
    """
    voice = Voice(DRAFT)
    asked = {reply["handoff_id"]: reply["answer_id"] for reply in await client.replies()}
    for row in rows:
        id = asked.get(row.ref) if row.origin == "agent" else None
        if id is None:
            continue
        record = await client.record(id)
        answer = record["answer"]
        if (answer["escalation"] or {}).get("reason", NOT_IN_SOURCES) != NOT_IN_SOURCES:
            voice.left_out[BY_POLICY] += 1
        else:
            _add(voice, row, answer, record["signals"], house)
    return voice


def paired(
    rows: Sequence[Row], voices: Sequence[Voice], house: HousePolicy
) -> tuple[list[Row], Counter[str]]:
    """Returns the rows that one of the voices replied to otherwise, with these replies; and how
    often one was left out, by the reason."""
    whole = {
        (row.id, _masked(reply, row, house)): (row, voice.by)
        for voice in reversed(voices)  # of equal replies the first one's name stays
        for row in rows
        if (reply := voice.replies.get(row.id)) is not None
    }
    places = [
        RowPlace("train", line, row.model_copy(update={"rejected": (Rejected(by=by, reply=said),)}))
        for line, ((_, said), (row, by)) in enumerate(whole.items(), start=1)
    ]
    unsound = {finding.line: finding.concern for finding in pairs(places, house)}
    left_out = Counter(UNSOUND[concern] for concern in unsound.values())
    kept: dict[str, list[Rejected]] = defaultdict(list)
    for place in places:
        if place.line not in unsound:
            kept[place.row.id] += place.row.rejected
    found = [row.model_copy(update={"rejected": tuple(kept[row.id])})
             for row in rows if row.id in kept]  # fmt: skip
    return found, left_out


def write(
    folder: Path, dataset: Dataset, splits: Mapping[Split, Sequence[Row]], left_out: Counter[str]
) -> Manifest:
    """Returns all files, and last the manifest; it names the dataset that the rows are of."""
    files = {f"{name}.jsonl": write_rows(folder / f"{name}.jsonl", rows)
             for name, rows in splits.items()}  # fmt: skip
    manifest = dataset.manifest.model_copy(
        update={
            "created": time.time(),
            "files": files,
            "pairs_of": dataset.sha256,
            "wanted": {},
            "reached": {},
            "left_out": dict(sorted(left_out.items())),
        }
    )
    write_manifest(folder, manifest)
    return manifest


def _seed(row: Row) -> Seed:
    return Seed(row.origin, row.ref, row.question, row.expected.action, row.history,
                tuple(row.audience.split(",")), row.locale)  # fmt: skip


def _add(
    voice: Voice,
    row: Row,
    answer: Mapping[str, Any],
    signals: Mapping[str, Any],
    house: HousePolicy,
) -> None:
    """Notes a service's answer as it would stand on the wire, citing the row's own passages."""
    cites = {each["n"]: Cite(each["document"], each["quote"]) for each in answer["citations"]}
    who = answer["escalation"] or {}
    seed = Seed(
        row.origin, row.ref, row.question, answer["action"],
        team=who.get("team", ""), reason=who.get("reason", ""),
        text=judged(answer["text"], signals.get(OURS, ())), cites=cites,
        gold=tuple(cites.values()),
    )  # fmt: skip
    made = target(seed, _SILENT, RowPassages(row.documents, row.locale), house, row.locale)
    if isinstance(made, str):
        voice.left_out[NOT_SHOWN] += 1
    else:
        voice.replies[row.id] = made.wire


def _masked(reply: str, row: Row, house: HousePolicy) -> str:
    public = "\n".join((*(d.text for d in row.documents), house.model_dump_json()))
    return redact(reply, public)
