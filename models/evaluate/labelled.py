"""Labelled retrieval data in a folder: a corpus, queries, and which document answers which."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from models.jsonl import read_jsonl
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.index.contract import content_hash

CORPUS = "corpus.jsonl"
QUERIES = "queries.jsonl"
QRELS = "qrels*.tsv"


class Text(NamedTuple):
    """A document of the corpus: a passage or a whole article. `group`: what it is a part of."""

    id: str
    title: str
    body: str
    markdown: bool
    group: str


class LabelledTurn(NamedTuple):
    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question, the turns before it, and the grade of every document judged for it."""

    id: str
    text: str
    history: tuple[LabelledTurn, ...]
    grades: Mapping[str, int]
    cluster: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """`unlabelled`: queries that no relevant document was given for; they are left out."""

    corpus: tuple[Text, ...]
    queries: tuple[Query, ...]
    unlabelled: int

    @property
    def digest(self) -> str:
        return digest_of(self.corpus)


def digest_of(corpus: Sequence[Text]) -> str:
    """Returns the hash of a corpus: equal texts under equal ids give the same index."""
    return content_hash(*(part for text in corpus for part in (*text[:3], text.group)))


def load_labelled(
    folder: Path,
    corpus: str | None = None,
    queries: str | None = None,
    qrels: str | None = None,
    split: str | None = None,
) -> Labelled:
    """Reads the folder. File names are relative to it; `split` keeps queries of that split alone.

    Raises NotFound, or InvalidInput naming the file, the line and what to do.
    """
    if not folder.is_dir():
        raise NotFound(f"There is no folder {folder}. Give one with {CORPUS} and {QUERIES}.")
    texts = _corpus(_file(folder, corpus or CORPUS, "--corpus"))
    judged = _qrels(_file(folder, qrels or _only_qrels(folder), "--qrels"))
    groups = {text.id: text.group for text in texts}
    kept, unlabelled = [], 0
    path = _file(folder, queries or QUERIES, "--queries")
    rows = [row for row in rows_of(path) if split is None or row.value.get("split") == split]
    if not rows:
        where = f" of split {split!r}" if split else ""
        raise InvalidInput(f"{path} holds no queries{where}.")
    for row in rows:
        grades = judged.get(row.string("id"), {})
        unknown = next((id for id in grades if id not in groups), None)
        if unknown is not None:
            raise InvalidInput(
                f"The labels name document {unknown!r}, which the corpus does not hold. Give the"
                " corpus that they were made for: --corpus, --qrels."
            )
        relevant = [id for id, grade in grades.items() if grade > 0]
        if not relevant:
            unlabelled += 1
            continue
        kept.append(
            Query(row.string("id"), row.string("text"), row.history(), grades, groups[relevant[0]])
        )
    if not kept:
        raise InvalidInput(
            f"Of {counted(unlabelled, 'query', 'queries')} in {path} none has a relevant document."
            " Do the labels belong to these queries?"
        )
    return Labelled(tuple(texts), tuple(kept), unlabelled)


def load_corpus(folder: Path) -> tuple[Text, ...]:
    """Returns the folder's documents. Raises NotFound, or InvalidInput naming file and line."""
    return tuple(_corpus(_file(folder, CORPUS, "--corpus")))


class JsonRow(NamedTuple):
    """Reads keys of a JSONL file's line, and names the line where one is wrong."""

    path: Path
    line: int
    value: Mapping[str, Any]

    def string(self, key: str) -> str:
        value = self.value.get(key)
        if not isinstance(value, str) or not value.strip():
            raise InvalidInput(f"{self.path}: line {self.line} has no {key!r}, a non-empty string.")
        return value

    def history(self) -> tuple[LabelledTurn, ...]:
        turns: Sequence[Any] = self.value.get("history") or ()
        try:
            return tuple(
                LabelledTurn("user" if turn["role"] == "user" else "assistant", turn["text"])
                for turn in turns
            )
        except (TypeError, KeyError):
            raise InvalidInput(
                f"{self.path}: line {self.line}: each turn of `history` needs `role` and `text`."
            ) from None


def _file(folder: Path, name: str, option: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise NotFound(f"There is no {path}. Name the file with {option}.")
    return path


def _only_qrels(folder: Path) -> str:
    found = sorted(path.name for path in folder.glob(QRELS))
    if "qrels.tsv" in found or not found:
        return "qrels.tsv"
    if len(found) > 1:
        raise InvalidInput(f"{folder} has several labels: {', '.join(found)}. Choose with --qrels.")
    return found[0]


def _corpus(path: Path) -> list[Text]:
    texts: list[Text] = []
    seen: set[str] = set()
    for row in rows_of(path):
        id = row.string("id")
        if id in seen:
            raise InvalidInput(f"{path}: line {row.line}: id {id!r} is there twice.")
        seen.add(id)
        markdown = "markdown" in row.value
        headings = [row.value.get("title"), row.value.get("heading")]
        title = " > ".join(str(heading) for heading in headings if heading)
        body = row.string("markdown" if markdown else "text")
        texts.append(Text(id, title, body, markdown, str(row.value.get("doc_id", id))))
    if not texts:
        raise InvalidInput(f"{path} is empty. A corpus has one JSON object a line.")
    return texts


def _qrels(path: Path) -> dict[str, dict[str, int]]:
    judged: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for number, fields in enumerate(csv.reader(file, delimiter="\t"), start=1):
            try:
                query, _, document, grade = fields
                judged.setdefault(query, {})[document] = int(grade)
            except ValueError:
                raise InvalidInput(
                    f"{path}: line {number} is not `query<TAB>0<TAB>document<TAB>grade`."
                ) from None
    return judged


def rows_of(path: Path) -> Iterator[JsonRow]:
    """Raises NotFound, or InvalidInput naming the line that is no JSON object."""
    if not path.is_file():
        raise NotFound(f"There is no {path}.")
    return (JsonRow(path, number, value) for number, value in read_jsonl(path))
