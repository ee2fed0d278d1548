"""Reading practice on made-up help centers: what answers, beside what only looks as if it did.

`python -m tools.smollm2.centers --rows N --out centers.jsonl`

Rows as `practice` makes them: sections of one help center as search would pack them, and customers'
questions to these, some of which no page answers. The centers that the matcher is measured on
stand in no row; `--dev` makes rows of those alone, to measure with.
"""

import argparse
import hashlib
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.matcher.centers import DEV_CENTERS, load_center, names
from tools.matcher.examples import Pool, sections_of
from tools.smollm2.practice import ABSENT, Asked, Passage, Row, Turn, casual, marked, row_of
from twofold.reply import render

MOST_CHARACTERS: Final = 2400
"""Of all sections of a row."""
QUESTIONS: Final = 7
ABSENCES: Final = 0.55
"""Questions that nothing answers, to each that something does."""
GAPS: Final = 0.12
"""Share of the questions that are asked without the section that answers them."""
_STEPS = re.compile(r"\d+\. ")
_HEARD: Final = (
    "This is what our pages say about it.",
    "You find it on the page about that.",
    "Could you tell me a little more?",
    "I hope this helps.",
    "Yes, that is right.",
)


class Section(NamedTuple):
    page: str
    title: str
    text: str


class Question(NamedTuple):
    """`says`: place of a section -> its pieces that answer; `page`: where one would look."""

    asked: str
    history: tuple[str, ...]
    says: dict[int, tuple[str, ...]]
    page: str
    near: tuple[int, ...]
    """Places of the sections that search finds, best first."""


class Center(NamedTuple):
    sections: Sequence[Section]
    questions: Sequence[Question]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dev", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    rows = made(chosen(dev=args.dev), args.rows, random.Random(args.seed))
    body = "".join(json.dumps(row.data(), ensure_ascii=False) + "\n" for row in rows)
    args.out.write_text(body, encoding="utf-8")
    digest = hashlib.sha256(body.encode()).hexdigest()
    print(json.dumps({"rows": args.rows, "centers": len(chosen(args.dev)), "sha256": digest}))


def chosen(dev: bool) -> list[str]:
    """Names of the centers to train on, or of those to measure with."""
    return [name for name in names() if (name in DEV_CENTERS) == dev]


def made(centers: Sequence[str], rows: int, rng: random.Random) -> Iterator[Row]:
    return islice(_rows([_center(load_center(name)) for name in centers], rng), rows)


def _center(data: dict[str, Any]) -> Center:
    sections = [
        Section(page, heading.replace("\n", " > "), text)
        for page, markdown in data["pages"].items()
        for heading, text in sections_of(markdown)
    ]
    pool = Pool([f"{section.title}\n{section.text}" for section in sections])
    questions = []
    for each in data["questions"]:
        says: dict[int, tuple[str, ...]] = defaultdict(tuple)
        for answer in each["answers"]:
            for at, section in enumerate(sections):
                if section.page == answer["page"] and answer["quote"] in section.text:
                    says[at] += (answer["quote"],)
        if bool(says) == bool(each["answers"]):
            page = each["near"] or each["answers"][0]["page"]
            near = pool.near(" ".join((*each["history"][-1:], each["question"])))
            history = tuple(each["history"][-2:])
            questions.append(Question(each["question"], history, dict(says), page, tuple(near)))
    return Center(sections, questions)


def _rows(centers: Sequence[Center], rng: random.Random) -> Iterator[Row]:
    """Every question opens a row before any opens a second one."""
    while True:
        deck = [(center, question) for center in centers for question in center.questions]
        rng.shuffle(deck)
        for center, question in deck:
            if (row := _row(center, question, rng)) is not None:
                yield row


def _row(center: Center, opening: Question, rng: random.Random) -> Row | None:
    gap = bool(opening.says) and rng.random() < GAPS
    places = _packed(center, opening, gap, rng)
    shown = [center.sections[at] for at in places]
    pages = {section.page for section in shown}
    answered, absent = [], [opening] if gap or not opening.says else []
    for question in center.questions:
        held = sum(map(len, (pieces for at, pieces in question.says.items() if at in places)))
        if held and held == sum(map(len, question.says.values())):
            answered.append(question)
        elif not question.says and question.page in pages and question is not opening:
            absent.append(question)
    rng.shuffle(answered)
    absent[1:] = rng.sample(absent[1:], len(absent) - 1) if absent else []
    if opening in answered:
        answered.remove(opening)
        answered.insert(0, opening)
    known = answered[: rng.randint(3, QUESTIONS - 1)]
    asked = [_asked(q, center, places, rng) for q in known]
    unheld = absent[: max(1, round(ABSENCES * len(known)))]
    asked += [Asked(casual(q.asked, rng), ABSENT, _earlier(q, rng)) for q in unheld]
    rng.shuffle(asked)
    passages = [Passage(section.title, section.text, ()) for section in shown]
    return row_of(passages, asked, "centers", rng)


def _packed(center: Center, question: Question, gap: bool, rng: random.Random) -> list[int]:
    """Places of the sections to show: those that answer, or what looks so, and what search finds
    beside them."""
    count = rng.choices((1, 2, 3, 4, 5, 6), (0.1, 0.4, 0.2, 0.12, 0.1, 0.08))[0]
    gold = [] if gap else list(question.says)
    first = gold or [at for at in question.near if center.sections[at].page == question.page][:2]
    others = [at for at in question.near if at not in question.says and at not in first]
    chosen, size = [], 0
    for at in [*first, *others]:
        length = len(center.sections[at].text)
        if len(chosen) < max(count, len(gold)) and (not chosen or size + length < MOST_CHARACTERS):
            chosen.append(at)
            size += length
    if gap:
        chosen = [at for at in chosen if at not in question.says]
    rng.shuffle(chosen)
    return chosen


def _asked(question: Question, center: Center, places: Sequence[int], rng: random.Random) -> Asked:
    said = [
        _said(piece, center.sections[at].text, n)
        for n, at in enumerate(places, start=1)
        for piece in question.says.get(at, ())
    ]
    joint = "\n\n" if any("\n" in each for each in said) else " "
    text = joint.join(dict.fromkeys(said))
    return Asked(casual(question.asked, rng), render("ANSWER", text), _earlier(question, rng))


def _said(piece: str, text: str, n: int) -> str:
    """A piece with its mark: a row below its table's head, steps with a mark each."""
    if piece.startswith("|"):
        lines = text[: text.index(piece)].split("\n")[:-1]
        table = next((at + 1 for at in range(len(lines) - 1, -1, -1) if "|" not in lines[at]), 0)
        head = "\n".join(lines[table : table + 2])
        return f"{head}\n{piece}\n\n[{n}]" if head else f"{piece}\n\n[{n}]"
    if _STEPS.match(piece):
        return "\n".join(f"{line} [{n}]" for line in piece.split("\n"))
    return marked([piece], n)


def _earlier(question: Question, rng: random.Random) -> tuple[Turn, ...]:
    turns: list[Turn] = []
    for said in question.history:
        turns += [Turn("user", said), Turn("assistant", rng.choice(_HEARD))]
    return tuple(turns)


if __name__ == "__main__":
    main()
