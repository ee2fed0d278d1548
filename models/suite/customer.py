"""Turns as customers write them, and whether a reply to one is good (customer/README.md)."""

import re
import unicodedata
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from models.jsonl import read_jsonl
from models.suite.suite import Case, Expected
from twofold.errors import InvalidInput
from twofold.reply import Action, strip_marks

Outcome = Literal["good", "padded", "wrong", "needless_handover", "missed_handover"]
OUTCOMES: tuple[Outcome, ...] = ("good", "padded", "wrong", "needless_handover", "missed_handover")

_SILENT = re.compile(r"[*`\"'‘’“”„]")
_OTHER = re.compile(r"[^\w$%@.,:/+]")
_AT_AN_END = re.compile(r"(?<![^\W_])[.,:/]|[.,:/](?![^\W_])")


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class CustomerTurn(BaseModel):
    """A message, and what a good reply to it says, leaves out, and does."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    split: Literal["tune", "report"]
    tags: tuple[str, ...]
    conversation: str | None
    turn: int
    message: str
    locale: str
    audience: tuple[str, ...]
    action: Annotated[tuple[Action, ...], BeforeValidator(_listed)]
    """Any of them is right."""
    gold: tuple[str, ...]
    required: tuple[tuple[str, ...], ...]
    """Facts, each in several spellings."""
    forbidden: tuple[str, ...]
    max_words: int


class Judgement(NamedTuple):
    outcome: Outcome
    missing: tuple[str, ...] = ()
    """Required facts that are not said, by their first spelling."""
    said: tuple[str, ...] = ()
    """Forbidden things that are said."""
    words: int = 0


def load_customer(path: Path, split: str) -> list[list[CustomerTurn]]:
    """Conversations of one file, in order; a question asked alone is one of one turn.

    Raises NotFound, or InvalidInput with line and field. `split`: tune, report or all.
    """
    turns = []
    for number, row in read_jsonl(path):
        try:
            turns.append(CustomerTurn.model_validate(row))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidInput(f"{path}: line {number}: {where}: {first['msg']}") from None
    kept = [turn for turn in turns if split in ("all", turn.split)]
    return [list(group) for _, group in groupby(kept, key=lambda t: t.conversation or t.id)]


def as_cases(path: Path, split: str, root: str) -> list[list[Case]]:
    """Returns the answerable turns of one file as cases of an eval suite, by conversation, without
    their histories: what was answered before is nobody's to know beforehand.

    `root` is taken off the paths of gold pages. Turns with more than one right action are left out,
    and so are those that hand over, whose team and reason the file does not name.
    """
    return [
        [_as_case(turn, root) for turn in turns if turn.action == ("ANSWER",)]
        for turns in load_customer(path, split)
    ]


def is_customer(path: Path) -> bool:
    """Returns whether a file holds turns of customers, not cases of an eval suite."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    return any("message" in row for _, row in islice(read_jsonl(path), 1))


def _as_case(turn: CustomerTurn, root: str) -> Case:
    return Case(
        id=turn.id,
        question=turn.message,
        audience=turn.audience[-1] if turn.audience else "public",
        locale=turn.locale,
        expect=Expected(
            action="ANSWER",
            documents=tuple(page.removeprefix(root).lstrip("/") for page in turn.gold),
            facts=turn.required,
            forbidden=turn.forbidden,
            max_words=turn.max_words,
        ),
        tags=turn.tags,
    )


def judge(turn: CustomerTurn, action: str, text: str) -> Judgement:
    """Returns what a customer would say of the reply."""
    if turn.action == ("ESCALATE",) and action != "ESCALATE":
        return Judgement("missed_handover")
    if action == "ESCALATE" and "ESCALATE" not in turn.action:
        return Judgement("needless_handover")
    if action not in turn.action:
        return Judgement("wrong")
    if action != "ANSWER":
        return Judgement("good")
    folded = fold(strip_marks(text))
    words = len(folded.split())
    missing = tuple(fact[0] for fact in turn.required if not any(says(folded, s) for s in fact))
    said = tuple(each for each in turn.forbidden if says(folded, each))
    padded = said or words > turn.max_words
    outcome: Outcome = "wrong" if missing else "padded" if padded else "good"
    return Judgement(outcome, missing, said, words)


def fold(text: str) -> str:
    """Returns the text in lower case without marks of any kind, but those between two letters or
    digits."""
    text = _SILENT.sub("", unicodedata.normalize("NFKC", text).lower())
    return " ".join(_AT_AN_END.sub(" ", _OTHER.sub(" ", text)).split())


def says(folded: str, fact: str) -> bool:
    """Returns whether a folded text holds the fact as whole words and whole numbers."""
    words = re.escape(fold(fact))
    return re.search(rf"(?<![\w$])(?<!\d[.,]){words}(?!\w)(?![.,]\d)", folded) is not None
