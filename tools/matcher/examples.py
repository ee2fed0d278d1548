"""What the matcher is trained on: questions, and pieces of text of which one answers or none does.

A piece is what the composer can say (a sentence, an item, a row, steps), below its headings. Pieces
that do not answer come from the same page first, then from what keywords find elsewhere.
"""

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from models.jsonl import read_jsonl
from services.answer.search.units import pieces
from tools.matcher.centers import CENTERS, DEV_CENTERS, load_center, names
from twofold.clients.matcher import asked_in_turn
from twofold.index.sparse import Bm25Encoder
from twofold.text.blocks import squeeze

LONGEST_PAIR = 420
"""Characters of the longest passage that stands for a piece where nobody says which one answers."""
NEIGHBOURS = 20
"""Pieces nearest to a question by keywords, from which those that do not answer are drawn."""
PAIRS = ("docs", "medquad", "dstc9_faq")
"""Sources of passages that were labelled whole."""
GROUPS = ("squad2_train", "doc2dial", "covid_qa", "selqa", "qed_dev", "docs")
"""Sources of which it is known where in a page the answer stands."""

_GREETINGS = (
    "Hi,",
    "Hello team,",
    "Good morning, I hope you can help.",
    "Hi there, thanks for taking the time.",
    "I have been a customer for two years.",
    "We are a small team and I set this up last week.",
    "I looked around and could not find it anywhere.",
    "My colleague asked me and I did not know what to say.",
    "Sorry if this was asked before.",
    "It worked fine until yesterday.",
    "Not sure whether this is the right place to ask.",
    "I tried it twice with the same result.",
)
_GOODBYES = ("Thanks!", "Thank you in advance.", "Please advise.", "Cheers", "Any help is welcome.")


class Pair(NamedTuple):
    source: str
    question: str
    piece: str
    label: int


class Asked(NamedTuple):
    """`gold`: places of the pieces that answer, none where none does; `near`: of others of the page
    where the answer stands or would be looked for."""

    question: str
    gold: tuple[int, ...]
    near: tuple[int, ...]


class Labelled(NamedTuple):
    pair: Pair
    dev: bool


class Pool:
    """Pieces that what does not answer is drawn from."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self._bm25 = Bm25Encoder()
        vectors = [self._bm25.document(text) for text in texts]
        rows = np.repeat(np.arange(len(vectors)), [len(v.indices) for v in vectors])
        terms = np.concatenate([np.asarray(v.indices, np.int64) for v in vectors])
        values = np.concatenate([np.asarray(v.values) for v in vectors])
        self._columns, columns = np.unique(terms, return_inverse=True)
        counts = np.bincount(columns)
        idf = np.log(1 + (len(vectors) - counts + 0.5) / (counts + 0.5))
        shape = (len(vectors), len(self._columns))
        self._matrix = csr_matrix((values * idf[columns], (rows, columns)), shape).tocsc()

    def near(self, question: str) -> list[int]:
        """The NEIGHBOURS best pieces by keywords, best first."""
        asked = np.asarray(self._bm25.query(question).indices, np.int64)
        at = np.searchsorted(self._columns, asked)
        at = at[at < len(self._columns)]
        known = at[np.isin(self._columns[at], asked)]
        scores = np.asarray(self._matrix[:, known].sum(axis=1)).ravel()
        best = np.argpartition(-scores, min(NEIGHBOURS, len(scores) - 1))[:NEIGHBOURS]
        return [int(i) for i in best[np.argsort(-scores[best], kind="stable")]]


class Grouped(NamedTuple):
    pool: Pool
    asked: Sequence[Asked]


class Builder:
    """Pieces of a source's pages, each text once a page, and the questions to them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.asked: list[Asked] = []
        self._of_page: dict[Any, tuple[list[int], list[str]]] = {}

    def page(self, key: Any, heading: str, text: str) -> tuple[list[int], list[str]]:
        """Places and literal texts of the page's pieces."""
        if key not in self._of_page:
            cut = pieces(text)
            first = len(self.texts)
            self.texts += [f"{heading}\n{piece.read}" if heading else piece.read for piece in cut]
            places = list(range(first, len(self.texts)))
            self._of_page[key] = (places, [text[slice(*piece.span)] for piece in cut])
        return self._of_page[key]

    def made(self) -> Grouped:
        return Grouped(Pool(self.texts), self.asked)


def load_pairs(folder: Path) -> list[Labelled]:
    """Short passages that were labelled whole."""
    found = []
    for row in _rows(folder):
        source = _source(row)
        if source not in PAIRS or len(row["passage"]) > LONGEST_PAIR:
            continue
        title = row.get("title") or ""
        passage = f"{title}\n{row['passage']}" if title else row["passage"]
        pair = Pair(source, _question(row), passage, row["label"])
        found.append(Labelled(pair, row["split"] == "dev"))
    return found


def load_groups(pairs: Path, doc2dial: Path) -> tuple[dict[str, Grouped], dict[str, Grouped]]:
    """Questions beside pieces, by source: to train on, and to measure with."""
    train = {name: Builder() for name in GROUPS}
    dev: dict[str, Builder] = defaultdict(Builder)
    for row in _rows(pairs):
        source = _source(row)
        if source == "squad2_dev":
            _of_row(dev[source], row)
        elif source in GROUPS:
            _of_row(train[source] if row["split"] == "train" else dev[source], row)
    _of_doc2dial(train["doc2dial"], dev["doc2dial"], doc2dial)
    train["centers"] = Builder()
    for name in names():
        add_center(dev["centers"] if name in DEV_CENTERS else train["centers"], name)
    return (
        {name: each.made() for name, each in train.items() if each.asked},
        {name: each.made() for name, each in dev.items() if each.asked},
    )


