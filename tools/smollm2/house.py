"""Stage 2: the rows of a dataset as practice, several questions to the same documents.

`python -m tools.smollm2.house DATASET --out house.jsonl`

Beside each row that answers stand questions that must be heard the same whatever is packed: those
that a person is due to, refusals, questions back; and one that these documents do not hold. What
differs within a pass is the question alone, so that nothing else can tell what to do.
"""

import argparse
import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from models.data.rows import Row, read_dataset
from models.data.sentences import RowPassages, sentences
from models.data.vary import kind_of
from models.suite.facts import says

BESIDE = (("escalate", 0.55), ("decline", 0.25), ("clarify", 0.15))
"""Kind of row -> how many of it stand beside a row that answers, on average."""
ALONE = 0.35
"""Share of the other rows that are also asked with their own documents."""
UNREAD = 10
"""Questions to a row of those that no document is shown to."""
ABSENT = 0.35
"""Share of rows that answer with a question beside them that their documents do not hold."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unread", action="store_true", help="questions without any document")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = read_dataset(args.dataset).rows["train"]
    rng = random.Random(args.seed)
    made = unread(rows, rng) if args.unread else grouped(rows, rng)
    body = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in made)
    args.out.write_text(body, encoding="utf-8")
    print(json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest()}))


def grouped(rows: Sequence[Row], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Rows that answer with others beside them, and some others alone; one form of each row (as it
    came, or with other numbers) before the next, so that a short run has met every question."""
    of = {kind: [row for row in rows if kind_of(row) == kind] for kind, _ in BESIDE}
    decks: dict[str, list[Row]] = {kind: [] for kind in of}
    answering = [row for row in rows if kind_of(row) == "answer"]
    gaps = {row.parent: row for row in rows if row.made == "gap"}
    for row in _ordered(rows, rng):
        asked = [row]
        if kind_of(row) == "answer":
            for kind, mean in BESIDE:
                for _ in range(int(mean) + (rng.random() < mean % 1)):
                    if not decks[kind]:
                        decks[kind] = rng.sample(of[kind], len(of[kind]))
                    asked.append(decks[kind].pop())
            if rng.random() < ABSENT and (gap := _absent(row, answering, gaps, rng)):
                asked.append(gap)
            rng.shuffle(asked)
        yield {
            "system": row.messages[0].content,
            "source": kind_of(row),
            "asked": [
                {
                    "messages": [m.model_dump() for m in each.messages[1:]],
                    "reply": each.target,
                }
                for each in asked
            ],
        }


def unread(rows: Sequence[Row], rng: random.Random) -> Iterator[dict[str, Any]]:
    """Questions of all kinds below no document at all: what would answer is handed over, and all
    else is heard as ever."""
    closed = next(row for row in rows if row.made == "closed")
    first: dict[str, Row] = {row.parent: row for row in rows if kind_of(row) == "answer"}
    asked = [row.model_copy(update={"target": closed.target}) for row in first.values()]
    others = [row for row in rows if kind_of(row) in ("escalate", "decline", "clarify")]
    asked += rng.sample(others, min(len(others), len(asked) // 2))
    rng.shuffle(asked)
    for at in range(0, len(asked), UNREAD):
        yield {
            "system": closed.messages[0].content,
            "source": "unread",
            "asked": [
                {"messages": [m.model_dump() for m in row.messages[1:]], "reply": row.target}
                for row in asked[at : at + UNREAD]
            ],
        }


def _ordered(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """All that answer and a share of the others; each question's forms far from each other."""
    forms: dict[str, list[Row]] = {}
    for row in rows:
        if kind_of(row) == "answer":
            forms.setdefault(row.parent, []).append(row)
    rounds: list[list[tuple[float, Row]]] = []
    for each in forms.values():
        rng.shuffle(each)
        for at, row in enumerate(each):
            rounds += [[]] * (at == len(rounds))
            rounds[at] = [*rounds[at], (at + rng.random(), row)]
    others = [row for row in rows if kind_of(row) != "answer" and rng.random() < ALONE]
    places = [pair for each in rounds for pair in each]
    places += [(rng.random() * len(rounds), row) for row in others]
    return [row for _, row in sorted(places, key=lambda pair: pair[0])]


def _absent(
    row: Row, answering: Sequence[Row], gaps: dict[str, Row], rng: random.Random
) -> Row | None:
    """A question of another row, handed over because the documents of this one do not hold it."""
    shown = {document.document for document in row.documents}
    passages = RowPassages(row.documents, row.locale)
    for other in rng.sample(answering, 8):
        gold = {other.documents[n - 1].document for n in other.gold}
        gap = gaps.get(other.parent)
        if gap is None or gold & shown:
            continue
        claims = [s for s in sentences(other.text) if passages.claims(s)]
        held = any(passages.holder(s, passages.documents) for s in claims)
        stated = other.facts and all(
            any(says(passages.whole(n), fact) for n in passages.documents) for fact in other.facts
        )
        if not held and not stated:
            return other.model_copy(update={"target": gap.target})
    return None


if __name__ == "__main__":
    main()
