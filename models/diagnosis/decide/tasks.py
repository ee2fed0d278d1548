"""Tasks of any kind: an input, perhaps the context that holds what it needs, what a right output
says."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictStr, ValidationError, model_validator

from models.jsonl import read_jsonl
from models.suite.suite import FORMATS, MISSPELT, Case, load_suite
from twofold.errors import InvalidInput, NotFound

Spellings = Annotated[tuple[StrictStr, ...], Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Wanted(_Model):
    """What a right output says: this text, these facts, or JSON with these fields. A fact is one
    text or several accepted spellings. `forbidden`: what it must not say."""

    text: StrictStr | None = None
    facts: tuple[StrictStr | Spellings, ...] = ()
    fields: dict[str, Any] | None = Field(default=None, alias="json")
    forbidden: tuple[StrictStr, ...] = ()

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.text is None and not self.facts and self.fields is None and not self.forbidden:
            raise ValueError("say what is wanted: `text`, `facts`, `json` or `forbidden`")
        return self

    @property
    def spellings(self) -> tuple[tuple[str, ...], ...]:
        return tuple((fact,) if isinstance(fact, str) else fact for fact in self.facts)


class Task(_Model):
    """One thing that the system is asked to do. `context` is what it needs to know for it."""

    id: StrictStr
    input: StrictStr = Field(min_length=1)
    context: tuple[StrictStr, ...] = ()
    expect: Wanted
    document: StrictStr = ""
    """The page that holds it, where the suite names one."""
    cluster: StrictStr = ""
    tags: tuple[StrictStr, ...] = ()

    @property
    def about(self) -> str:
        """Tasks on the same source are one piece of evidence."""
        return self.cluster or self.id


class LoadedTasks(NamedTuple):
    tasks: list[Task]
    left_out: int
    """Cases of an answering suite in which the point is what to do, not what to say."""


def load_tasks(path: Path, pages: Path | None = None) -> LoadedTasks:
    """Returns a suite of tasks; with `pages`, a suite of questions and the folder of its documents,
    each question a task whose context is the pages that hold its answer.

    A task's `context` is a text or several; `context_files` names files beside the suite. Raises
    NotFound, or InvalidInput with place and key.
    """
    if pages is not None:
        return _of_questions(load_suite(path), pages)
    tasks = [_task(file, place, row) for file in _files(path) for place, row in _rows(file)]
    if not tasks:
        raise InvalidInput(f"{path} holds no tasks.")
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise InvalidInput(f"{path}: two tasks have the id {task.id!r}. Give each its own.")
        seen.add(task.id)
    return LoadedTasks(tasks, 0)


def _of_questions(cases: list[Case], pages: Path) -> LoadedTasks:
    if not pages.is_dir():
        raise NotFound(f"There is no folder {pages}. --pages names the one with the documents.")
    tasks = []
    for case in cases:
        if case.expect.action != "ANSWER" or not case.expect.facts or case.history:
            continue
        context = tuple(_read(pages, name) for name in case.expect.documents)
        wanted = Wanted(facts=case.expect.facts)
        tasks.append(
            Task(
                id=case.id,
                input=case.question,
                context=context,
                expect=wanted,
                document=case.expect.documents[0],
                cluster=case.cluster,
                tags=case.tags,
            )
        )
    if not tasks:
        raise InvalidInput("No case of the suite expects an answer with facts.")
    return LoadedTasks(tasks, len(cases) - len(tasks))


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.exists():
        raise NotFound(f"There is no suite at {path}. Give a YAML or JSONL file, or a folder.")
    return sorted(file for file in path.rglob("*") if file.suffix in FORMATS)


def _rows(file: Path) -> Iterator[tuple[str, Any]]:
    if file.suffix == ".jsonl":
        for line, row in read_jsonl(file):
            yield f"line {line}", row
        return
    if file.suffix not in FORMATS:
        raise InvalidInput(f"{file} is no suite: a suite is {', '.join(FORMATS)} or a folder.")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is not valid YAML: {error}") from error
    if not isinstance(found, list):
        raise InvalidInput(f"{file}: a suite is a list of tasks, each with `id` and `input`.")
    for number, row in enumerate(found, start=1):
        yield f"task {number}", row


def _task(file: Path, place: str, row: Any) -> Task:
    if not isinstance(row, dict):
        raise InvalidInput(f"{file}: {place} is no task: it needs `id`, `input` and `expect`.")
    given = dict(row)
    if isinstance(context := given.get("context"), str):
        given["context"] = [context]
    if names := given.pop("context_files", None):
        texts = [_read(file.parent, name) for name in names]
        given["context"] = [*given.get("context", []), *texts]
    try:
        return Task.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the task"
        advice = MISSPELT.get(first["type"], "")
        name = f"{place} ({row.get('id', 'without id')})"
        raise InvalidInput(f"{file}: {name}: {where}: {first['msg']}. {advice}".rstrip()) from None


def _read(folder: Path, name: Any) -> str:
    """Returns the text of a page below the folder, without its front matter."""
    root = folder.resolve()
    path = (folder / str(name)).resolve()
    if not path.is_relative_to(root):
        raise InvalidInput(f"{name!r} leads out of {folder}. Name files below it.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise NotFound(f"There is no readable page {name!r} in {folder}.") from None
    if text.startswith("---\n") and (end := text.find("\n---\n", 4)) > 0:
        head, text = text[4:end], text[end + 5 :]
        title = _title(head)
        text = f"# {title}\n\n{text}" if title else text
    return text.strip()


def _title(head: str) -> str:
    found = yaml.safe_load(head)
    return str(found.get("title", "")) if isinstance(found, Mapping) else ""