def _of_row(builder: Builder, row: Mapping[str, Any]) -> None:
    places, literal = builder.page((row["group"], row["passage"]), row.get("title") or "",
                                   row["passage"])  # fmt: skip
    if not row["label"]:
        if places:
            builder.asked.append(Asked(_question(row), (), tuple(places)))
        return
    answer, gold = row.get("answer") or "", ()
    if len(answer) > 1 and row["passage"].count(answer) == 1:
        gold = tuple(at for at, text in zip(places, literal, strict=True) if answer in text)
    elif len(places) == 1:
        gold = tuple(places)
    if gold:
        near = tuple(at for at in places if at not in gold)
        builder.asked.append(Asked(_question(row), gold, near))


def _of_doc2dial(train: Builder, dev: Builder, folder: Path) -> None:
    """Turns of the tune half; every twentieth of their documents is measured with."""
    sections = defaultdict(list)
    for _, row in read_jsonl(folder / "sections.jsonl"):
        sections[row["doc_id"]].append(row)
    for _, row in read_jsonl(folder / "queries.jsonl"):
        if row["split"] != "tune":
            continue
        said, gold, near = row["grounding"], [], []
        builder = dev if _share(said["doc_id"]) < 0.05 else train
        wanted = squeeze(said["text"])
        for section in sections[said["doc_id"]]:
            heading = "\n".join(part for part in (section["title"], section["heading"]) if part)
            places, literal = builder.page(section["id"], heading, section["text"])
            for at, text in zip(places, literal, strict=True):
                held = squeeze(text)
                right = len(held) > 12 and (held in wanted or wanted in held)
                (gold if right else near).append(at)
        earlier = [turn["text"] for turn in row["history"] if turn["role"] == "user"]
        if gold:
            question = asked_in_turn(row["text"], earlier)
            builder.asked.append(Asked(question, tuple(gold), tuple(near)))


def add_center(builder: Builder, name: str) -> None:
    """A made-up help center: every section is a page, and every page's others are near."""
    center = load_center(name)
    of_page: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for page, markdown in center["pages"].items():
        for number, (heading, text) in enumerate(sections_of(markdown)):
            found = builder.page((name, page, number), heading, text)
            of_page[page] += zip(*found, strict=True)
    for row in center["questions"]:
        gold: list[int] = []
        for answer in row["answers"]:
            wanted = squeeze(answer["quote"])
            held = [(at, squeeze(text)) for at, text in of_page[answer["page"]]]
            exact = [at for at, text in held if text and (text in wanted or wanted in text)]
            gold += exact
        if row["answers"] and not gold:
            continue
        pages = {answer["page"] for answer in row["answers"]} or {row["near"]}
        near = [at for page in sorted(pages) for at, _ in of_page[page] if at not in gold]
        question = asked_in_turn(row["question"], row["history"])
        builder.asked.append(Asked(question, tuple(gold), tuple(near)))


def sections_of(markdown: str) -> Iterator[tuple[str, str]]:
    """Title and heading on lines of their own, and what stands below them."""
    title, heading, lines = "", "", list[str]()
    for line in [*markdown.splitlines(), "## "]:
        if line.startswith("#") and " " in line:
            if text := "\n".join(lines).strip():
                yield "\n".join(part for part in (title, heading) if part), text
            lines = []
            name = line.lstrip("#").strip()
            if line.startswith("# "):
                title, heading = name, ""
            else:
                heading = name
        else:
            lines.append(line)


def digests(pairs: Path, doc2dial: Path) -> dict[str, str]:
    """SHA-256 of every file that is trained on, by folder and name."""
    files = [*sorted(pairs.glob("pairs_*.jsonl")), *sorted(CENTERS.glob("*.json"))]
    files += [doc2dial / name for name in ("queries.jsonl", "sections.jsonl")]
    found = {}
    for path in files:
        with path.open("rb") as file:
            name = f"{path.parent.name}/{path.name}"
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def vary(question: str, dice: random.Random) -> str:
    """The question as customers may write it: with a greeting, in a ticket, without its capitals.

    The label does not depend on it.
    """
    roll = dice.random()
    if roll < 0.15:
        question = question.lower().rstrip("?.! ")
    if 0.12 < roll < 0.25:
        before = dice.sample(_GREETINGS, dice.randint(1, 2))
        after = dice.sample(_GOODBYES, dice.randint(0, 1))
        question = " ".join([*before, question, *after])
    return question


def _rows(folder: Path) -> Iterable[dict[str, Any]]:
    for path in sorted(folder.glob("pairs_*.jsonl")):
        for _, row in read_jsonl(path):
            yield row


def _source(row: Mapping[str, Any]) -> str:
    source = str(row["source"])
    return "docs" if source.startswith(("msdocs", "sendgrid", "sinricpro")) else source


def _question(row: Mapping[str, Any]) -> str:
    earlier = [turn["text"] for turn in row.get("history", ()) if turn["role"] == "user"]
    return asked_in_turn(row["question"], earlier)


def _share(name: str) -> float:
    """0..1, the same for the same name."""
    return random.Random(name).random()
