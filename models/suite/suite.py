"""An eval suite: questions, and what a right answer to each must do."""

import hashlib
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    ValidationError,
    model_validator,
)

from models.jsonl import read_jsonl
from twofold.counted import counted
from twofold.errors import InvalidInput, NotFound
from twofold.reply import Action

Split = Literal["all", "tune", "report"]
FORMATS = (".yaml", ".yml", ".jsonl")
MISSPELT = {
    "string_type": "Put the value in quotes: YAML reads it as a number, a date or true/false.",
    "extra_forbidden": "No such key; check its spelling.",
    "missing": "This key is required.",
}
"""What to do about the validation errors that people really make."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Spellings = Annotated[tuple[StrictStr, ...], Field(min_length=1)]


class CaseTurn(_Model):
    role: Literal["user", "assistant"]
    text: StrictStr


class Expected(_Model):
    """`documents`: any one cited counts. A fact is one text or several accepted spellings of it.
    `forbidden` is what an answer must not say; over `max_words` words it is padded."""

    action: Action
    documents: tuple[StrictStr, ...] = ()
    facts: tuple[StrictStr | Spellings, ...] = ()
    forbidden: tuple[StrictStr, ...] = ()
    max_words: Annotated[int, Field(gt=0)] | None = None
    team: StrictStr | None = None
    reason: StrictStr | None = None

    @model_validator(mode="after")
    def _fits_its_action(self) -> Self:
        if self.action == "ANSWER" and not self.documents:
            raise ValueError("an ANSWER needs `documents`: the ones that hold it")
        if self.action != "ANSWER" and (self.documents or self.facts):
            raise ValueError(f"`documents` and `facts` go with ANSWER, not with {self.action}")
        if (self.action == "ESCALATE") != bool(self.team and self.reason):
            raise ValueError("`team` and `reason` are given with ESCALATE, and only with it")
        return self

    @property
    def spellings(self) -> tuple[tuple[str, ...], ...]:
        return tuple((fact,) if isinstance(fact, str) else fact for fact in self.facts)


class Case(_Model):
    """One question of a suite."""

    id: StrictStr
    question: StrictStr = Field(min_length=1)
    history: tuple[CaseTurn, ...] = ()
    audience: StrictStr = "public"
    locale: StrictStr | None = None
    as_of: date | None = None
    expect: Expected
    tags: tuple[StrictStr, ...] = ()
    confirmed: StrictBool = True
    """False: what is expected is what was answered once, and no person has looked at it yet."""

    @property
    def split(self) -> Literal["tune", "report"]:
        """By the id alone, so that a case stays on its side whatever is added beside it."""
        digit = hashlib.sha256(self.id.encode()).hexdigest()[0]
        return "report" if int(digit, 16) % 2 else "tune"

    @property
    def cluster(self) -> str:
        """Cases about one document are not independent of each other."""
        return self.expect.documents[0] if self.expect.documents else f"case:{self.id}"


class _Row(NamedTuple):
    """One entry as it stands in a file."""

    path: Path
    place: str
    value: Any


def load_suite(path: Path, split: Split = "all") -> list[Case]:
    """Returns the confirmed cases of a file, or of all YAML and JSONL files below a folder, in file
    order.

    Raises NotFound, or InvalidInput naming the file, the case, the key and what to do.
    """
    cases: list[Case] = []
    seen: dict[str, Path] = {}
    for row in _rows(path):
        case = _case(row)
        if case.id in seen:
            raise InvalidInput(
                f"{row.path}: id {case.id!r} is taken already in {seen[case.id]}. Give each case"
                " an id of its own."
            )
        seen[case.id] = row.path
        cases.append(case)
    confirmed = [case for case in cases if case.confirmed]
    if cases and not confirmed:
        raise InvalidInput(
            f"{path}: of {counted(len(cases), 'case')} none is confirmed. Look at what each"
            " expects, mend it, and take its `confirmed: false` away."
        )
    kept = [case for case in confirmed if split in ("all", case.split)]
    if not kept:
        raise InvalidInput(f"{path} holds no cases{'' if split == 'all' else f' in {split!r}'}.")
    return kept


def _rows(path: Path) -> Iterator[_Row]:
    for file in _files(path):
        if file.suffix == ".jsonl":
            yield from (_Row(file, f"line {number}", row) for number, row in read_jsonl(file))
        else:
            yield from _yaml(file)


def _files(path: Path) -> Sequence[Path]:
    if path.is_file():
        if path.suffix not in FORMATS:
            raise InvalidInput(f"{path} is no suite: a suite is {', '.join(FORMATS)} or a folder.")
        return [path]
    if not path.exists():
        raise NotFound(f"There is no suite at {path}. Give a YAML or JSONL file, or a folder.")
    files = sorted(file for file in path.rglob("*") if file.suffix in FORMATS)
    if not files:
        raise InvalidInput(f"{path} holds no {', '.join(FORMATS)} file. Is it the right folder?")
    return files


def _yaml(file: Path) -> Iterator[_Row]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file} is not UTF-8 ({error}). Save it as UTF-8.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{file} is not valid YAML: {error}") from error
    if not isinstance(data, list):
        raise InvalidInput(f"{file} must be a list of cases, each starting with `- id:`.")
    for number, value in enumerate(data, start=1):
        yield _Row(file, f"case {number}", value)


def _case(row: _Row) -> Case:
    if not isinstance(row.value, dict):
        raise InvalidInput(f"{row.path}: {row.place} is no case: it needs keys such as `id`.")
    try:
        return Case.model_validate(row.value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the case"
        name = f"{row.place} ({row.value.get('id', 'without id')})"
        advice = MISSPELT.get(first["type"], "")
        raise InvalidInput(
            f"{row.path}: {name}: {where}: {first['msg']}. {advice}".rstrip()
        ) from error
